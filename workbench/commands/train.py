"""`workbench train`: put a run together, show it while it goes, end it cleanly."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.commands.evaluate_recorded import sampled_summary
from workbench.commands.printing import say_aside
from workbench.commands.resuming import (
    Parts,
    check_says_the_same,
    parts_of,
    resume_command,
)
from workbench.commands.saving import keep_what_is_whole, save_trained
from workbench.commands.views import JsonView, TerminalView
from workbench.config import METHODS, PRESETS, ConfigError, GRPOConfig
from workbench.distributed.torchrun import torchrun_rank, torchrun_size
from workbench.runs import Run, is_run_record

AUTO, DEFAULT_RANK = "auto", 16
"""What a bare --lora stands for, and the rank that it means where neither the run nor the policy
has one."""
LORA_LEARNING_RATE = 10
"""An adapter wants about ten times the learning rate of full fine-tuning (Schulman et al. 2025,
LoRA Without Regret)."""


def train_command(
    *,
    policy: str | None,
    task: str | None,
    rewards: Sequence[str] | None,
    preset: str | None,
    config_file: Path | None = None,
    changes: dict[str, Any],
    out: Path,
    resume: bool,
    threads: int | None,
    processes: int | None = None,
    control: str | None = None,
    as_json: bool,
    fault: str | None = None,
) -> None:
    """See `workbench train --help`. Of torchrun's processes all but the first help that one."""
    if torchrun_rank() > 0:
        from workbench.training.shared.helper import help_torchrun

        return help_torchrun()
    processes = processes or torchrun_size()
    started = time.monotonic()
    # Printed is `out`, as it was given; touched is this, wherever a reward function changes to.
    folder = out.absolute()
    _check_folder_free(out, resume)
    parts = parts_of(out, resume, policy, task, rewards, control)
    config = make_config(parts.policy, preset, changes, out if resume else None, config_file)
    say_what_it_takes(preset)
    view = JsonView() if as_json else TerminalView(out, parts.policy, parts.task)
    if config.method != "grpo":
        view.notice(_method_words(config, resume))
    named = preset is not None or config_file is not None
    if not named and not resume and (chosen := _chosen(config, changes)):
        view.notice(f"settings for this policy, unless named: {chosen}")
    go_on = resume_command(out, parts, threads, processes)
    with stop_request() as should_stop:
        trainer = _trainer(parts, config, folder, resume, threads, view.notice, fault, processes)
        if trainer.fault is not None:
            view.notice(f"fault injected on purpose: {trainer.fault.spec}")
        view.begin(trainer)
        with view:
            try:
                trainer.train(on_step=view.step, should_stop=should_stop)
                if trainer.steps_done < trainer.config.max_steps:
                    trainer.run.finish("stopped", "interrupted")
            except BaseException as error:
                keep_what_is_whole(
                    trainer,
                    error,
                    folder,
                    lambda place: resume_command(place, parts, threads, processes),
                )
                if isinstance(error, KeyboardInterrupt):
                    _say_broken_off(trainer.steps_done, go_on)
                raise
        saved, notice = save_trained(trainer.policy, folder)
    if notice:
        say_aside(notice)
    result = summary(folder, trainer.steps_done, time.monotonic() - started)
    result |= {"run": str(out), "policy": str(out / saved.relative_to(folder))}
    if trainer.config.eval_samples:
        result["sampled"] = sampled_summary(Run.open(folder))
    view.result(result, trainer.config.max_steps, go_on)


def _check_folder_free(out: Path, resume: bool) -> None:
    """Raises `ConfigError` where a new run would be written over another."""
    if not resume and is_run_record(out / "run.sqlite"):
        raise ConfigError(
            f"--out {out}: this folder holds a run already. Add --resume to go on with it, or "
            "name another folder."
        )


def _say_broken_off(steps_done: int, go_on: str) -> None:
    say_aside(f"broken off after step {steps_done}. Go on: {go_on}")


def make_config(
    policy: str,
    preset: str | None,
    changes: dict[str, Any],
    resumed: Path | None,
    config_file: Path | None = None,
) -> GRPOConfig:
    """The config of the run to resume, a preset, a file, or the default for the policy, with
    `changes` on top.

    An adapter gets ten times the learning rate that the preset has for all weights, unless
    `changes` name one. Where the policy is a saved adapter, the config has its rank, scale and
    targets, and the quantisation that it was trained on; lengths are those of the run that it lies
    in, unless a preset is named. A rank of "auto" is that of the run, or the saved adapter's, or
    16. Raises `ConfigError` where a preset or a file says something else than the run to resume.
    """
    if resumed is not None and is_run_record(resumed / "run.sqlite"):
        own = Run.open(resumed).config
        config = GRPOConfig.from_dict(own | _rank_named(changes, own))
        if preset is not None or config_file is not None:
            named = f"--config {config_file}" if preset is None else f"--preset {preset}"
            asked = _new_config(policy, preset, changes, config_file)
            check_says_the_same(named, resumed, config, asked)
        return config
    return _new_config(policy, preset, changes, config_file)


def _new_config(
    policy: str, preset: str | None, changes: dict[str, Any], config_file: Path | None
) -> GRPOConfig:
    """The config of a run that begins."""
    changes = _of_the_method(changes) | _as_saved(policy, changes)
    if config_file is not None:
        # As it was written: a file that makes an adapter says the adapter's learning rate.
        return _config_in(config_file, preset).replace(**changes)
    if preset is None and policy == "embedded":
        config = GRPOConfig.from_dict(changes)
    else:
        config = GRPOConfig.preset(
            preset or "real", **(lengths_of(policy) if preset is None else {}) | changes
        )
    if config.lora_rank > 0 and "learning_rate" not in changes:
        return config.replace(learning_rate=config.learning_rate * LORA_LEARNING_RATE)
    return config


def say_what_it_takes(preset: str | None) -> None:
    """Say aside what a preset would take, where that is more than one GPU has."""
    if preset is not None and PRESETS[preset].takes:
        say_aside(f"preset {preset}: {PRESETS[preset].takes}")


def _config_in(path: Path, preset: str | None) -> GRPOConfig:
    """The config of a file. Raises `ConfigError`, also where a preset is named beside it."""
    if preset is not None:
        raise ConfigError(
            f"--preset {preset} and --config {path} each say all settings. Leave one of them out."
        )
    try:
        return GRPOConfig.load(path)
    except OSError as error:
        raise ConfigError(f"--config {path} cannot be read: {error.strerror}.") from error


def _of_the_method(changes: dict[str, Any]) -> dict[str, Any]:
    """The settings that make the method that `changes` name, if they name one; an unknown name is
    left for the config to refuse."""
    method = METHODS.get(changes.get("method", ""))
    return {} if method is None else method.sets


def _method_words(config: GRPOConfig, resume: bool) -> str:
    """The method in a few words, and for a new run the fields that it sets."""
    method = config.method_facts
    words = f"method {config.method}: {method.words} ({method.source})"
    own = ", ".join(f"{name}={getattr(config, name)}" for name in method.sets)
    return words if resume or not own else f"{words}; it sets {own}"


def _chosen(config: GRPOConfig, changes: dict[str, Any]) -> str:
    """The settings that nobody named and that are not `GRPOConfig`'s own defaults: those of the
    preset "real", of an adapter, of the run that the policy lies in. What the method sets is said
    apart."""
    method = config.method_facts
    usual = GRPOConfig().to_dict() | method.sets
    return ", ".join(
        f"{name}={value}"
        for name, value in config.to_dict().items()
        if name not in changes and value != usual[name]
    )


def _rank_named(changes: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The changes with a number where a bare --lora left the rank open."""
    return (
        changes | {"lora_rank": own.get("lora_rank") or DEFAULT_RANK}
        if changes.get("lora_rank") == AUTO
        else changes
    )


def _as_saved(policy: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes with what a saved adapter is. Raises `PolicyError` where they ask for another
    one."""
    if not Path(policy).expanduser().is_dir():
        return _rank_named(changes, {})
    from workbench.policy.adapter import check_saved, saved_settings, stored_quantization
    from workbench.policy.loading.locate import adapter_folder

    folder = adapter_folder(policy)
    if folder is None:
        return _rank_named(changes, {})
    own = saved_settings(folder)
    changes = {"quantization": stored_quantization(folder)} | _rank_named(changes, own)
    check_saved(folder, policy, {n: v for n, v in changes.items() if n in own})
    return changes | own


def lengths_of(policy: str) -> dict[str, Any]:
    """The lengths that a policy was trained with, where it lies in the folder of its run
    (RUN/policy, RUN/adapter); else nothing."""
    run = run_of(policy)
    if run is None:
        return {}
    return {name: run.config[name] for name in ("max_completion_length", "max_prompt_length")}


def run_of(policy: str) -> Run | None:
    """The run in whose folder a policy, or a checkpoint, lies; None for any other policy."""
    folder = Path(policy).expanduser()
    # RUN/policy, RUN/adapter, RUN/checkpoints/step-000020.
    home = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    if not folder.is_dir() or not is_run_record(home / "run.sqlite"):
        return None
    return Run.open(home)


def summary(out: Path, steps: int, seconds: float) -> dict[str, Any]:
    """What a run came to: its folder, steps, held-out accuracy before and after (None where it was
    measured before alone), and seconds."""
    evaluations = Run.open(out).evaluations()
    first = evaluations.iloc[0]
    last = evaluations.iloc[-1]
    after = int(last.step) > 0 or steps == 0
    return {
        "run": str(out),
        "steps": steps,
        "accuracy_step": int(last.step),
        "accuracy_before": float(first.accuracy),
        "accuracy_after": float(last.accuracy) if after else None,
        "interval_after": [float(last.low), float(last.high)] if after else None,
        "problems": int(last.n),
        "seconds": round(seconds, 2),
    }


def set_threads(threads: int | None, policy: str, processes: int = 1) -> None:
    """CPU threads of each process: as asked, else one for the embedded policy (whose matrices are
    too small to share), else its part of torch's own."""
    import torch

    if threads is not None or policy == "embedded":
        torch.set_num_threads(threads or 1)
    elif processes > 1:
        torch.set_num_threads(max(torch.get_num_threads() // processes, 1))


def _trainer(
    parts: Parts,
    config: GRPOConfig,
    out: Path,
    resume: bool,
    threads: int | None,
    notice: Callable[[str], None],
    fault: str | None,
    processes: int,
) -> Any:
    notice("loading torch and transformers")
    from workbench.faults import make_fault
    from workbench.policy import load_policy
    from workbench.policy.quantization import KINDS
    from workbench.rewards import CONTROLS, DEFAULT_REWARDS, RewardSet, with_readable_golds
    from workbench.tasks.for_config import load_task_for
    from workbench.training.launch import start_run
    from workbench.training.same_run import check_same_problems

    set_threads(threads, parts.policy, processes)
    notice(f"loading policy {parts.policy} and task {parts.task}")
    chosen = RewardSet(parts.rewards or list(DEFAULT_REWARDS))
    # What is quick and may be wrong comes before the weights.
    mistake = None if fault is None else make_fault(fault)
    problems = with_readable_golds(load_task_for(config, parts.task), config.unreadable_golds)
    # A record is there only where a run goes on: a new one was refused beside it.
    goes_on = is_run_record(out / "run.sqlite")
    if goes_on:
        check_same_problems(Run.open(out), problems)
    loaded = load_policy(parts.policy, config=config)
    # Files that were stored quantised: the record says so.
    if not goes_on and loaded.quantization in KINDS:
        config = config.replace(quantization=loaded.quantization)
    notice("evaluating before the first step" if not resume else "going on")
    return start_run(
        out,
        policy=loaded,
        task=problems,
        config=config,
        resume=resume,
        rewards=CONTROLS[parts.control](chosen, config.seed) if parts.control else chosen,
        fault=mistake,
        processes=processes,
    )


@contextmanager
def stop_request() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks for a stop at the end of the step; the second one breaks
    off at once."""
    asked = False

    def ask(signum: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
