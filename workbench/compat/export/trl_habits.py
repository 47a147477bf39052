"""What TRL's loop does otherwise than ours, whatever the settings say."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.compat.export.report import Row
from workbench.compat.export.source import Exported
from workbench.compat.translation import shown


def habits(exported: Exported) -> Iterator[Row]:
    """A row for each."""
    yield from order(exported)
    yield Row(
        "a reward of None",
        "differs",
        note="In TRL a completion that a function did not score counts 0 from it; in the workbench "
        "it is left out of that completion's sum, and the completion is not punished for it.",
        is_field=False,
    )
    yield Row(
        "groups with equal rewards",
        "differs",
        note="In the workbench their advantages are exactly 0; in TRL the rounding of their mean "
        "may leave some 1e-4.",
        is_field=False,
    )
    yield from opened(exported)
    yield from happened(exported)


def happened(exported: Exported) -> Iterator[Row]:
    """What was done to the run while it went on."""
    for sentence in exported.happened:
        yield Row("what happened in the run", "none", note=sentence, is_field=False)


def order(exported: Exported) -> Iterator[Row]:
    """The order of the prompts: that of the first epoch stands in the file."""
    config, problems = exported.config, len(exported.task.train)
    drawn = config.max_steps * config.prompts_per_step
    yield Row(
        "the order of the prompts",
        "differs" if drawn > problems else "mapped",
        theirs={"shuffle_dataset": False},
        note="train.jsonl has them in the run's own order."
        + (
            f" The run draws {drawn} from {problems}: in later epochs the workbench shuffles "
            "anew, and TRL begins the file again."
            if drawn > problems
            else ""
        ),
        is_field=False,
    )


def opened(exported: Exported) -> Iterator[Row]:
    """What the template writes of an answer."""
    if exported.opened == "":
        return
    beginning = (
        "Where the chat template begins the answer itself (<think>)"
        if exported.opened is None
        else f"The chat template begins the answer itself, with {shown(exported.opened)}"
    )
    yield Row(
        "the beginning of an answer",
        "differs",
        note=f"{beginning}, reward functions see that with the completion in the workbench, and "
        "not in this folder: a reward for the format may pay nothing.",
        is_field=False,
    )
