"""A reward check in words: what a terminal, a notebook and a log say of it alike."""

from __future__ import annotations

from workbench.rewards.check.result import RewardCheck

HEADINGS = ("kind", "texts", "paid", "false positive", "false negative", "not scored", "failed")
"""The columns of the table."""


def table_of(check: RewardCheck) -> list[tuple[str, ...]]:
    """The rows under `HEADINGS`, the last one their sum."""
    rows = [
        (
            counts.kind,
            *map(str, (counts.texts, counts.paid, counts.false_positives, counts.false_negatives)),
            *map(str, (counts.not_scored, counts.failed)),
        )
        for counts in check.counts()
    ]
    sums = [str(sum(int(row[i]) for row in rows)) for i in range(1, len(HEADINGS))]
    return [*rows, ("all", *sums)]


def form_of(check: RewardCheck) -> str:
    """In which form the answers were written, and why."""
    used = " and ".join(map(repr, check.written))
    if not check.forms:
        return f"Answers were written as asked for: {used}."
    best = max(check.forms.values())
    if best == 0:
        return (
            "In no form is the right answer paid more than a wrong one; answers were written as "
            f"{used}."
        )
    took = [name for name, share in check.forms.items() if share == best]
    return f"Right answers are told from wrong ones in: {', '.join(took)}. Used: {used}."


def verdict_of(check: RewardCheck) -> str:
    """What to make of it, in a sentence or a few."""
    said = []
    problems = len(check.problems)
    if check.blind:
        said.append(
            f"On {check.blind} of {problems} problems a plain wrong answer is paid as much as the "
            "right one: it does not look at the answer there. That is meant so for a reward of "
            "form or length, which needs another beside it."
        )
    if check.failures:
        said.append(
            f"{len(check.failures)} texts made it fail; in a training the first such completion "
            "ends the run. Return 0 for what cannot be read."
        )
    if check.false_positives:
        said.append(
            f"{len(check.false_positives)} texts are paid that should not be: a policy will find "
            "such ones."
        )
    if check.false_negatives:
        said.append(
            f"{len(check.false_negatives)} right answers are not paid: a policy unlearns these "
            "spellings."
        )
    if check.not_scored:
        said.append(f"{len(check.not_scored)} texts were not scored (None).")
    return " ".join(said) or "Nothing found: it pays the right answers and none of the attacks."


def described(check: RewardCheck) -> str:
    """The whole check as text, the table included."""
    table = [HEADINGS, *table_of(check)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADINGS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in table]
    head = f"reward {check.reward!r} on {len(check.problems)} problems of {check.task!r}"
    return "\n".join([head, form_of(check), "", *map(str.rstrip, lines), "", verdict_of(check)])
