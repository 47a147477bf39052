"""How a task was read: keys, ways in which golds were found, what was dropped. Kept with the task,
so that it can be looked at before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

EXAMPLES = 5
PLACES = 5
"""How many are shown of what may be many."""


@dataclass(frozen=True)
class Example:
    """One gold, and the answer that it was found in."""

    place: str
    question: str
    full: str
    gold: str
    found: str

    def __str__(self) -> str:
        ending = self.full if len(self.full) <= 60 else "…" + self.full[-59:]
        return (
            f"{self.place}: gold {self.gold!r:.60} {self.found} {ending!r}; {self.question!r:.60}"
        )


@dataclass(frozen=True)
class Dropped:
    """Rows that are in no split, and why."""

    why: str
    count: int

    places: tuple[str, ...]
    """The first few."""

    def __str__(self) -> str:
        more = "" if self.count <= len(self.places) else ", …"
        where = f": {'; '.join(self.places)}{more}" if self.places else ""
        return f"{self.count} {self.why}{where}."


@dataclass
class Reading:
    """What loading a task found; filled while it loads."""

    asked: dict[str, str | None]
    """What `load_task` was told: question_key, answer_key, system_key, and system_prompt (None:
    as in the data)."""

    skip_missing: bool = False
    """Whether rows without a gold are left out, as `unreadable_golds` says."""

    sources: list[str] = field(default_factory=list)
    """Each file or table, with the keys that were used."""

    rows: int = 0
    found: Counter[str] = field(default_factory=Counter)
    """Golds by the way in which they were found."""

    examples: list[Example] = field(default_factory=list)
    """Up to `EXAMPLES` of each way."""

    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was done to the rows: choices put into questions, a system message kept or replaced."""

    as_told: list[str] = field(default_factory=list)
    """What was done because `load_task` was told to: described, and not warned of."""

    def take_example(self, example: Example) -> None:
        """Count the gold, and keep it where it is among the first of its way."""
        self.found[example.found] += 1
        if self.found[example.found] <= EXAMPLES:
            self.examples.append(example)

    def shown_examples(self) -> list[Example]:
        """Five, one of each way first."""
        rank: Counter[str] = Counter()
        ranked = []
        for number, example in enumerate(self.examples):
            rank[example.found] += 1
            ranked.append((rank[example.found], number, example))
        return [example for _, _, example in sorted(ranked, key=lambda r: r[:2])[:EXAMPLES]]

    def __str__(self) -> str:
        if not self.sources:
            return f"system prompt: {self.asked['system_prompt']!r:.400}"
        golds = [f"  {count} {way}" for way, count in self.found.most_common()]
        examples = [f"  {example}" for example in self.shown_examples()]
        dropped = [f"  {what}" for what in self.dropped] or ["  nothing"]
        lines = ["read from:", *(f"  {source}" for source in self.sources)]
        lines += ["gold answers, and where they were found:", *golds]
        lines += ["for example:", *examples, f"dropped of {self.rows} rows:", *dropped]
        notes = [f"note: {note}" for note in (*self.notes, *self.as_told)]
        return "\n".join([*lines, *notes])
