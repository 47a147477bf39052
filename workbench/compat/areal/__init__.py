"""AReaL's `gsm8k_grpo.yaml` and its like, read into a `GRPOConfig`.

AReaL (github.com/inclusionAI/AReaL) keeps a run in one YAML file, whose names changed between its
releases; those of 0.3.1 to 1.0.4 are known here. What stands in a Python script beside it, the
reward function above all, is not in the file and has to be named.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.compat.areal import rules
from workbench.compat.areal.critic import critic
from workbench.compat.areal.files import read_flat
from workbench.compat.areal.reader import Reader
from workbench.compat.areal.tables import RENAMED
from workbench.compat.translation import Translation
from workbench.config import PRESETS, ConfigError, GRPOConfig

__all__ = ["ArealTranslation", "read_areal"]

SECTIONS = ("gconfig", "actor")
"""A file that has neither is none of AReaL's RL configs."""


@dataclass(frozen=True)
class ArealTranslation(Translation):
    """What became of an AReaL file. `policy` and `task` are not part of a `GRPOConfig`."""

    policy: str | None = None
    """actor.path, a Hugging Face model id or a folder."""

    task: str | None = None
    """The task by its name here, or train_dataset.path."""

    def command(self, config_file: str) -> str:
        """The command that trains with the config, once it was saved."""
        words = ["workbench", "train", "--config", config_file]
        if self.policy is not None:
            words += ["--policy", self.policy]
        if self.task is not None:
            words += ["--task", self.task]
        return shlex.join(words)


def read_areal(
    path: str | Path, *, train_problems: int | None = None
) -> tuple[GRPOConfig, ArealTranslation]:
    """The config of an AReaL file, and what became of each of its settings.

    Where the file has a section and leaves a setting out, AReaL's own default is taken; where a
    whole section is missing, the preset "real" stays. `train_problems` turns epochs into steps; for
    GSM8K it is known. Raises `ConfigError`.
    """
    flat = read_flat(path)
    reader = Reader(flat)
    if not any(reader.section(name) for name in SECTIONS):
        raise ConfigError(
            f"{str(path)!r} has neither of the sections {' and '.join(SECTIONS)}: it is no RL "
            "config of AReaL. For a file of GRPOConfig fields use GRPOConfig.load(path) "
            "(workbench train --config)."
        )
    # In this order: a rule reads what the ones above it took.
    reader.renamed()
    critic(reader)
    rules.rewards(reader)
    rules.objective(reader)
    rules.sampler_correction(reader)
    rules.optimizer(reader)
    rules.adapter(reader)
    rules.length(reader, train_problems)
    rules.memory(reader)
    policy, task = _policy_and_task(reader)
    reader.neutral()
    reader.left()
    kept = _kept(reader.values)
    try:
        config = GRPOConfig.from_dict(kept | reader.values)
    except ConfigError as error:
        raise ConfigError(f"{str(path)!r}, read as a GRPOConfig: {error}") from error
    settings = tuple(reader.settings.values())
    return config, ArealTranslation(str(path), settings, kept, policy, task)


def _policy_and_task(reader: Reader) -> tuple[str | None, str | None]:
    policy = reader.value("actor.path")
    reader.said("actor.path", "same", "name it with --policy")
    data = reader.value("train_dataset.path")
    task = data
    if data is not None and str(data).rpartition("/")[2] in rules.KNOWN_SIZES:
        task = str(data).rpartition("/")[2]
    reader.said("train_dataset.path", "same", f"name it with --task {task}")
    return (policy and str(policy)), (task and str(task))


def _kept(read: dict[str, Any]) -> dict[str, Any]:
    """The fields of the preset "real", and those that an AReaL file usually says, about which this
    one says nothing."""
    usual = GRPOConfig.preset("real").to_dict()
    names = dict.fromkeys([*PRESETS["real"].values, *(row.field for row in RENAMED.values())])
    return {name: usual[name] for name in names if name not in read}
