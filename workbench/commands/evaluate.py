"""`workbench eval`: how good a policy is, without training it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.evaluate_progress import progress
from workbench.commands.evaluate_report import Evaluated, Report, report_dict
from workbench.commands.evaluate_run import (
    policy_of_control,
    policy_of_run,
    record_report,
    run_to_record_in,
)
from workbench.commands.evaluate_words import print_report
from workbench.commands.printing import say, say_aside, say_json
from workbench.commands.train import lengths_of, run_of, set_threads
from workbench.runs.environment import describe_environment

if TYPE_CHECKING:
    from workbench.evaluation import Contamination
    from workbench.evaluation.sampled import HowToAnswer
    from workbench.policy import Policy
    from workbench.runs import Answered
    from workbench.tasks.types import Problem, Task

USUAL_TASK = "arithmetic"
"""What a policy is asked where neither the command nor a run names a task."""


@dataclass(frozen=True)
class EvalRequest:
    """What the command line asks for; see `workbench eval --help`."""

    policy: str
    task: str | None
    keys: dict[str, str | None]
    """Names of the columns of a file or data set."""
    system_prompt: str | None
    skip_unreadable: bool
    problems: int
    samples: int
    temperature: float
    seed: int
    max_completion_length: int | None
    rollout: str | None
    dtype: str | None
    quantization: str | None
    keep: Path | None
    """The file of the completions."""
    control: str | None
    """Another policy, or 'start': that which the policy's run began with."""
    record: bool
    threads: int | None
    as_json: bool


def eval_command(run: Path | None, read: Path | None, request: EvalRequest) -> None:
    """See `workbench eval --help`. `run` is a folder whose policy is evaluated, `read` a file of
    answers that is shown without a policy."""
    if read is not None:
        _show_kept(read, request.as_json)
        return
    policy = request.policy if run is None else policy_of_run(run, request.policy)
    set_threads(request.threads, policy)
    _check_engine(request.rollout)
    # All that may be wrong and is quick comes before the weights.
    recorded_in = run_to_record_in(policy) if request.record else None
    control = None if request.control is None else policy_of_control(request.control, policy)
    task = _task(request, policy)
    problems = task.held_out[: request.problems]
    found = _evaluated(request, policy, task, problems, request.keep)
    beside = None
    if control is not None:
        keep = request.keep and request.keep.with_suffix(f".control{request.keep.suffix}")
        beside = _evaluated(request, control, task, problems, keep, found.how)
    report = Report(found, beside, _contamination(policy, task, problems), request.keep)
    steps = [] if recorded_in is None else record_report(recorded_in, task, report, request.control)
    if request.as_json:
        say_json(report_dict(report) | _when_and_where() | {"recorded_at_steps": steps})
        return
    print_report(report)
    for step in steps:
        say(f"Recorded at step {step} of {recorded_in!r}.")


def _show_kept(file: Path, as_json: bool) -> None:
    """The figures of a file of answers."""
    from workbench.evaluation import read_answers
    from workbench.evaluation.sampled import HowToAnswer

    kept = read_answers(file)
    names = HowToAnswer.__dataclass_fields__
    how = HowToAnswer(**{name: kept.asked[name] for name in names if name in kept.asked})
    found = Evaluated(kept.asked["policy"], "", kept.asked["task"], how, kept.answers, kept.asked)
    report = Report(found, None, None, file)
    if as_json:
        say_json(report_dict(report))
    else:
        print_report(report)


# ------------------------------------------------------------ who is asked what


def _task(request: EvalRequest, policy: str) -> Task:
    """The task with the problems whose gold answers can be compared."""
    from workbench.rewards import with_readable_golds
    from workbench.tasks import load_task
    from workbench.tasks.for_config import prompt_of

    source = request.task
    if source is None:
        source, notice = _task_of(policy)
        if notice:
            say_aside(notice)
    unreadable_golds = "skip" if request.skip_unreadable else "refuse"
    read = load_task(
        source,
        request.seed,
        **request.keys,
        system_prompt=prompt_of(request.system_prompt),
        unreadable_golds=unreadable_golds,
    )
    return with_readable_golds(read, unreadable_golds)


def _when_and_where() -> dict[str, Any]:
    """A figure without these cannot be compared with one of another day."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "environment": describe_environment(),
    }


def _task_of(policy: str) -> tuple[str, str]:
    """The task where none was named, and what is to be said of it: that of the policy's run where
    it is known by name, else the usual one."""
    from workbench.tasks import TASKS, is_hub_name

    run = run_of(policy)
    own = USUAL_TASK if run is None else run.meta.task
    if own == USUAL_TASK:
        return USUAL_TASK, ""
    if own in TASKS or is_hub_name(own):
        return own, f"The task is {own}, that of the policy's run; --task names another."
    return USUAL_TASK, (
        f"note: the policy was trained on another task, {own!r}; it is asked {USUAL_TASK} here. "
        "--task FILE names the run's own."
    )


def _check_engine(rollout: str | None) -> None:
    """Before any weights are read."""
    from workbench.config import GRPOConfig
    from workbench.rollout import check_engine

    if rollout is not None:
        check_engine(GRPOConfig(rollout_engine=rollout))


def _contamination(policy: str, task: Task, problems: Any) -> Contamination:
    """What the problems share with those of the task's training split, and of the task that the
    policy's run was trained on, where that is another one known by name."""
    from workbench.evaluation import find_contamination
    from workbench.tasks import TASKS, load_task

    trained = list(task.train)
    run = run_of(policy)
    if run is not None and run.meta.task != task.name and run.meta.task in TASKS:
        trained += load_task(run.meta.task, run.meta.seed or 0).train
    return find_contamination(problems, trained)


# ------------------------------------------------------------ its answers


def _evaluated(
    request: EvalRequest,
    policy: str,
    task: Task,
    problems: Any,
    keep: Path | None,
    how: HowToAnswer | None = None,
) -> Evaluated:
    """One policy's answers; `how` is that of the policy that it is the control of."""
    from workbench.evaluation.prompts import check_prompts
    from workbench.evaluation.recorded import asked_as
    from workbench.evaluation.sampled import HowToAnswer
    from workbench.policy import load_policy

    loaded = load_policy(
        policy, dtype=request.dtype, quantization=request.quantization, trainable=False
    )
    if how is None:
        length = request.max_completion_length or _usual_length(policy, loaded)
        how = HowToAnswer(request.samples, length, request.temperature, seed=request.seed)
    check_prompts(loaded, task, problems, how.max_completion_length)
    answers = _answers(request, loaded, task, problems, how, keep)
    facts = {
        "dtype": str(loaded.weight_dtype).removeprefix("torch."),
        "quantization": loaded.quantization,
    }
    asked = asked_as(loaded, task, problems, how) | facts
    return Evaluated(policy, loaded.quantization, request.task or task.name, how, answers, asked)


def _answers(
    request: EvalRequest,
    policy: Policy,
    task: Task,
    problems: list[Problem],
    how: HowToAnswer,
    keep: Path | None,
) -> list[Answered]:
    """All answers, with a bar on a terminal; the engine's memory is given back at the end."""
    from workbench.evaluation.sampled import answer_all
    from workbench.rollout import make_engine

    name = request.rollout or "native"
    engine = make_engine(name, policy.model, policy.eos_token_ids, policy.pad_token_id)
    try:
        with progress(len(problems), quiet=request.as_json) as show:
            return answer_all(engine, policy, task, problems, how, keep=keep, on_progress=show)
    finally:
        engine.free()


def _usual_length(policy: str, loaded: Any) -> int:
    """As in the run that the policy lies in; else 48 for the embedded one, and 256 or half the
    positions for another."""
    own = lengths_of(policy).get("max_completion_length")
    if own:
        return int(own)
    if policy == "embedded":
        return 48
    decoder = loaded.model.config.get_text_config(decoder=True)
    positions = getattr(decoder, "max_position_embeddings", None) or 512
    return int(min(256, positions // 2))
