"""What `workbench eval` has to do with a run: whose policy it is, what it began as, and the record
that the figures are written into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.train import run_of
from workbench.config import ConfigError, GRPOConfig
from workbench.runs import Run, is_run_record

if TYPE_CHECKING:
    from workbench.commands.evaluate_report import Report
    from workbench.policy import Policy
    from workbench.tasks.types import Task

START = "start"
"""As a control: the policy that the run began with."""


@dataclass(frozen=True)
class OfRun:
    """What of a run is evaluated."""

    run: Path
    what: str
    """"policy" or "adapter" (written when a training ends), "checkpoint" or "recorded
    evaluation"."""
    step: int
    """After which it was saved, or made."""
    folder: str = ""
    """Where the weights lie; empty for what is recorded."""

    def as_dict(self) -> dict[str, Any]:
        """As it is printed in JSON."""
        return {"run": str(self.run), "what": self.what, "step": self.step}

    def __str__(self) -> str:
        kinds = {"policy": "the final policy", "adapter": "the final adapter"}
        return f"{kinds.get(self.what, f'the {self.what}')} of {self.run}, step {self.step}"


def policy_of_run(run: Path, policy: str, step: int | None) -> OfRun:
    """What the run has trained: its merged policy, else its adapter, else its newest checkpoint;
    with `step` the checkpoint of that step. Raises `ConfigError` where there is none, and where
    another policy is named beside it."""
    from workbench.training.checkpoints import folder_of, steps_in

    folder = _folder_of_run(run, policy)
    root = folder / "checkpoints"
    saved = steps_in(root)
    if step is not None and step not in saved:
        raise ConfigError(
            f"--step {step}: {str(run)!r} has no checkpoint of that step, but those of {saved}."
        )
    if step is None:
        for name in ("policy", "adapter"):
            if (folder / name).is_dir():
                return OfRun(run, name, Run.open(folder).last_step(), str(folder / name))
        if not saved:
            raise ConfigError(
                f"{str(run)!r} holds no policy/, no adapter/ and no checkpoint: nothing of it can "
                f"be asked. Train it: workbench train --resume --out {run}"
            )
    chosen = saved[-1] if step is None else step
    return OfRun(run, "checkpoint", chosen, str(folder_of(root, chosen)))


def recorded_of_run(run: Path, policy: str, step: int | None) -> OfRun:
    """The evaluation with samples that the run's record has at `step`, else the last. Raises
    `ConfigError` where it has none."""
    from workbench.evaluation.recorded import HELD_OUT

    folder = _folder_of_run(run, policy)
    frame = Run.open(folder).sampled_evaluations()
    steps = sorted({int(at) for at in frame[frame["split"] == HELD_OUT]["step"]})
    if not steps or (step is not None and step not in steps):
        at = "" if step is None else f" of step {step}"
        raise ConfigError(
            f"--recorded: the record of {str(run)!r} has no evaluation with samples{at}, but those "
            f"of {steps}. Make them in the training (--eval-samples K), or evaluate now: leave "
            "--recorded away. The greedy accuracies stand in `workbench runs`."
        )
    return OfRun(run, "recorded evaluation", steps[-1] if step is None else step)


def _folder_of_run(run: Path, policy: str) -> Path:
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
    return folder


def load_named(policy: str, dtype: str | None, quantization: str | None) -> Policy:
    """What `load_policy` takes, or a run's folder of a checkpoint (RUN/checkpoints/step-000020),
    whose base and precision are the run's own."""
    from workbench.policy import load_policy
    from workbench.training import checkpoints

    place = Path(policy).expanduser()
    run = run_of(policy)
    if run is None or not (place / "manifest.json").is_file():
        return load_policy(policy, dtype=dtype, quantization=quantization, trainable=False)
    if dtype is not None or quantization is not None:
        raise ConfigError(
            f"--dtype and --quantization: {policy!r} is a checkpoint, whose weights are as the run "
            "trains them. Leave both away."
        )
    step = int(place.name.removeprefix("step-"))
    weights = checkpoints.load(place.parent, step).tensors["weights"]
    loaded = load_policy(run.meta.policy, config=GRPOConfig.from_dict(run.config))
    loaded.load_trainable_state(weights)
    return loaded


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
    """Write the evaluation at the step that was evaluated (else the run's last), and that of the
    policy which it began with at step 0; the steps."""
    from workbench.evaluation.recorded import HELD_OUT, as_recorded
    from workbench.runs.store.adding import add_sampled_evaluation
    from workbench.tasks.digest import problems_digest

    is_own = run.meta.environment.get("problems_digest") == problems_digest(task)
    split = HELD_OUT if is_own else task.name
    step = run.last_step() if report.of_run is None else report.of_run.step
    at_step = {step: report.evaluated}
    if control == START and report.control is not None:
        at_step = {0: report.control} | at_step
    for step, evaluated in at_step.items():
        evaluation = as_recorded(evaluated.answers, evaluated.asked, split)
        add_sampled_evaluation(run.path, step, evaluation)
    return list(at_step)
