"""What a check of a reward function found: a row per text, and counts by kind.

Nothing in here needs a model, a widget or a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas

Verdict = Literal[
    "as expected", "false positive", "false negative", "either", "not scored", "failed"
]
"""What is said of one text: "either" where both answers of the reward would do, "not scored" where
it returned None, "failed" where it raised or did not return."""


@dataclass(frozen=True)
class Row:
    """One text that the reward was asked about."""

    kind: str
    """What was tried, such as "negation"; a key of `KINDS`."""

    note: str
    """Which of its kind, such as "'not' before the gold answer"."""

    problem: int
    """Index of the problem in `RewardCheck.problems`."""

    question: str
    gold: str

    text: str
    """The completion. Hostile on purpose: escape it wherever it is shown."""

    expected: bool | None
    """True = should be paid, False = should not, None = a matter of taste."""

    score: float | None
    """What the reward returned; None where it said None or failed."""

    paid_from: float
    """The score from which on a text of this problem counts as paid."""

    failure: str = ""
    """What the reward raised, where it did."""

    @property
    def paid(self) -> bool | None:
        """Whether the text was paid; None where it was not scored."""
        return None if self.score is None else self.score >= self.paid_from

    @property
    def verdict(self) -> Verdict:
        """Whether that is as it should be."""
        if self.failure:
            return "failed"
        if self.paid is None:
            return "not scored"
        if self.expected is None:
            return "either"
        if self.paid == self.expected:
            return "as expected"
        return "false positive" if self.paid else "false negative"

    def to_dict(self) -> dict[str, Any]:
        """All fields with `paid` and `verdict`, as JSON takes them."""
        return asdict(self) | {"paid": self.paid, "verdict": self.verdict}


@dataclass(frozen=True)
class KindCounts:
    """How a reward did on the texts of one kind."""

    kind: str
    texts: int
    paid: int
    false_positives: int
    false_negatives: int
    not_scored: int
    failed: int


@dataclass(frozen=True)
class RewardCheck:
    """All that a check found. `frame()` has a row per text, `counts()` a row per kind, `str()` says
    it in words."""

    reward: str
    """The name of the reward function in a record."""

    task: str
    """The name of the task."""

    problems: tuple[str, ...]
    """The questions that were asked."""

    written: tuple[str, ...]
    """The forms in which answers were written, `{answer}` in their place."""

    forms: dict[str, float]
    """By form the share of problems for which the right answer is paid more than a wrong one."""

    blind: int
    """Problems for which a wrong answer is paid at least as much as the right one in every form."""

    rows: tuple[Row, ...]

    @cached_property
    def _by_verdict(self) -> dict[Verdict, list[Row]]:
        found: dict[Verdict, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.verdict, []).append(row)
        return found

    @property
    def false_positives(self) -> list[Row]:
        """Texts that were paid and should not be: what a policy will find."""
        return self._by_verdict.get("false positive", [])

    @property
    def false_negatives(self) -> list[Row]:
        """Right answers that were not paid."""
        return self._by_verdict.get("false negative", [])

    @property
    def failures(self) -> list[Row]:
        """Texts on which the reward raised or did not return: each would end a training."""
        return self._by_verdict.get("failed", [])

    @property
    def not_scored(self) -> list[Row]:
        """Texts for which the reward returned None."""
        return self._by_verdict.get("not scored", [])

    def counts(self) -> list[KindCounts]:
        """The table: a row per kind, in the order of the check."""
        kinds = dict.fromkeys(row.kind for row in self.rows)
        return [_counted(kind, [r for r in self.rows if r.kind == kind]) for kind in kinds]

    def frame(self) -> pandas.DataFrame:
        """A row per text with the columns of `Row.to_dict`."""
        import pandas

        return pandas.DataFrame([row.to_dict() for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {
            "reward": self.reward,
            "task": self.task,
            "problems": list(self.problems),
            "written": list(self.written),
            "forms": self.forms,
            "blind": self.blind,
            "texts": len(self.rows),
            "false_positives": len(self.false_positives),
            "false_negatives": len(self.false_negatives),
            "not_scored": len(self.not_scored),
            "failed": len(self.failures),
            "kinds": [asdict(counts) for counts in self.counts()],
            "rows": [row.to_dict() for row in self.rows],
        }

    def __str__(self) -> str:
        from workbench.rewards.check.words import described

        return described(self)


def _counted(kind: str, rows: Sequence[Row]) -> KindCounts:
    def count(holds: Callable[[Row], bool]) -> int:
        return sum(map(holds, rows))

    return KindCounts(
        kind=kind,
        texts=len(rows),
        paid=count(lambda row: row.paid is True),
        false_positives=count(lambda row: row.verdict == "false positive"),
        false_negatives=count(lambda row: row.verdict == "false negative"),
        not_scored=count(lambda row: row.verdict == "not scored"),
        failed=count(lambda row: row.verdict == "failed"),
    )
