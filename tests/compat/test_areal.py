"""AReaL's configs as ours: what is taken over, with which difference, and that nothing is lost."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
import torch
import yaml
from compat.areal_files import RELEASES, of_release, write
from helpers import in_one_test
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from workbench import GRPOConfig, policy_loss
from workbench.compat.areal import read_areal
from workbench.compat.areal.files import Unresolved, read_flat
from workbench.config import ConfigError, ConfigWarning
from workbench.objective import BatchTotals

GROUP = {"advantage_baseline": "group", "scale_rewards": "group"}
BATCH = {"advantage_baseline": "batch", "scale_rewards": "batch"}
EVERY_RELEASE = dict(
    seed=7,
    num_generations=4,
    prompts_per_step=256,
    updates_per_rollout=4,
    max_completion_length=512,
    max_prompt_length=512,
    temperature=1.0,
    top_p=1.0,
    top_k=0,
    epsilon=0.4,
    epsilon_high=None,
    delta=None,
    beta=0.0,
    loss_type="bnpo",
    importance_sampling_level="token",
    importance_sampling_mode="token_mask",
    importance_sampling_clip_max=5.0,
    learning_rate=1e-5,
    weight_decay=0.02,
    adam_beta1=0.9,
    adam_beta2=0.95,
    max_grad_norm=0.5,
    lr_scheduler_type="constant",
    dtype="bfloat16",
    gradient_checkpointing=True,
    lora_rank=0,
    # 7,473 problems in batches of 256 are 29 whole ones, two epochs of them 58, a tenth 5.
    max_steps=58,
    warmup_steps=5,
    save_steps=29,
    eval_steps=10,
    num_eval_problems=1319,
    micro_batch_tokens=10240,
)


def became(translation, place: str) -> str:
    """The kind of the one setting of that name."""
    [setting] = [each for each in translation.settings if each.place == place]
    return setting.kind


@pytest.mark.parametrize(
    ("release", "norms"), [("0.3.1", BATCH), ("0.3.4", GROUP), ("1.0.4", GROUP)]
)
def test_the_file_of_each_release_becomes_this_config(tmp_path: Path, release: str, norms) -> None:
    config, translation = read_areal(of_release(tmp_path, release))
    ours = config.to_dict()
    assert {name: ours[name] for name in EVERY_RELEASE} == EVERY_RELEASE
    assert {name: ours[name] for name in norms} == norms
    assert translation.policy == "Qwen/Qwen2.5-1.5B-Instruct"
    assert translation.task == "gsm8k"


@pytest.mark.parametrize("release", RELEASES)
def test_every_setting_is_in_the_report_once(tmp_path: Path, release: str) -> None:
    path = of_release(tmp_path, release)
    _, translation = read_areal(path)
    said = [setting.place for setting in translation.settings if not setting.is_default]
    assert sorted(said) == sorted(read_flat(path))
    assert not translation.of_kind("unknown")
    assert not translation.of_kind("unresolved")


def test_what_has_no_counterpart_is_named(tmp_path: Path) -> None:
    _, translation = read_areal(of_release(tmp_path, "1.0.4"))
    assert [setting.place for setting in translation.of_kind("none")] == [
        "actor.adv_norm.mean_level",
        "actor.adv_norm.std_level",
        "rollout.max_head_offpolicyness",
    ]
    # The first release had no baseline of the group, and says so.
    _, first = read_areal(of_release(tmp_path, "0.3.1"))
    assert became(first, "actor.group_reward_norm") == "near"
    assert became(first, "async_training") == "none"


def test_the_fragment_of_the_seed_is_read(tmp_path: Path) -> None:
    fragment = """
gconfig:
  n_samples: 4
actor:
  group_size: ${gconfig.n_samples}
  reward_norm:
    mean_level: group
    std_level: group
    group_size: ${gconfig.n_samples}
"""
    config, translation = read_areal(write(tmp_path, fragment))
    assert config.num_generations == 4
    assert (config.advantage_baseline, config.scale_rewards) == ("group", "group")
    assert became(translation, "actor.reward_norm.group_size") == "idle"
    # AReaL's own default, which the file leaves unsaid.
    assert (config.beta, became(translation, "actor.kl_ctl")) == (0.1, "near")
    # No section says how many prompts a step has: ours stays, and the report says it.
    assert config.prompts_per_step == translation.kept["prompts_per_step"] == 8


@in_one_test(
    [
        dict(more=["c_clip: 3.0"], ours=dict(delta=3.0)),
        dict(more=["eps_clip_higher: 0.6"], ours=dict(epsilon_high=0.6)),
        dict(more=["mask_no_eos_with_zero: true"], ours=dict(mask_truncated_completions=True)),
        dict(
            more=["use_lora: true", "lora_rank: 8", "target_modules: [q_proj, v_proj]"],
            ours=dict(lora_rank=8, lora_alpha=16, lora_target_modules="q_proj,v_proj"),
        ),
        dict(
            more=["use_lora: true", "target_modules: [all-linear]"],
            ours=dict(lora_rank=32, lora_target_modules="all-linear"),
        ),
        dict(
            more=["use_sapo_loss: true", "sapo_tau_pos: 0.9", "sapo_tau_neg: 1.2"],
            ours=dict(loss_type="sapo", sapo_temperature_pos=0.9, sapo_temperature_neg=1.2),
        ),
    ]
)
def test_a_setting_of_the_actor(tmp_path_factory, more: list[str], ours: dict) -> None:
    config, _ = read_areal(of_release(tmp_path_factory.mktemp("a"), "1.0.4", *more))
    assert {name: getattr(config, name) for name in ours} == ours


@in_one_test(
    [
        dict(
            old="std_level: group\n    group_size",
            new="std_level: null\n    group_size",
            ours=dict(scale_rewards="none", advantage_baseline="group"),
        ),
        dict(
            old="mean_level: group",
            new="mean_level: group\n    mean_leave1out: true",
            ours=dict(advantage_baseline="leave_one_out"),
        ),
        dict(
            old="mean_level: group",
            new="mean_level: group\n    std_unbiased: false",
            ours=dict(advantage_std="population"),
        ),
        dict(old="kl_ctl: 0.0", new="kl_ctl: 0.02", ours=dict(beta=0.02, kl_estimator="k3")),
        dict(
            old="{metric: ratio, upper: 5.0}",
            new="{level: sequence, action: clamp, upper: 2.0, lower: 0.5}",
            ours=dict(
                importance_sampling_mode="sequence_truncate",
                importance_sampling_clip_max=2.0,
                importance_sampling_clip_min=0.5,
            ),
        ),
        dict(
            old="{metric: ratio, upper: 5.0}",
            new="{metric: kl_k3, upper: 5.0}",
            ours=dict(importance_sampling_mode=None),
        ),
        dict(
            old="use_decoupled_loss: true",
            new="use_decoupled_loss: false",
            ours=dict(importance_sampling_mode=None),
        ),
        dict(old="seed: 7", new="seed: 7\ntotal_train_steps: 12", ours=dict(max_steps=12)),
    ]
)
def test_another_value_in_the_file(tmp_path_factory, old: str, new: str, ours: dict) -> None:
    text = RELEASES["1.0.4"]
    assert old in text
    config, _ = read_areal(write(tmp_path_factory.mktemp("a"), text.replace(old, new)))
    assert {name: getattr(config, name) for name in ours} == ours


CRITIC = """
critic:
  is_critic: true
  path: ${actor.path}
  dtype: ${actor.dtype}
  eps_clip: 0.3
  ppo_n_minibatches: ${actor.ppo_n_minibatches}
  optimizer: ${actor.optimizer}
"""


def test_a_file_with_a_critic_is_ppo(tmp_path: Path) -> None:
    """Its reward is not normalised, its KL is in the reward, and the advantage is GAE's."""
    text = RELEASES["1.0.4"].replace("kl_ctl: 0.0", "kl_ctl: 0.05\n  gae_lambda: 0.9") + CRITIC
    config, translation = read_areal(write(tmp_path, text))
    ours = dict(
        method="ppo",
        critic_learning_rate=1e-5,
        cliprange_value=0.3,
        lam=0.9,
        kl_coef=0.05,
        beta=0.0,
        scale_rewards="none",
        advantage_baseline="none",
        learning_rate=1e-5,
    )
    assert {name: getattr(config, name) for name in ours} == ours
    said = [setting.place for setting in translation.settings if not setting.is_default]
    assert sorted(said) == sorted(read_flat(tmp_path / "gsm8k_grpo.yaml"))
    assert became(translation, "actor.adv_norm.mean_level") == "same"
    assert became(translation, "actor.reward_norm.mean_level") == "none"
    # A critic with settings of its own, and another model.
    own = CRITIC.replace("${actor.optimizer}", "{lr: 3e-6, weight_decay: 0.1}")
    own = own.replace("${actor.path}", "another/model")
    config, translation = read_areal(write(tmp_path, RELEASES["0.3.1"] + own))
    assert (config.method, config.critic_learning_rate, config.lam) == ("ppo", 3e-6, 1.0)
    assert became(translation, "critic.path") == "none"
    assert became(translation, "critic.optimizer.weight_decay") == "none"


def test_a_group_size_that_is_no_group_is_named(tmp_path: Path) -> None:
    """AReaL groups the rows wrong without a word (its issue 1422): a group is n_samples here."""
    text = RELEASES["1.0.4"].replace("group_size: ${gconfig.n_samples}", "group_size: 8")
    config, translation = read_areal(write(tmp_path, text))
    assert became(translation, "actor.reward_norm.group_size") == "none"
    assert config.num_generations == 4


def test_the_old_switch_for_grpo_is_the_groups_baseline(tmp_path: Path) -> None:
    text = RELEASES["0.3.1"].replace("group_adv_norm: false", "group_adv_norm: true")
    config, translation = read_areal(write(tmp_path, text))
    assert (config.advantage_baseline, config.scale_rewards) == ("group", "group")
    assert became(translation, "actor.group_adv_norm") == "near"


def test_a_clip_of_0_with_one_update_clips_nothing_here_either(tmp_path: Path) -> None:
    text = RELEASES["1.0.4"].replace("eps_clip: 0.4", "eps_clip: 0.0")
    config, translation = read_areal(
        write(tmp_path, text.replace("ppo_n_minibatches: 4", "ppo_n_minibatches: 1"))
    )
    assert config.on_policy
    assert became(translation, "actor.eps_clip") == "idle"
    with pytest.raises(ConfigError, match=r"gsm8k_grpo.yaml.*epsilon=0.0"):
        read_areal(write(tmp_path, text))


def test_what_the_scale_of_the_rewards_does_depends_on_what_divides(tmp_path: Path) -> None:
    _, divided = read_areal(of_release(tmp_path, "1.0.4"))
    assert became(divided, "actor.reward_scaling") == "idle"
    text = RELEASES["1.0.4"].replace("std_level: group", "std_level: null")
    _, bare = read_areal(write(tmp_path, text))
    assert became(bare, "actor.reward_scaling") == "none"
    assert became(bare, "actor.reward_bias") == "idle"


def test_epochs_of_data_of_unknown_size_ask_for_it(tmp_path: Path) -> None:
    text = RELEASES["1.0.4"].replace("openai/gsm8k", "me/mine")
    config, translation = read_areal(write(tmp_path, text))
    assert became(translation, "total_train_epochs") == "none"
    assert "max_steps" in translation.kept
    assert config.max_steps == translation.kept["max_steps"]
    config, translation = read_areal(write(tmp_path, text), train_problems=1024)
    assert (config.max_steps, config.save_steps) == (8, 4)
    assert translation.task == "me/mine"


# ------------------------------------------------------------------ the same loss as AReaL's


def areal_loss(x: dict, config: dict) -> torch.Tensor:
    """AReaL's ppo_actor_loss_fn (1.0.4) from its formula: clipped surrogate, dual clip, the weight
    of the behaviour policy where it is not above the bound, over all tokens of the minibatch."""
    advantage = x["advantages"][:, None]
    ratio = (x["logp"] - x["old_logp"]).exp()
    clipped = ratio.clamp(1 - config["eps_clip"], 1 + config["eps_clip_higher"])
    loss = torch.maximum(-advantage * ratio, -advantage * clipped)
    loss = torch.minimum(loss, advantage.sign() * config["c_clip"] * advantage)
    behaviour = (x["old_logp"] - x["sampler_logp"]).exp()
    kept = x["mask"] * (behaviour <= config["upper"])
    return (loss * behaviour * kept).sum() / x["mask"].sum()


def test_the_loss_is_areals(tmp_path: Path) -> None:
    path = of_release(tmp_path, "1.0.4", "c_clip: 2.0", "eps_clip_higher: 0.5")
    config, _ = read_areal(path)
    draw = torch.Generator().manual_seed(0)

    def noise(scale: float) -> torch.Tensor:
        return scale * torch.randn(8, 6, generator=draw, dtype=torch.float64)

    logp = (-1 + noise(0.3)).requires_grad_()
    old = logp.detach() + noise(0.7)
    mask = torch.ones(8, 6, dtype=torch.float64)
    mask[::2, 4:] = 0
    x = dict(logp=logp, old_logp=old, sampler_logp=old + noise(1.2))
    x |= dict(advantages=torch.linspace(-2, 2, 8, dtype=torch.float64), mask=mask)
    theirs = areal_loss(x, dict(eps_clip=0.4, eps_clip_higher=0.5, c_clip=2.0, upper=5.0))
    ours = policy_loss(**x, config=config, num_items=BatchTotals.of(mask)).loss
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-12)
    [gradient] = torch.autograd.grad(ours, logp, retain_graph=True)
    [expected] = torch.autograd.grad(theirs, logp)
    torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=0)
    # What the bound leaves out, and what the dual clip holds, occur in these numbers.
    assert ((old - x["sampler_logp"]).exp() > 5).any()
    assert ((logp - old).exp()[:4] > 2).any()


# --------------------------------------------------------------------------- the file itself


@in_one_test(
    [
        dict(text="a: 1e-5", place="a", value=1e-5),
        dict(text="a: ${b}\nb: ${c.d}\nc: {d: 3}", place="a", value=3),
        dict(text="a: ${b}/x\nb: run", place="a", value="run/x"),
        dict(text="a: ${b}\nb: {c: 1}", place="a", value={"c": 1}),
        dict(text="a: {}", place="a", value={}),
        dict(text="a: ${b}\nb: null", place="a", value=None),
    ]
)
def test_references_are_resolved(tmp_path_factory, text: str, place: str, value) -> None:
    assert read_flat(write(tmp_path_factory.mktemp("a"), text))[place] == value


@in_one_test(
    [
        dict(text="a: ${nothing}"),
        dict(text="a: ${a}"),
        dict(text="a: ${b}\nb: ${a}"),
        dict(text="a: ${oc.env:HOME}"),
        dict(text="a: ${.b}\nb: 1"),
        dict(text="a: x${nothing}"),
        dict(text="a: ${b}\nb: ${oc.env:HOME}/x"),
    ]
)
def test_references_that_lead_nowhere_stay_open(tmp_path_factory, text: str) -> None:
    assert isinstance(read_flat(write(tmp_path_factory.mktemp("a"), text))["a"], Unresolved)


def test_an_open_reference_is_named_and_not_used(tmp_path: Path) -> None:
    text = RELEASES["1.0.4"].replace("n_samples: 4", "n_samples: '${oc.env:GROUP}'")
    config, translation = read_areal(write(tmp_path, text))
    assert "gconfig.n_samples" in [each.place for each in translation.of_kind("unresolved")]
    # AReaL's default does not stand in for what the file says in another way.
    assert translation.kept["num_generations"] == GRPOConfig().num_generations
    assert config.num_generations == GRPOConfig().num_generations


@in_one_test(
    [
        dict(text="- 1", match="found list"),
        dict(text="", match="found NoneType"),
        dict(text="a: [", match="is no YAML file"),
        dict(text="!!python/object/apply:os.system [echo]", match="is no YAML file"),
        dict(text="beta: 0.04", match=r"neither of the sections gconfig and actor.*--config"),
        dict(text="gconfig: {n_samples: 1}", match="num_generations=1"),
        dict(text="gconfig: {n_samples: 4.5}", match="num_generations=4.5: must be a whole number"),
        dict(text="actor: {kl_ctl: high}", match="actor.kl_ctl='high': expected a number"),
        dict(text="actor: {eps_clip: -1}", match="epsilon=-1"),
        dict(text="actor: &a {inner: *a}", match="without an end"),
    ]
)
def test_what_cannot_be_read_is_refused(tmp_path_factory, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_areal(write(tmp_path_factory.mktemp("a"), text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_areal(tmp_path / "none.yaml")


names = st.text("abcdefg_", min_size=1, max_size=4)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
sections = st.dictionaries(names, leaves | st.dictionaries(names, leaves, max_size=3), max_size=4)


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(actor=sections, more=sections)
@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
def test_no_setting_of_any_file_is_lost(tmp_path_factory, actor, more) -> None:
    text = yaml.safe_dump({"actor": actor | {"path": "p"}, "more": more}, allow_unicode=True)
    path = write(tmp_path_factory.mktemp("a"), text)
    _, translation = read_areal(path)
    said = [setting.place for setting in translation.settings if not setting.is_default]
    assert sorted(said) == sorted(read_flat(path))
    str(translation)


def test_the_report_is_inert_in_a_notebook(tmp_path: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    _, translation = read_areal(of_release(tmp_path, "1.0.4", f"'{attack}': '{attack}'"))
    assert f"actor.{attack}" in [each.place for each in translation.of_kind("unknown")]
    shown = translation._repr_html_()
    assert attack not in shown
    assert html.escape(attack) in shown


def test_gspo_of_areal_gets_the_warning_of_ours(tmp_path: Path) -> None:
    path = of_release(tmp_path, "1.0.4", "importance_sampling_level: sequence")
    with pytest.warns(ConfigWarning, match="sequence"):
        config, _ = read_areal(path)
    assert config.importance_sampling_level == "sequence"
