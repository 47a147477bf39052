"""The settings of an estimate of the policy gradient, and what each recipe changes of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.config import GRPOConfig

LOSS_TYPES = ("grpo", "bnpo", "dapo", "dr_grpo", "cispo", "sapo", "reinforce")
"""The losses whose weight of a token asks for that token alone: a world knows no other tokens than
those at branches."""
LONGEST = 1 << 20
"""max_completion_length: a constant that all lengths divide by, and that no angle depends on."""
CISPO_CAP = 5.0
"""What epsilon_high is for cispo where the setting leaves it open."""


@dataclass(frozen=True)
class Setting:
    """What an estimate is made with; the names are `GRPOConfig`'s, and three more."""

    loss_type: str = "grpo"
    num_generations: int = 8
    advantage_baseline: str = "group"
    scale_rewards: str = "group"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0

    updates: int = 1
    """mu: how often a batch is used; the k-th time it is k - 1 steps older."""

    stale: int = 0
    """How many steps old the sampler is at the first use."""

    clip: bool = True
    """False: a clip range that no ratio leaves."""


RECIPES: dict[str, dict[str, Any]] = {
    "GRPO": dict(loss_type="grpo"),
    "GRPO, not scaled": dict(loss_type="grpo", scale_rewards="none"),
    "DAPO's loss": dict(loss_type="dapo"),
    "Dr. GRPO": dict(loss_type="dr_grpo", scale_rewards="none"),
    "RLOO": dict(loss_type="dr_grpo", scale_rewards="none", advantage_baseline="leave_one_out"),
    "CISPO": dict(loss_type="cispo", epsilon_high=CISPO_CAP),
    "REINFORCE": dict(loss_type="reinforce", scale_rewards="none", advantage_baseline="none"),
}
"""What each name changes of a `Setting`, beside `USUAL`."""
USUAL = {"advantage_baseline": "group", "scale_rewards": "group"}
"""What a recipe has that says nothing else."""


def config_of(setting: Setting, **more: Any) -> GRPOConfig:
    """The config that has these settings. Raises `ConfigError` for those that cannot be
    together."""
    from workbench.config import ConfigWarning, GRPOConfig

    own: dict[str, Any] = dict(epsilon=setting.epsilon, epsilon_high=setting.epsilon_high)
    if setting.loss_type == "cispo":
        # There epsilon_high is the cap itself, and has no default.
        own["epsilon_high"] = setting.epsilon_high or CISPO_CAP
    if not setting.clip:
        own = dict(epsilon=1 - 1e-6, epsilon_high=1000.0)
    with warnings.catch_warnings():
        # Half of what the page shows is what a warning warns of.
        warnings.simplefilter("ignore", ConfigWarning)
        return GRPOConfig(
            loss_type=setting.loss_type,
            num_generations=setting.num_generations,
            advantage_baseline=setting.advantage_baseline,
            scale_rewards=setting.scale_rewards,
            beta=setting.beta,
            max_completion_length=LONGEST,
            updates_per_rollout=1,
            **own,
            **more,
        )
