"""What verl's loop does otherwise than ours, whatever the settings say."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.compat.export.report import Row
from workbench.compat.export.source import Exported
from workbench.compat.export.trl_habits import happened, opened


def verl_habits(exported: Exported) -> Iterator[Row]:
    """A row for each."""
    config, problems = exported.config, len(exported.task.train)
    again = config.max_steps * config.prompts_per_step > problems
    yield Row(
        "the order of the prompts",
        "differs" if again else "mapped",
        theirs={"data.shuffle": False},
        note="train.jsonl has them in the run's own order."
        + (" In later epochs the workbench shuffles anew, and verl begins again." if again else ""),
        is_field=False,
    )
    for name, note in (
        ("the std of a group", "verl adds 1e-6 to it, the workbench 1e-4."),
        (
            "a reward of None",
            "score.py leaves it out of the completion's sum, as the workbench does; a completion "
            "that nobody scored counts 0, and in the workbench it is left out of its group.",
        ),
        (
            "one completion at a time",
            "verl asks for the score of each completion by itself: a reward function that compares "
            "the completions of a batch sees one.",
        ),
    ):
        yield Row(name, "differs", note=note, is_field=False)
    yield from opened(exported)
    yield from happened(exported)
