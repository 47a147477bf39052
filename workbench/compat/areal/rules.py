"""The settings of AReaL that mean something only together: what divides the rewards, what corrects
the sampler, how long a run is."""

from __future__ import annotations

from typing import Any

from workbench.compat.areal.critic import is_ppo
from workbench.compat.areal.reader import Reader

KNOWN_SIZES = {"gsm8k": 7473}
"""Problems to train on, by the last part of the data set's name."""

GSM8K_TEST = 1319
"""Problems of GSM8K's test split."""


def rewards(reader: Reader) -> None:
    """reward_norm and adv_norm, or before release 0.3.2 group_reward_norm and group_adv_norm: the
    baseline and what divides."""
    if is_ppo(reader):
        # The critic is what a reward is compared with.
        _reward_scale(reader)
        return
    if reader.has("actor.group_reward_norm") or reader.has("actor.group_adv_norm"):
        _old_norms(reader)
    elif reader.section("actor.reward_norm"):
        _reward_norm(reader)
        _second_norm(reader)
    elif reader.section("actor.adv_norm"):
        _adv_norm_alone(reader)
    elif reader.section("actor"):
        nothing = {"advantage_baseline": "none", "scale_rewards": "none"}
        reader.said("actor.reward_norm", "same", default=None, **nothing)
    _reward_scale(reader)


def _reward_norm(reader: Reader) -> None:
    at = "actor.reward_norm"
    mean = reader.value(f"{at}.mean_level", "batch")
    without_own = reader.value(f"{at}.mean_leave1out", False)
    baseline = mean or "none"
    note = ""
    if mean == "group" and without_own:
        baseline = "leave_one_out"
    elif mean == "batch" and without_own:
        note = "the completion's own reward is part of the batch's mean here"
    kind = "near" if note else "same"
    reader.said(f"{at}.mean_level", kind, note, default="batch", advantage_baseline=baseline)
    reader.said(f"{at}.mean_leave1out", "same", default=False, advantage_baseline=baseline)
    std = reader.value(f"{at}.std_level", "batch") or "none"
    reader.said(f"{at}.std_level", "same", default="batch", scale_rewards=std)
    unbiased = reader.value(f"{at}.std_unbiased", True)
    divides_by = "sample" if unbiased else "population"
    note = "False was AReaL's default before release 0.3.4"
    if reader.has(f"{at}.std_unbiased"):
        note = ""
    reader.said(f"{at}.std_unbiased", "same", note, default=True, advantage_std=divides_by)
    reader.said(f"{at}.eps", "near", "1e-4 is added to the std here", default=1e-5)
    _group_size(reader, f"{at}.group_size")


def _group_size(reader: Reader, place: str) -> None:
    if not reader.has(place):
        return
    size = reader.value(place)
    group = reader.value("gconfig.n_samples")
    if size == group:
        reader.said(place, "idle", "gconfig.n_samples again")
    else:
        note = f"a group is all {group!r} completions of a prompt here (gconfig.n_samples)"
        reader.said(place, "none", note)


def _second_norm(reader: Reader) -> None:
    """adv_norm on top of reward_norm."""
    note = (
        "advantages are not normalised a second time; over a batch that is one common factor, "
        "which AdamW hardly sees, and a small shift, since long completions weigh more in the mean"
    )
    for place in reader.below("actor.adv_norm"):
        harmless = reader.value(place) is None
        reader.said(place, "idle" if harmless else "none", note)


def _adv_norm_alone(reader: Reader) -> None:
    """Without reward_norm the advantage is the reward, and adv_norm its only baseline."""
    at = "actor.adv_norm"
    note = "AReaL's mean and std go over tokens, so that long completions weigh more in them"
    mean = reader.value(f"{at}.mean_level", "batch") or "none"
    std = reader.value(f"{at}.std_level", "batch") or "none"
    reader.said(f"{at}.mean_level", "near", note, default="batch", advantage_baseline=mean)
    reader.said(f"{at}.std_level", "near", note, default="batch", scale_rewards=std)
    reader.said(f"{at}.std_unbiased", "near", "the sample std (divided by n - 1) here")
    reader.said(f"{at}.mean_leave1out", "near", "the completion's own reward is part of the mean")
    reader.said(f"{at}.eps", "near", "1e-4 is added to the std here")
    _group_size(reader, f"{at}.group_size")


def _old_norms(reader: Reader) -> None:
    """Releases up to 0.3.1: group_reward_norm is GRPO's; else all advantages of the batch are
    normalised together."""
    by_group = reader.value("actor.group_reward_norm", False)
    adv_by_group = reader.value("actor.group_adv_norm", False)
    level = "group" if by_group or adv_by_group else "batch"
    ours = {"advantage_baseline": level, "scale_rewards": level}
    note = "" if by_group else "AReaL's mean and std go over the tokens of the " + level
    kind = "same" if by_group else "near"
    reader.said("actor.group_reward_norm", kind, note, default=False, **ours)
    kind = "near" if adv_by_group and not by_group else "idle"
    note = "advantages are not normalised a second time" if by_group else note
    reader.said("actor.group_adv_norm", kind, note)
    reader.said("actor.adv_norm", "near", "advantages are normalised once, as said above")


def _reward_scale(reader: Reader) -> None:
    """(reward + reward_bias) x reward_scaling, clipped at reward_clip."""
    centred = reader.values.get("advantage_baseline") != "none"
    divided = reader.values.get("scale_rewards") != "none"
    scaling = reader.number("actor.reward_scaling", 1.0)
    bias = reader.number("actor.reward_bias", 0.0)
    is_idle = scaling == 1 or divided
    note = (
        "dividing by the std takes it out again" if divided else "multiply in the reward function"
    )
    reader.said("actor.reward_scaling", "idle" if is_idle else "none", note)
    is_idle = bias == 0 or centred
    note = "subtracting the mean takes it out again" if centred else "add it in the reward function"
    reader.said("actor.reward_bias", "idle" if is_idle else "none", note)
    reader.said("actor.reward_clip", "none", "rewards are not clipped here")
    zero = reader.value("actor.mask_no_eos_with_zero", False)
    note = "AReaL gives a truncated completion the reward 0; here it leaves the loss"
    if zero:
        reader.said("actor.mask_no_eos_with_zero", "near", note, mask_truncated_completions=True)
    else:
        off: dict[str, Any] = {"mask_truncated_completions": False}
        reader.said("actor.mask_no_eos_with_zero", "same", default=False, **off)


def objective(reader: Reader) -> None:
    """The clip range, the loss and the KL."""
    if not reader.section("actor"):
        return
    _group_size(reader, "actor.group_size")
    same = reader.value("actor.temperature") == reader.value("gconfig.temperature", 1.0)
    note = "the loss divides the logits by the sampler's temperature (gconfig.temperature)"
    reader.said("actor.temperature", "idle" if same else "none", note)
    clip = reader.number("actor.eps_clip", 0.2)
    one_update = reader.number("actor.ppo_n_minibatches", 4) == 1
    if clip == 0 and one_update:
        note = "with one update per rollout the ratio is 1, and nothing is clipped"
        reader.said("actor.eps_clip", "idle", note)
    else:
        reader.said("actor.eps_clip", "same", default=0.2, epsilon=clip)
    if reader.value("actor.use_sapo_loss", False):
        note = "AReaL averages over the tokens of a minibatch, here each completion first"
        reader.said("actor.use_sapo_loss", "near", note, loss_type="sapo")
        for name in ("pos", "neg"):
            tau = {f"sapo_temperature_{name}": reader.value(f"actor.sapo_tau_{name}")}
            reader.said(f"actor.sapo_tau_{name}", "same", **tau)
    else:
        note = "its loss is averaged over the tokens of a minibatch, as bnpo is"
        reader.said("actor.use_sapo_loss", "same", note, default=False, loss_type="bnpo")
        reader.said("actor.sapo_tau_pos", "idle", "use_sapo_loss is off")
        reader.said("actor.sapo_tau_neg", "idle", "use_sapo_loss is off")
    if not is_ppo(reader):
        _kl(reader)
    if reader.has("ref.path") and reader.value("ref.path") != reader.value("actor.path"):
        reader.said("ref.path", "none", "the reference is the policy's first weights")


def _kl(reader: Reader) -> None:
    weight = reader.number("actor.kl_ctl", 0.1)
    estimator = reader.value("actor.kl_estimator", "k1")
    if not weight:
        reader.said("actor.kl_ctl", "same", default=0.1, beta=0.0)
        reader.said("actor.kl_estimator", "idle", "kl_ctl is 0")
        return
    note = (
        "AReaL takes the KL off each token's reward (PPO's way), where it adds up over the tokens "
        "that follow; here it stands in the loss, as in GRPO"
    )
    reader.said("actor.kl_ctl", "near", note, default=0.1, beta=weight)
    note = "as a loss, not as a reward"
    if estimator == "k1":
        # As a reward it is right; in a loss its gradient has the expectation 0.
        note = "in a loss the gradient of k1 is 0 on average, so that k3 is taken"
        estimator = "k3"
    reader.said("actor.kl_estimator", "near", note, default="k1", kl_estimator=estimator)


def sampler_correction(reader: Reader) -> None:
    """The decoupled loss: what makes up for samples of another policy than the one before the
    update."""
    if not reader.section("actor"):
        return
    decoupled = reader.value("actor.use_decoupled_loss", False)
    recomputed = reader.value("actor.recompute_logprob", False) or decoupled
    note = "" if recomputed else "the log-probabilities before the update are always computed here"
    reader.said("actor.recompute_logprob", "same" if recomputed else "near", note, default=False)
    if not decoupled:
        off: dict[str, Any] = {"importance_sampling_mode": None}
        reader.said("actor.use_decoupled_loss", "same", default=False, **off)
        for place in _correction_places(reader):
            reader.said(place, "idle", "use_decoupled_loss is off")
        return
    reader.said("actor.use_decoupled_loss", "same", "the ratio is to the policy before the update")
    if reader.section("actor.rejection_sampling"):
        _rejection_sampling(reader)
    else:
        _weight_cap(reader)


def _correction_places(reader: Reader) -> list[str]:
    names = ("behav_imp_weight_cap", "behave_imp_weight_cap", "behave_imp_weight_mode")
    old = [f"actor.{name}" for name in names if reader.has(f"actor.{name}")]
    return [*old, *reader.below("actor.rejection_sampling")]


def _rejection_sampling(reader: Reader) -> None:
    at = "actor.rejection_sampling"
    metric = reader.value(f"{at}.metric", "ratio")
    if metric != "ratio":
        note = "a bound on the KL between sampler and policy is not offered, only one on the ratio"
        for place in reader.below(at):
            reader.said(place, "none", note)
        return
    level = reader.value(f"{at}.level", "token")
    action = reader.value(f"{at}.action", "mask")
    mode = f"{level}_{'truncate' if action == 'clamp' else action}"
    note = ""
    if level == "sequence":
        note = "the product of the ratios over the sequence here, AReaL's geometric mean there"
    kind = "near" if note else "same"
    ours = {"importance_sampling_mode": mode}
    for name, usual in (("metric", "ratio"), ("level", "token"), ("action", "mask")):
        reader.said(f"{at}.{name}", kind, note, default=usual, **ours)
    reader.said(f"{at}.agg", "idle" if level == "token" else "near", note)
    upper = {"importance_sampling_clip_max": reader.value(f"{at}.upper", 5.0)}
    reader.said(f"{at}.upper", kind, note, default=5.0, **upper)
    lower = {"importance_sampling_clip_min": reader.value(f"{at}.lower")}
    reader.said(f"{at}.lower", kind, note, default=None, **lower)


def _weight_cap(reader: Reader) -> None:
    """Releases before 1.0: behav_imp_weight_cap, spelt behave_imp_weight_cap from 0.3.5 on."""
    names = ("actor.behave_imp_weight_cap", "actor.behav_imp_weight_cap")
    cap_at = next((name for name in names if reader.has(name)), None)
    mode = reader.value("actor.behave_imp_weight_mode", "token_mask")
    if cap_at is None or mode == "disabled":
        reader.values["importance_sampling_mode"] = None
        for place in _correction_places(reader):
            reader.said(place, "idle", "the correction is off")
        return
    cap = reader.value(cap_at)
    ours = {"importance_sampling_mode": mode, "importance_sampling_clip_max": cap}
    reader.said(cap_at, "same", **ours)
    reader.said("actor.behave_imp_weight_mode", "same", **ours)


def optimizer(reader: Reader) -> None:
    """The kind of optimizer; its figures are renamed fields."""
    if not reader.has("actor.optimizer.type"):
        return
    kind = reader.value("actor.optimizer.type")
    if kind == "adam":
        reader.said("actor.optimizer.type", "same", "AdamW there too", optim="adamw")
    elif kind == "adam_bf16":
        note = "its moments are kept in bfloat16 there, in float32 here"
        reader.said("actor.optimizer.type", "near", note, optim="adamw")
    else:
        reader.said("actor.optimizer.type", "none", "the optimizer here is AdamW")


def adapter(reader: Reader) -> None:
    """LoRA."""
    names = ("lora_rank", "lora_alpha", "target_modules", "peft_type")
    if not reader.value("actor.use_lora", False):
        for name in names:
            reader.said(f"actor.{name}", "idle", "use_lora is off")
        reader.said("actor.use_lora", "same", default=False, lora_rank=0)
        return
    rank = reader.value("actor.lora_rank", 32)
    reader.said("actor.use_lora", "same", lora_rank=rank)
    reader.said("actor.lora_rank", "same", default=32, lora_rank=rank)
    scale = {"lora_alpha": reader.value("actor.lora_alpha", 16)}
    reader.said("actor.lora_alpha", "same", default=16, **scale)
    modules = reader.value("actor.target_modules", [])
    named = [modules] if isinstance(modules, str) else list(modules or ["all-linear"])
    layers = {"lora_target_modules": ",".join(str(name) for name in named)}
    reader.said("actor.target_modules", "same", default=[], **layers)
    if reader.has("actor.peft_type"):
        is_lora = reader.value("actor.peft_type") == "lora"
        reader.said("actor.peft_type", "same" if is_lora else "none")


def length(reader: Reader, train_problems: int | None) -> None:
    """How long the run is, and when it is evaluated and saved: AReaL counts in epochs."""
    data = reader.value("train_dataset.path")
    known = KNOWN_SIZES.get(str(data).rstrip("/").rpartition("/")[2])
    size = train_problems or known
    batch = reader.number("train_dataset.batch_size")
    per_epoch = None
    if size and batch is not None and batch >= 1:
        # AReaL leaves out the last, smaller batch of an epoch.
        per_epoch = max(1, int(size // batch))
    unknown = "how many problems the data has is not known: give train_problems (--problems)"
    steps = reader.number("total_train_steps")
    epochs = reader.number("total_train_epochs", 1)
    if steps is not None:
        reader.said("total_train_steps", "same", max_steps=int(steps))
        reader.said("total_train_epochs", "idle", "total_train_steps ends the run")
    elif per_epoch is None:
        reader.said("total_train_epochs", "none", unknown)
        reader.said("total_train_steps", "idle")
    else:
        steps = int(epochs) * per_epoch
        note = f"{epochs} epochs of {per_epoch} steps ({size} problems, {batch} a step)"
        reader.said("total_train_epochs", "same", note, default=1, max_steps=steps)
        reader.said("total_train_steps", "idle")
    _warm_up(reader, steps)
    _every(reader, "saver", "save_steps", per_epoch)
    _every(reader, "evaluator", "eval_steps", per_epoch)
    if known and reader.has("valid_dataset.path"):
        note = "the whole test split of GSM8K, before the first step too"
        problems = {"num_eval_problems": GSM8K_TEST}
        reader.said("valid_dataset.path", "near", note, **problems)


def _warm_up(reader: Reader, steps: Any) -> None:
    place = "actor.optimizer.warmup_steps_proportion"
    if not reader.has(place):
        return
    share = reader.number(place, 0.0) or 0.0
    if steps is None:
        reader.said(place, "none", "the number of steps is not known")
    else:
        reader.said(place, "same", f"of {steps} steps", warmup_steps=int(share * steps))


def _every(reader: Reader, section: str, field: str, per_epoch: int | None) -> None:
    """freq_steps or freq_epochs as a number of steps; seconds cannot be."""
    places = {unit: f"{section}.freq_{unit}" for unit in ("steps", "epochs", "secs")}
    steps = reader.number(places["steps"])
    epochs = reader.number(places["epochs"])
    if steps is not None:
        every: dict[str, Any] = {field: int(steps)}
        reader.said(places["steps"], "same", **every)
    elif epochs is not None and per_epoch is not None:
        every = {field: int(epochs) * per_epoch}
        reader.said(places["epochs"], "same", **every)
    elif epochs is not None:
        reader.said(places["epochs"], "none", "how many steps an epoch has is not known")
    if reader.value(places["secs"]) is not None:
        reader.said(places["secs"], "none", f"{field} counts steps, not seconds")


def memory(reader: Reader) -> None:
    """mb_spec: the tokens of one forward and backward."""
    names = ("max_tokens_per_mb", "max_tokens_per_gpu")
    place = next(
        (f"actor.mb_spec.{name}" for name in names if reader.has(f"actor.mb_spec.{name}")), ""
    )
    tokens = reader.value(place) if place else None
    if isinstance(tokens, (int, float)):
        budget = {"micro_batch_tokens": max(1, int(tokens))}
        reader.said(place, "near", "a prompt that completions share counts once here", **budget)
