"""An evaluation with samples as the record keeps it: the same figures before, during and after a
training, over all problems and over each kind, subject and level of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from workbench.config import GRPOConfig
from workbench.evaluation.answer_file import EvaluationError
from workbench.evaluation.answered import (
    GROUPINGS,
    JUDGES,
    Verdict,
    labelled,
    summarize,
    verdicts,
)
from workbench.evaluation.comparing import Gain, gain
from workbench.evaluation.sampled import HowToAnswer, answer_all, asked_of
from workbench.policy.policy import Policy
from workbench.rollout.types import RolloutEngine
from workbench.runs import Run
from workbench.runs.sampled_evaluation import Answered, Figure, SampledEvaluation
from workbench.tasks.types import Problem, Task

HELD_OUT = "held_out"
"""The split's name where the problems are those that the run's own task holds out."""


def sampled_evaluations(
    engine: RolloutEngine, policy: Policy, task: Task, config: GRPOConfig, step: int
) -> list[SampledEvaluation]:
    """What the config asks for after `step`: none where `eval_samples` is 0 or none is due.

    The samples are drawn at temperature 1 and from a seed of the config's own, whatever knob has
    moved, so that those of two steps can be compared; the training's generator is not touched.
    """
    if not config.evaluates_samples_at(step):
        return []
    problems = task.held_out[: config.eval_samples_problems]
    how = HowToAnswer(
        config.eval_samples,
        config.max_completion_length,
        seed=config.seed,
        batch_size=config.completions_per_step,
    )
    answers = answer_all(engine, policy, task, problems, how)
    return [as_recorded(answers, asked_as(policy, task, problems, how))]


def asked_as(
    policy: Policy, task: Task, problems: Sequence[Problem], how: HowToAnswer
) -> dict[str, Any]:
    """All that the answers depend on, without the text that each of them would repeat."""
    asked = asked_of(policy, task, problems, how)
    return {name: value for name, value in asked.items() if name != "system_prompt"}


def as_recorded(
    answers: Sequence[Answered], asked: Mapping[str, Any], split: str = HELD_OUT
) -> SampledEvaluation:
    """The evaluation that these answers are."""
    return SampledEvaluation(split, figures_of(judged_by_all(answers)), answers, asked)


def judged_by_all(answers: Sequence[Answered]) -> dict[str, list[Verdict]]:
    """The verdicts of each judge; made once, since an expression takes its time."""
    return {judge: verdicts(answers, judge) for judge in JUDGES}


def figures_of(judged: Mapping[str, Sequence[Verdict]]) -> list[Figure]:
    """Every figure of every judge: over all problems, then by each grouping that they have."""
    found = []
    for judge, of_judge in judged.items():
        found += _figures(judge, "all", "", of_judge)
        for grouping in GROUPINGS:
            for label, of_label in labelled(of_judge, grouping).items():
                found += _figures(judge, grouping, label, of_label)
    return found


def _figures(judge: str, grouping: str, label: str, judged: Sequence[Verdict]) -> list[Figure]:
    return [
        Figure(judge, grouping, label, name, **asdict(estimate))
        for name, estimate in summarize(judged).items()
    ]


# ------------------------------------------------------------ read back


def answers_at(run: Run, step: int, split: str = HELD_OUT) -> list[Answered]:
    """The answers of the evaluation with samples that a run's record has at `step`. Raises
    `EvaluationError` where it has none there."""
    frame = run.sampled_answers()
    found = frame[(frame["step"] == step) & (frame["split"] == split)]
    if found.empty:
        steps = sorted({int(at) for at in frame[frame["split"] == split]["step"]})
        raise EvaluationError(
            f"{run!r} has no evaluation with samples of {split!r} at step {step}, but at "
            f"{steps}. Make one: workbench train --eval-samples K, or workbench eval RUN "
            "--samples K --control start --record."
        )
    names = [field.name for field in fields(Answered)]
    return [Answered(**row) for row in found[names].to_dict("records")]


def asked_at(run: Run, step: int, split: str = HELD_OUT) -> dict[str, Any]:
    """All that those answers depend on."""
    frame = run.sampled_evaluations()
    found = frame[(frame["step"] == step) & (frame["split"] == split)]
    return dict(found["asked"].iloc[0])


def gain_of_run(run: Run, judge: str = "strict", split: str = HELD_OUT) -> Gain:
    """What the training has sharpened and what it has added, from the first to the last evaluation
    with samples in its record. Raises `EvaluationError` where there are not two."""
    frame = run.sampled_evaluations()
    steps = frame[frame["split"] == split]["step"]
    first = int(steps.min()) if len(steps) else 0
    last = int(steps.max()) if len(steps) else run.last_step()
    if first == last:
        # Says so, where there is none at all.
        answers_at(run, first, split)
        raise EvaluationError(
            f"{run!r} has one evaluation with samples, at step {first}: a gain needs one before "
            "and one after. Make the other: workbench eval RUN --samples K --control start "
            "--record."
        )
    before = verdicts(answers_at(run, first, split), judge)
    return gain(before, verdicts(answers_at(run, last, split), judge))
