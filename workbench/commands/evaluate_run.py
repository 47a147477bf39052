"""What `workbench eval` has to do with a run: whose policy it is, what it began as, and the record
that the figures are written into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.commands.train import run_of
from workbench.config import ConfigError
from workbench.runs import Run, is_run_record

if TYPE_CHECKING:
    from workbench.commands.evaluate_report import Report
    from workbench.tasks.types import Task

START = "start"
"""As a control: the policy that the run began with."""


def policy_of_run(run: Path, policy: str) -> str:
    """What the run has trained: its merged policy, else its adapter. Raises `ConfigError` where
    there is neither, and where another policy is named beside it."""
    if policy != "embedded":
        raise ConfigError(
            f"both {str(run)!r} and --policy {policy!r} say whom to evaluate. Name one of them."
        )
    folder = run.expanduser()
    if not is_run_record(folder):
        raise ConfigError(
            f"{str(run)!r} is no run's folder: it holds no run.sqlite. Another policy is named "
            "with --policy."
        )
    for name in ("policy", "adapter"):
        if (folder / name).is_dir():
            return str(folder / name)
    raise ConfigError(
        f"{str(run)!r} holds no trained policy yet, no policy/ or adapter/: they are written when "
        f"a training ends. Go on with it: workbench train --resume --out {run}"
    )


def policy_of_control(control: str, policy: str) -> str:
    """The control's policy. Raises `ConfigError` for 'start' where the policy lies in no run, or
    its run's own start is gone."""
    if control != START:
        return control
    run = run_of(policy)
    if run is None:
        raise ConfigError(
            f"--control start: {policy!r} lies in no run's folder, so it is not known what it "
            "began as. Name the untrained policy: --control POLICY."
        )
    return run.meta.policy


# ------------------------------------------------------------ into the record


def run_to_record_in(policy: str) -> Run:
    """The run that the policy lies in. Raises `ConfigError` where it lies in none."""
    from workbench.runs.store.writer import check_left

    run = run_of(policy)
    if run is None:
        raise ConfigError(
            f"--record: {policy!r} lies in no run's folder, so there is no record to write into. "
            "Evaluate RUN (workbench eval RUN --record), or keep the answers with --out FILE."
        )
    check_left(run.path)
    return run


def record_report(run: Run, task: Task, report: Report, control: str | None) -> list[int]:
    """Write the evaluation at the run's last step, and that of the policy which it began with at
    step 0; the steps."""
    from workbench.evaluation.recorded import HELD_OUT, as_recorded
    from workbench.runs.store.adding import add_sampled_evaluation
    from workbench.tasks.digest import problems_digest

    is_own = run.meta.environment.get("problems_digest") == problems_digest(task)
    split = HELD_OUT if is_own else task.name
    at_step = {run.last_step(): report.evaluated}
    if control == START and report.control is not None:
        at_step = {0: report.control} | at_step
    for step, evaluated in at_step.items():
        evaluation = as_recorded(evaluated.answers, evaluated.asked, split)
        add_sampled_evaluation(run.path, step, evaluation)
    return list(at_step)
