"""`workbench eval`: how good a policy is, without training it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.evaluate_progress import progress
from workbench.commands.evaluate_report import Report, report_dict
from workbench.commands.evaluate_run import (
    OfRun,
    load_named,
    policy_of_control,
    policy_of_run,
    record_report,
    recorded_of_run,
    run_to_record_in,
)
from workbench.commands.evaluate_words import print_report
from workbench.commands.printing import say, say_aside, say_json
from workbench.commands.train import lengths_of, run_of, set_threads
from workbench.config import ConfigError
from workbench.runs.environment import describe_environment

if TYPE_CHECKING:
    from workbench.evaluation import Contamination, EvaluationResult
    from workbench.evaluation.sampled import HowToAnswer
    from workbench.policy import Policy
    from workbench.tasks.types import Task

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
    recorded: bool
    """Of a run: what its record holds, and nothing asked anew."""
    step: int | None
    """Of a run: the checkpoint, or the recorded evaluation, of this step."""
    threads: int | None
    as_json: bool


def eval_command(run: Path | None, read: Path | None, request: EvalRequest) -> None:
    """See `workbench eval --help`. `run` is a folder whose policy, checkpoint or recorded
    evaluation is shown, `read` a file of answers that is shown without a policy."""
    if read is not None:
        _show(_kept(read), None, read, request)
        return
    if run is None and (request.recorded or request.step is not None):
        raise ConfigError("--recorded and --step are of a run: workbench eval RUN --step N.")
    if run is not None and request.recorded:
        recorded = recorded_of_run(run, request.policy, request.step)
        _show(_recorded(recorded), recorded, None, request)
        return
    of_run = None if run is None else policy_of_run(run, request.policy, request.step)
    policy = request.policy if of_run is None else of_run.folder
    set_threads(request.threads, policy)
    _check_engine(request.rollout)
    # All that may be wrong and is quick comes before the weights.
    recorded_in = run_to_record_in(policy) if request.record else None
    control = None if request.control is None else policy_of_control(request.control, policy)
    task = _task(request, policy)
    problems = task.held_out[: request.problems]
    if of_run is not None:
        say_aside(f"Evaluated is {of_run}.")
    found = _evaluated(request, policy, task, problems, request.keep)
    beside = None
    if control is not None:
        keep = request.keep and request.keep.with_suffix(f".control{request.keep.suffix}")
        beside = _evaluated(request, control, task, problems, keep, found.how)
    contamination = _contamination(policy, task, problems)
    report = Report(found, beside, contamination, request.keep, of_run)
    steps = [] if recorded_in is None else record_report(recorded_in, task, report, request.control)
    if request.as_json:
        say_json(report_dict(report) | _when_and_where() | {"recorded_at_steps": steps})
        return
    print_report(report)
    for step in steps:
        say(f"Recorded at step {step} of {recorded_in!r}.")


def _show(
    found: EvaluationResult, of_run: OfRun | None, kept: Path | None, request: EvalRequest
) -> None:
    """What was answered before."""
    report = Report(found, None, None, kept, of_run)
    if request.as_json:
        say_json(report_dict(report))
    else:
        print_report(report)


def _kept(file: Path) -> EvaluationResult:
    """The answers of a file."""
    from workbench.evaluation import EvaluationResult, read_answers
    from workbench.evaluation.result import how_of

    kept = read_answers(file)
    asked = kept.asked
    return EvaluationResult(asked["policy"], "", asked["task"], how_of(asked), kept.answers, asked)


def _recorded(of_run: OfRun) -> EvaluationResult:
    """The answers that the run's record holds."""
    from workbench.evaluation import result_at
    from workbench.runs import Run

    say_aside(f"Shown is {of_run}; nothing was asked anew.")
    return result_at(Run.open(of_run.run), of_run.step)


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
) -> EvaluationResult:
    """One policy's answers, with a bar on a terminal; `how` is that of the policy that it is the
    control of."""
    from workbench.evaluation.asking import answered_by
    from workbench.evaluation.sampled import HowToAnswer

    loaded = load_named(policy, request.dtype, request.quantization)
    if how is None:
        length = request.max_completion_length or _usual_length(policy, loaded)
        how = HowToAnswer(request.samples, length, request.temperature, seed=request.seed)
    with progress(len(problems), quiet=request.as_json) as show:
        return answered_by(
            loaded,
            task,
            problems,
            how,
            request.rollout or "native",
            keep,
            show,
            name=policy,
            task_name=request.task,
        )


def _usual_length(policy: str, loaded: Policy) -> int:
    """As in the run that the policy lies in; else what is usual for it."""
    from workbench.evaluation.asking import usual_length

    own = lengths_of(policy).get("max_completion_length")
    return int(own) if own else usual_length(loaded)
