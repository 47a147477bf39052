"""What cannot be shared out among processes, refused before any of them is started."""

from __future__ import annotations

from workbench.config import ConfigError, GRPOConfig
from workbench.config.engines import facts_of, runs_here
from workbench.distributed.torchrun import torchrun_size
from workbench.faults import Fault

BESIDE = {
    "critic": "it would learn in one process alone",
    "teacher": "each process would need a copy of it",
}
"""Models beside the policy that are not shared out, and why."""


def check_processes(processes: int) -> None:
    """Raises `ConfigError` for a number that there cannot be."""
    if processes < 1:
        raise ConfigError(f"processes={processes}: at least 1 is needed.")
    if torchrun_size() not in (1, processes):
        raise ConfigError(
            f"processes={processes}, but torchrun has started {torchrun_size()}. Leave one of the "
            "two numbers out."
        )


def check_shared(config: GRPOConfig, fault: Fault | None) -> None:
    """Raises `ConfigError` for a run that several processes cannot make."""
    if not facts_of(config).draws_by_row and runs_here(config):
        raise ConfigError(
            f"rollout_engine={config.rollout_engine!r} does not share its rollouts out: what a "
            "completion draws there depends on which others are drawn beside it. Several processes "
            "need rollout_engine='native', or servers that sample for all of them "
            "(vllm_mode='server')."
        )
    if config.rollout_staleness > 0:
        raise ConfigError(
            f"rollout_staleness={config.rollout_staleness} keeps the weights of earlier steps in "
            "one process, and the others would sample with those of now. Set rollout_staleness=0, "
            "or train with processes=1."
        )
    for model in config.method_facts.models:
        if model in BESIDE:
            raise ConfigError(
                f"method={config.method!r} has a {model} beside the policy, and {BESIDE[model]}. "
                "Train with processes=1."
            )
    if fault is not None:
        raise ConfigError(
            f"fault={fault.spec!r} is put into one process, and would not be in the others. "
            "Leave it out, or train with processes=1."
        )
