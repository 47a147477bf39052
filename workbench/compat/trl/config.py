"""TRL's `GRPOConfig`, and the config of ours that it means for so many prompts."""

from __future__ import annotations

import math
import warnings
from dataclasses import fields
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any

from workbench import config as ours
from workbench.compat.trl.arguments import (
    OPTIMIZERS,
    OURS_WITH_TRLS_DEFAULT,
    READ,
    REFUSED,
    SCHEDULES,
    WITHOUT_EFFECT,
)
from workbench.config import ConfigError, ConfigWarning

USUAL_FOLDER = "trainer_output"
"""Where TRL writes unless output_dir says otherwise."""

_FIELDS = {field.name: field.default for field in fields(ours.GRPOConfig)}


class GRPOConfig:
    """TRL's arguments by name, with TRL's defaults. Raises `ConfigError` for an argument that is
    unknown or has no counterpart, and names what to do.

    `config_for(prompts)` is what they mean here. Attributes are the arguments: `config.beta`.
    """

    given: dict[str, Any]
    """The arguments that were given, as they were."""

    def __init__(self, output_dir: str | Path | None = None, **arguments: Any) -> None:
        if output_dir is not None:
            arguments = {"output_dir": output_dir} | arguments
        self.given = {name: _plain(value) for name, value in arguments.items()}
        for name, value in self.given.items():
            _check(name, value)
        _warn_of_reports(self.report_to)
        # What can be told without the data is told at once, as TRL does; what is merely odd is
        # told by the trainer, once.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigWarning)
            self.config_for(None)

    def __getattr__(self, name: str) -> Any:
        given = self.__dict__.get("given", {})
        if name in given:
            return given[name]
        for defaults in (READ, OURS_WITH_TRLS_DEFAULT, _FIELDS):
            if name in defaults:
                return defaults[name]
        if name in REFUSED:
            return REFUSED[name][0][0]
        raise AttributeError(f"{type(self).__name__} has no argument {name!r}.{_near(name)}")

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.given.items())
        return f"GRPOConfig({said})"

    # ------------------------------------------------------------------ the batch, as TRL reckons

    @property
    def completions_per_generation(self) -> int:
        """TRL's generation_batch_size, for one process: completions sampled at once."""
        batch = self.per_device_train_batch_size
        if self.generation_batch_size is not None and self.steps_per_generation is not None:
            raise ConfigError(
                "generation_batch_size and steps_per_generation say the same. Give one of them."
            )
        if self.generation_batch_size is None:
            return int(batch * (self.steps_per_generation or self.gradient_accumulation_steps))
        if self.generation_batch_size % batch != 0:
            raise ConfigError(
                f"generation_batch_size={self.generation_batch_size} must be a multiple of "
                f"per_device_train_batch_size={batch}."
            )
        return int(self.generation_batch_size)

    @property
    def prompts_per_generation(self) -> int:
        """Groups sampled at once: prompts_per_step here."""
        completions = self.completions_per_generation
        if completions % self.num_generations != 0:
            raise ConfigError(
                f"{completions} completions at once (per_device_train_batch_size="
                f"{self.per_device_train_batch_size} x steps) are no whole number of groups of "
                f"num_generations={self.num_generations}. Make it a multiple."
            )
        return int(completions // self.num_generations)

    @property
    def updates_per_generation(self) -> int:
        """Optimizer steps of one pass over a generation batch: updates_per_rollout here."""
        micro_batches = self.completions_per_generation // self.per_device_train_batch_size
        accumulated = self.gradient_accumulation_steps
        if micro_batches % accumulated != 0:
            raise ConfigError(
                f"steps_per_generation={micro_batches} must be a multiple of "
                f"gradient_accumulation_steps={accumulated}: an update may not take from two "
                "rollouts here."
            )
        return int(micro_batches // accumulated)

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps (which TRL counts) of one step of ours, which is one rollout."""
        return self.updates_per_generation * int(self.num_iterations)

    def rollouts(self, prompts: int | None) -> int:
        """How many rollouts the run has: max_steps here. `prompts`: how many there are to train on;
        None where that is not known yet. Raises `ConfigError`."""
        if self.max_steps > 0:
            return math.ceil(int(self.max_steps) / self.optimizer_steps)
        if prompts is None:
            return 1
        # TRL leaves out the last, smaller batch of an epoch.
        per_epoch = prompts // self.prompts_per_generation
        if per_epoch == 0:
            raise ConfigError(
                f"train_dataset has {prompts} prompt(s), and a generation batch takes "
                f"{self.prompts_per_generation}. Give more prompts, or lower "
                "per_device_train_batch_size or gradient_accumulation_steps."
            )
        return max(1, math.ceil(float(self.num_train_epochs) * per_epoch))

    # ----------------------------------------------------------------------------- in our words

    def config_for(self, prompts: int | None, **more: Any) -> ours.GRPOConfig:
        """The config of ours for so many prompts, with fields that are not TRL's, such as those of
        an adapter, on top. Raises `ConfigError`."""
        steps = self.rollouts(prompts)
        values = {name: value for name, value in self.given.items() if name in _FIELDS}
        values = OURS_WITH_TRLS_DEFAULT | values | self._batch() | self._counts(steps, prompts)
        values |= self._objective() | self._sampler() | {"optim": self._optimizer()}
        values["lr_scheduler_type"] = SCHEDULES.get(self.lr_scheduler_type, self.lr_scheduler_type)
        values["learning_rate"] = self.learning_rate
        values["dtype"] = self._dtype()
        # A short warm-up of a run whose length is not known yet is no mistake.
        if prompts is None:
            values["warmup_steps"] = 0
        return ours.GRPOConfig.from_dict(values | more)

    def _batch(self) -> dict[str, Any]:
        share = self.prompts_per_generation * self.num_generations // self.updates_per_generation
        at_once = self.per_device_train_batch_size
        return {
            "prompts_per_step": self.prompts_per_generation,
            "updates_per_rollout": self.updates_per_generation,
            "micro_batch_size": at_once if at_once < share else None,
        }

    def _counts(self, steps: int, prompts: int | None) -> dict[str, Any]:
        """What counts steps: TRL's are optimizer steps, ours rollouts."""
        warm_up = self.warmup_steps
        if self.warmup_ratio is not None:
            warm_up = self.warmup_ratio
        per_epoch = steps if prompts is None else max(1, prompts // self.prompts_per_generation)
        save = self._every("save_strategy", self.save_steps, steps, per_epoch)
        eval_steps = self.logging_steps if self.eval_steps is None else self.eval_steps
        limit = self.save_total_limit
        return {
            "max_steps": steps,
            "warmup_steps": self._in_rollouts(warm_up, steps),
            "save_steps": save or steps,
            # TRL keeps all of them: as many as there can be.
            "save_total_limit": math.ceil(steps / (save or steps)) + 1 if limit is None else limit,
            "eval_steps": self._every("eval_strategy", eval_steps, steps, per_epoch),
            "ref_model_sync_steps": max(1, self._in_rollouts(self.ref_model_sync_steps, steps)),
        }

    def _every(self, strategy: str, count: float, steps: int, per_epoch: int) -> int:
        """A number of rollouts, or 0 for never."""
        how = getattr(self, strategy)
        if how not in ("no", "steps", "epoch"):
            raise ConfigError(f"{strategy}={how!r}: choose 'no', 'steps' or 'epoch'.")
        if how == "no":
            return 0
        return per_epoch if how == "epoch" else max(1, self._in_rollouts(count, steps))

    def _in_rollouts(self, count: float, steps: int) -> int:
        """A number of optimizer steps, or a share of the run, in rollouts, rounded up."""
        if 0 < count < 1:
            return math.ceil(count * steps)
        return math.ceil(count / self.optimizer_steps)

    def _objective(self) -> dict[str, Any]:
        scale = {True: "group", False: "none"}.get(self.scale_rewards, self.scale_rewards)
        weights = self.given.get("reward_weights")
        return {
            "scale_rewards": scale,
            "reward_weights": None if weights is None else tuple(map(float, weights)),
            "top_k": self.top_k or 0,
        }

    def _sampler(self) -> dict[str, Any]:
        """vLLM, whose log-probabilities TRL corrects for; TRL's own sampler needs no correction."""
        if not self.use_vllm:
            return {"rollout_engine": "native", "importance_sampling_mode": None}
        highest = self.vllm_importance_sampling_cap or self.vllm_importance_sampling_clip_max
        mode = self.vllm_importance_sampling_mode
        corrected = self.vllm_importance_sampling_correction
        address = self.vllm_server_base_url
        if self.vllm_mode == "server" and address is None:
            address = f"http://{self.vllm_server_host}:{self.vllm_server_port}"
        return {
            "rollout_engine": "vllm",
            "vllm_server_base_url": address,
            "importance_sampling_mode": mode if corrected else None,
            "importance_sampling_clip_max": highest,
            "importance_sampling_clip_min": self.vllm_importance_sampling_clip_min,
        }

    def _optimizer(self) -> str:
        if self.optim not in OPTIMIZERS:
            known = ", ".join(map(repr, OPTIMIZERS))
            raise ConfigError(f"optim={self.optim!r} has no counterpart here. Choose {known}.")
        return OPTIMIZERS[self.optim]

    def _dtype(self) -> str:
        """The format of the weights: model_init_kwargs says it; bf16 and fp16 leave it to `auto`,
        which computes in 16 bits where the device can."""
        options = dict(self.model_init_kwargs or {})
        asked = [options.pop(name) for name in ("dtype", "torch_dtype") if name in options]
        if options:
            raise ConfigError(
                f"model_init_kwargs={sorted(options)}: of these only dtype has a counterpart. Load "
                "the model yourself and give it to GRPOTrainer(model=...)."
            )
        name = str(asked[0]).removeprefix("torch.") if asked else "auto"
        return "auto" if name == "None" else name


def _plain(value: Any) -> Any:
    """An enumeration of transformers as the word that it stands for."""
    return value.value if isinstance(value, Enum) else value


def _check(name: str, value: Any) -> None:
    """Raises `ConfigError` for an argument that is unknown or cannot be followed."""
    if name in _FIELDS or name in READ or name in WITHOUT_EFFECT:
        return
    if name not in REFUSED:
        raise ConfigError(f"GRPOConfig has no argument {name!r}.{_near(name)}")
    harmless, remedy = REFUSED[name]
    # 0 is not False, and an array has no truth value: compared one by one, by kind as well.
    if not any(type(value) is type(one) and value == one for one in harmless):
        raise ConfigError(f"{name}={value!r:.80} has no counterpart in the workbench: {remedy}.")


def _near(name: str) -> str:
    known = [*READ, *_FIELDS, *WITHOUT_EFFECT, *REFUSED]
    close = get_close_matches(name, known, 1)
    return f" Did you mean {close[0]!r}?" if close else " See TRL 1.16's GRPOConfig for the names."


def _warn_of_reports(report_to: Any) -> None:
    asked = [report_to] if isinstance(report_to, str) else list(report_to or [])
    if elsewhere := [name for name in asked if name != "none"]:
        warnings.warn(
            f"report_to={', '.join(map(repr, elsewhere))}: the workbench sends nothing anywhere. "
            "The figures are in the run's record: Dashboard(trainer.run), workbench runs.",
            ConfigWarning,
            stacklevel=3,
        )
