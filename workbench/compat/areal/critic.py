"""AReaL's section `critic`: with it a file is PPO's, and some settings of the actor mean another
thing. Read from AReaL's `ppo/critic.py` and `ppo/actor.py`, releases 0.3.4 to 1.0.4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.compat.areal.files import resolve
from workbench.compat.areal.reader import Reader
from workbench.config import METHODS

FROM_ACTOR = "the critic begins as a copy of the policy, and is trained as that is"
"""What becomes of the critic's own model and engine settings."""


def is_ppo(reader: Reader) -> bool:
    """Whether the file has a critic."""
    return reader.section("critic")


def critic(reader: Reader) -> None:
    """The method, the critic's own settings and what the actor has for it."""
    if not is_ppo(reader):
        return
    fixed: dict[str, Any] = {"method": "ppo"} | METHODS["ppo"].settings
    note = "method ppo; its reward is neither centred nor divided"
    reader.said("critic.is_critic", "same", note, default=True, **fixed)
    held = {"cliprange_value": reader.number("critic.eps_clip", 0.5)}
    reader.said("critic.eps_clip", "same", default=0.5, **held)
    _optimizer(reader)
    _as_often_as_the_policy(reader)
    _same_model(reader)
    _advantages(reader)
    _kl(reader)
    for place in reader.below("critic"):
        reader.said(place, "idle", FROM_ACTOR)


def _optimizer(reader: Reader) -> None:
    """Its learning rate; the rest is the policy's schedule and AdamW's defaults here."""
    whole = reader.value("critic.optimizer")
    if isinstance(whole, Mapping):
        # `optimizer: ${actor.optimizer}` is one setting.
        # Inside a section that is a reference, a number that YAML took for text is still one.
        rate = resolve(whole.get("lr", 1e-3), whole)
        note = "of its settings the learning rate alone: " + REST_OF_OPTIMIZER
        reader.said("critic.optimizer", "near", note, critic_learning_rate=rate)
        return
    rate = reader.number("critic.optimizer.lr", 1e-3)
    reader.said("critic.optimizer.lr", "same", default=1e-3, critic_learning_rate=rate)
    for place in reader.below("critic.optimizer"):
        reader.said(place, "none", REST_OF_OPTIMIZER)


REST_OF_OPTIMIZER = (
    "the critic has AdamW with betas 0.9 and 0.999 and no weight decay, and follows the policy's "
    "schedule and gradient clipping"
)


def _as_often_as_the_policy(reader: Reader) -> None:
    place = "critic.ppo_n_minibatches"
    same = reader.value(place) == reader.value("actor.ppo_n_minibatches", 4)
    note = "the critic is taught in each of the policy's updates"
    reader.said(place, "idle" if same else "none", note)


def _same_model(reader: Reader) -> None:
    for name in ("path", "dtype"):
        place = f"critic.{name}"
        same = reader.value(place) == reader.value(f"actor.{name}")
        reader.said(place, "idle" if same else "none", FROM_ACTOR)


def _advantages(reader: Reader) -> None:
    """GAE, and what the advantages are divided by."""
    lam = {"lam": reader.number("actor.gae_lambda", 1.0)}
    reader.said("actor.gae_lambda", "same", default=1.0, **lam)
    normed = reader.section("actor.adv_norm")
    levels = [reader.value(f"actor.adv_norm.{part}_level", "batch") for part in ("mean", "std")]
    same = normed and levels == ["batch", "batch"]
    note = "advantages are whitened over the batch's tokens"
    for place in reader.below("actor.adv_norm"):
        reader.said(place, "same" if same else "near", note)
    if not normed:
        reader.said("actor.adv_norm", "near", note, default=None)
    names = ("group_reward_norm", "group_adv_norm")
    others = [f"actor.{name}" for name in names] + reader.below("actor.reward_norm")
    for place in [*others, "actor.reward_norm"]:
        harmless = not reader.value(place)
        note = "ppo takes the rewards as they are, and whitens the advantages"
        reader.said(place, "idle" if harmless else "none", note)


def _kl(reader: Reader) -> None:
    """kl_ctl is off each token's reward, as here."""
    weight = reader.number("actor.kl_ctl", 0.1)
    reader.said("actor.kl_ctl", "same", default=0.1, kl_coef=weight)
    estimator = reader.value("actor.kl_estimator", "k1")
    if not weight:
        reader.said("actor.kl_estimator", "idle", "kl_ctl is 0")
        return
    kind = "same" if estimator == "k1" else "near"
    reader.said("actor.kl_estimator", kind, "k1 in the reward of each token", default="k1")
