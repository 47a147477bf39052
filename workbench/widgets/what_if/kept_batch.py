"""A recorded step, ready to be computed again without a model: its log-probabilities, masks,
rewards and settings.

Rows that the trainer skipped (no gradient) have no log-probabilities in the record; they stay,
because the normalisers count them, and are marked. Suffixes: B completions, T tokens, K reward
functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.config import METHODS, ConfigError, ConfigWarning, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.objective import AdvantageRule, LossBatch, group_advantages, tokens_of_groups
from workbench.widgets.tokens.inputs import has_settings

ADVANTAGE_FIELDS = tuple(f.name for f in fields(AdvantageRule) if f.name != "num_generations")
SAME_ADVANTAGE = 1e-5
"""Advantages that differ by less are the same: rounding, where the trainer made them in float32."""


class WhatIfError(WorkbenchError):
    """The kept batch does not hold what the question needs."""


@dataclass(frozen=True)
class KeptBatch:
    """A recorded step, ready to be computed again."""

    config: GRPOConfig
    """In force at that step."""
    batch: LossBatch
    """Log-probabilities, recorded advantages and the tokens that the loss counted;
    log-probabilities that are not known are 0."""
    written_BT: Tensor
    """bool, all tokens of the completions."""
    rewards_BK: Tensor
    """NaN = not scored."""
    counted_BT: Tensor
    """bool, the tokens that the loss counted and whose log-probability is known."""
    skipped_B: Tensor
    """bool, completions that the trainer did not put through the model (no gradient), so that
    nothing of them is known."""
    left_out_B: Tensor
    """bool, truncated completions that mask_truncated_completions kept out of the loss."""
    settings_known: bool = True
    """False where the record does not have the run's settings, as that of an imported run: `config`
    is then the workbench's defaults, as far as the record allows them."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> KeptBatch:
        """From what `Run.batch(step)` gives. Raises `WhatIfError` where there is nothing to
        compute, or its numbers were not kept."""
        _check_was_kept(stored)
        config = _config_of(stored)
        _check_ratios_known(stored, config)
        written_BT = torch.as_tensor(stored["mask_BT"])
        truncated_B = torch.as_tensor(stored["truncated_B"])
        mask_BT = written_BT
        if config.mask_truncated_completions:
            mask_BT = written_BT & ~truncated_B[:, None]
        logp_BT = torch.as_tensor(stored["logp_BT"])
        old_logp_BT = _kept(stored, "old_logp")
        known_BT = (logp_BT if old_logp_BT is None else logp_BT - old_logp_BT).isfinite()
        skipped_B = (mask_BT & ~known_BT).any(1)
        batch = LossBatch(
            logp=torch.where(known_BT, logp_BT, 0.0),
            advantages=torch.as_tensor(stored.get("advantage_BT", stored["advantages_B"])),
            mask=mask_BT,
            old_logp=old_logp_BT,
            ref_logp=_kept(stored, "ref_logp"),
            sampler_logp=_sampler(stored),
            entropy=_kept(stored, "entropy"),
            # Of all its rows: those that the trainer skipped are counted in its group.
            group_tokens=tokens_of_groups(mask_BT, config.num_generations),
        )
        return cls(
            config=config,
            batch=batch,
            written_BT=written_BT,
            rewards_BK=torch.as_tensor(stored["rewards_BK"]),
            counted_BT=mask_BT & ~skipped_B[:, None],
            skipped_B=skipped_B,
            left_out_B=written_BT.any(1) & ~mask_BT.any(1),
            settings_known=has_settings(stored["config"]),
        )

    @property
    def row_to_show(self) -> int:
        """The counted completion whose log-probabilities have moved farthest since the sampling:
        where a clip can be seen."""
        old_BT, logp_BT = self.batch.old_logp, self.batch.logp
        moved_BT = torch.zeros_like(logp_BT) if old_BT is None else (logp_BT - old_BT).abs()
        return int(torch.where(self.counted_BT, moved_BT, -1.0).amax(1).argmax())

    def changed(self, changes: Mapping[str, Any]) -> tuple[GRPOConfig, list[str]]:
        """The config with `changes`, and what it warns of. Raises `ConfigError`."""
        return _quietly(lambda: self.config.replace(**changes))

    def advantages(self, config: GRPOConfig) -> Tensor:
        """The advantages (B,), or (B, T), under `config`: the recorded ones where nothing that
        makes them is changed.

        Raises `WhatIfError` where something is and the recorded ones were not made from the rewards
        of the group alone.
        """
        recorded = self.batch.advantages
        changes = [n for n in ADVANTAGE_FIELDS if getattr(config, n) != getattr(self.config, n)]
        if not changes:
            return recorded
        same = recorded.dim() == 1 and torch.allclose(
            self._from_rewards(self.config),
            recorded.double(),
            rtol=0,
            atol=SAME_ADVANTAGE,
            equal_nan=True,
        )
        if not same:
            raise WhatIfError(
                f"{', '.join(changes)} cannot be asked about here: the advantages of this step "
                "were not made from each "
                "completion's rewards by GRPO's rule, so another scaling or baseline of them is "
                "not known."
            )
        return self._from_rewards(config)

    def _from_rewards(self, config: GRPOConfig) -> Tensor:
        return group_advantages(self.rewards_BK, config).advantage_B


def _check_was_kept(stored: Mapping[str, Any]) -> None:
    """Raises `WhatIfError` where there is nothing to compute."""
    if "logp_BT" not in stored:
        raise WhatIfError(
            "the log-probabilities of this step ('logp') were not kept, so nothing can be "
            "computed again."
        )
    if not has_settings(stored["config"]) and np.isnan(stored["advantages_B"]).all():
        raise WhatIfError(
            "no completion of this step has an advantage in the record, so no token has a loss."
        )
    if not stored["mask_BT"].any():
        raise WhatIfError("none of the completions of this step has a token.")


def _check_ratios_known(stored: Mapping[str, Any], config: GRPOConfig) -> None:
    """Raises `WhatIfError` where the policy has moved since an old policy that was not kept, or it
    is not known whether it has."""
    if not has_settings(stored["config"]) and "old_logp_BT" not in stored:
        raise WhatIfError(
            "the log-probabilities before the first update ('old_logp') are not in the record of "
            "this imported run: the ratios are not known."
        )
    updates = config.updates_per_rollout * config.num_iterations
    if "old_logp_BT" not in stored and updates > 1:
        raise WhatIfError(
            "the log-probabilities before the first update ('old_logp') were not kept, and "
            f"the batch served {updates} updates: the ratios are not known."
        )


def _config_of(stored: Mapping[str, Any]) -> GRPOConfig:
    """The config in force; its batch sizes are those of the batch itself."""
    G = int(stored["num_generations"])
    sizes = {"num_generations": G, "prompts_per_step": len(stored["mask_BT"]) // G}
    # What a method fixes may be asked about like everything else: "what if" is GRPO's question.
    free: dict[str, Any] = {"method": "grpo", "teacher": None, "step_rewards": None}
    if not has_settings(stored["config"]):
        # What the record cannot answer is not assumed: neither a second update nor a reference.
        free["updates_per_rollout"] = 1
        free |= {} if "ref_logp_BT" in stored else {"beta": 0.0}
    if METHODS[stored["config"].get("method", "grpo")].of_pairs:
        raise WhatIfError(
            f"method={stored['config']['method']!r}: its loss is of pairs of answers, and these "
            "settings are of a loss of tokens."
        )
    try:
        return _quietly(lambda: GRPOConfig.from_dict(dict(stored["config"]) | sizes | free))[0]
    except ConfigError as error:
        raise WhatIfError(f"the recorded settings of this step cannot be used: {error}") from error


def _kept(stored: Mapping[str, Any], name: str) -> Any:
    values = stored.get(f"{name}_BT")
    return None if values is None else torch.as_tensor(values)


def _sampler(stored: Mapping[str, Any]) -> Any:
    """The sampler's log-probabilities; None where they were not kept."""
    sampler_BT = _kept(stored, "sampler_logp")
    return None if sampler_BT is None or sampler_BT.isnan().all() else sampler_BT


def _quietly(make: Callable[[], GRPOConfig]) -> tuple[GRPOConfig, list[str]]:
    """A config, and its warnings as texts instead of on the error stream, where a widget's reader
    would not see them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConfigWarning)
        config = make()
    return config, [str(w.message) for w in caught if issubclass(w.category, ConfigWarning)]
