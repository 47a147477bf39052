"""What of a run the files do not say, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from workbench.exchange.readers import Completion
from workbench.exchange.tokens import Vocabulary, left_out_of


def missing(rows: Sequence[Completion]) -> list[str]:
    """What none of the files say, or not of every completion."""
    lacking = {
        "lengths in tokens (0 stands in their place)": [one.length is None for one in rows],
        "whether a completion was cut off": [one.truncated is None for one in rows],
        "advantages": [one.advantage is None for one in rows],
        "gold answers": [one.gold is None for one in rows],
    }
    absent = [what for what, is_missing in lacking.items() if any(is_missing)]
    absent += left_out_of([one.tokens for one in rows])
    absent += ["the objective's figures", "the run's settings"]
    notes = [f"Not in the files, or not of every completion: {', '.join(absent)}."]
    unread = Counter(name for one in rows for name in one.unread)
    if unread:
        notes.append(f"Columns not read: {', '.join(list(unread)[:20])}.")
    return notes


def token_notes(whole: Mapping[int, Sequence[Completion]], vocabulary: Vocabulary) -> list[str]:
    """What a reader of the tokens must know."""
    notes = []
    has = {step: [one.tokens is not None for one in rows] for step, rows in whole.items()}
    part = [step for step, known in has.items() if any(known) and not all(known)]
    if part:
        notes.append(
            "The tokens of these steps were left out, since not all of their completions have "
            f"some: {', '.join(map(str, part[:10]))}{' and more' if len(part) > 10 else ''}."
        )
    if vocabulary.numbered:
        notes.append("Token ids are not in the files: the texts were numbered as they came.")
    elif any(map(any, has.values())) and not vocabulary.has_texts:
        notes.append("The texts of the tokens are not in the files: they are shown by their ids.")
    if vocabulary.ambiguous:
        notes.append(
            f"{len(vocabulary.ambiguous)} token ids have several texts in the files: the first "
            "one is shown."
        )
    return notes


def evaluation_note(figures: Mapping[int, Mapping[str, float]]) -> list[str]:
    """What became of the completions of evaluations."""
    if not figures:
        return []
    count = sum(int(of_step["eval/completions"]) for of_step in figures.values())
    note = (
        f"Kept out of the training, since they are of an evaluation: {count} completions at "
        f"{len(figures)} steps; their mean rewards are the steps' eval/reward."
    )
    # The record of steps begins with 1.
    before = figures.get(0)
    return [note + ("" if before is None else f" At step 0 it is {before['eval/reward']:.4g}.")]
