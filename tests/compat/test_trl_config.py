"""TRL's arguments as a config of ours, held against TRL's own class."""

from __future__ import annotations

import dataclasses

import pytest
from helpers import in_one_test
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import workbench
from workbench.compat.trl import GRPOConfig
from workbench.compat.trl.arguments import OURS_WITH_TRLS_DEFAULT, READ, REFUSED, WITHOUT_EFFECT
from workbench.config import ConfigError, ConfigWarning

OURS = {field.name: field.default for field in dataclasses.fields(workbench.GRPOConfig)}


@pytest.fixture(scope="module")
def trl_fields() -> dict[str, object]:
    """TRL's arguments with their defaults."""
    from trl import GRPOConfig as theirs

    defaults = {}
    for field in dataclasses.fields(theirs):
        value = field.default
        if value is dataclasses.MISSING:
            value = field.default_factory()
        defaults[field.name] = getattr(value, "value", value)
    return defaults


def test_every_argument_of_trl_is_known(trl_fields) -> None:
    known = {*READ, *WITHOUT_EFFECT, *REFUSED, *OURS}
    assert sorted(set(trl_fields) - known) == []


def test_trls_defaults_are_accepted_and_are_ours(trl_fields) -> None:
    said = GRPOConfig(**trl_fields).config_for(100)
    # max_prompt_length was TRL's until 0.24.
    assert said == GRPOConfig().config_for(100).replace(gradient_checkpointing=True)
    read = {name: READ[name] for name in READ if name in trl_fields}
    assert read == {name: trl_fields[name] for name in read}
    same = {
        name: OURS_WITH_TRLS_DEFAULT.get(name, OURS[name]) for name in OURS if name in trl_fields
    }
    # Memory alone, and what the translation makes of TRL's own value.
    for name in ("gradient_checkpointing", *READ, "vllm_importance_sampling_mode"):
        same.pop(name, None)
    assert same == {name: trl_fields[name] for name in same}


def test_the_defaults_are_the_preset() -> None:
    ours = GRPOConfig().config_for(4000, max_prompt_length=None)
    preset = workbench.GRPOConfig.preset("trl")
    names = ("beta", "loss_type", "prompts_per_step", "updates_per_rollout", "num_generations")
    names += ("max_completion_length", "learning_rate", "lr_scheduler_type", "adam_beta2")
    assert {n: getattr(ours, n) for n in names} == {n: getattr(preset, n) for n in names}


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(
    batch=st.sampled_from([2, 4, 6, 8, 12]),
    accumulated=st.integers(1, 4),
    steps=st.none() | st.integers(1, 8),
    group=st.sampled_from([2, 3, 4, 8]),
)
def test_the_batch_is_trls(batch: int, accumulated: int, steps: int | None, group: int) -> None:
    """What both accept has as many prompts and updates; what TRL refuses, we refuse."""
    from trl import GRPOConfig as TheirConfig

    said = dict(
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulated,
        steps_per_generation=steps,
        num_generations=group,
    )
    try:
        theirs = TheirConfig(output_dir="none", use_cpu=True, report_to="none", **said)
    except ValueError:
        with pytest.raises(ConfigError):
            GRPOConfig(**said)
        return
    if theirs.steps_per_generation % accumulated:
        with pytest.raises(ConfigError, match="multiple of gradient_accumulation_steps"):
            GRPOConfig(**said)
        return
    prompts = theirs.generation_batch_size // group
    updates = theirs.steps_per_generation // accumulated
    if prompts % updates:
        with pytest.raises(ConfigError, match="whole groups"):
            GRPOConfig(**said)
        return
    with_ours = GRPOConfig(**said).config_for(1000)
    assert (with_ours.prompts_per_step, with_ours.updates_per_rollout) == (prompts, updates)
    assert with_ours.rows_at_once == min(batch, prompts * group // updates)


@in_one_test(
    [
        dict(said={}, prompts=5, ours=dict(max_steps=15, prompts_per_step=1)),
        dict(
            said=dict(gradient_accumulation_steps=4, num_train_epochs=1),
            prompts=10,
            ours=dict(max_steps=2, prompts_per_step=4, micro_batch_size=8),
        ),
        # 100 optimizer steps are 25 rollouts with 2 updates and 2 passes each.
        dict(
            said=dict(
                max_steps=100,
                steps_per_generation=2,
                num_iterations=2,
                warmup_steps=10,
                save_steps=20,
                eval_strategy="steps",
                eval_steps=40,
            ),
            prompts=9,
            ours=dict(
                max_steps=25,
                updates_per_rollout=2,
                num_iterations=2,
                warmup_steps=3,
                save_steps=5,
                eval_steps=10,
                save_total_limit=6,
            ),
        ),
        # The batch counts completions: eight of one, accumulated, are one group.
        dict(
            said=dict(per_device_train_batch_size=1, gradient_accumulation_steps=8, max_steps=3),
            prompts=9,
            ours=dict(prompts_per_step=1, updates_per_rollout=1, micro_batch_size=1, max_steps=3),
        ),
        dict(said=dict(max_steps=50, warmup_ratio=0.1), prompts=9, ours=dict(warmup_steps=5)),
        dict(said=dict(max_steps=50, save_strategy="no"), prompts=9, ours=dict(save_steps=50)),
        dict(said=dict(save_strategy="epoch"), prompts=9, ours=dict(save_steps=9, max_steps=27)),
        dict(said=dict(scale_rewards=False), prompts=9, ours=dict(scale_rewards="none")),
        dict(said=dict(scale_rewards=True), prompts=9, ours=dict(scale_rewards="group")),
        dict(said=dict(top_k=None), prompts=9, ours=dict(top_k=0)),
        dict(said=dict(reward_weights=[1, 0.5]), prompts=9, ours=dict(reward_weights=(1.0, 0.5))),
        dict(said=dict(optim="paged_adamw_8bit"), prompts=9, ours=dict(optim="adamw_8bit")),
        dict(
            said=dict(lr_scheduler_type="constant_with_warmup"),
            prompts=9,
            ours=dict(lr_scheduler_type="constant"),
        ),
        dict(
            said=dict(model_init_kwargs={"torch_dtype": "float32"}),
            prompts=9,
            ours=dict(dtype="float32"),
        ),
    ]
)
def test_what_arguments_become(said: dict, prompts: int, ours: dict) -> None:
    config = GRPOConfig(**said).config_for(prompts)
    assert {name: getattr(config, name) for name in ours} == ours


def test_vllm_brings_trls_correction_of_the_sampler() -> None:
    with_vllm = GRPOConfig(use_vllm=True)._sampler()
    assert with_vllm["importance_sampling_mode"] == "sequence_mask"
    assert with_vllm["importance_sampling_clip_max"] == 3.0
    off = GRPOConfig(use_vllm=True, vllm_importance_sampling_correction=False)._sampler()
    assert off["importance_sampling_mode"] is None
    assert GRPOConfig().config_for(9).importance_sampling_mode is None
    server = GRPOConfig(use_vllm=True, vllm_mode="server", vllm_server_port=9)._sampler()
    assert server["vllm_server_base_url"] == "http://0.0.0.0:9"


def test_the_entropy_bonus_is_followed_under_trls_names() -> None:
    said = dict(entropy_coef=0.01, use_adaptive_entropy=True, entropy_target=0.3)
    ours = GRPOConfig(**said).config_for(9)
    assert {name: getattr(ours, name) for name in said} == said


@in_one_test(
    [
        dict(said=dict(learning_rat=1), match="no argument 'learning_rat'. Did you mean 'learning"),
        dict(said=dict(max_completion_lenght=1), match="Did you mean 'max_completion_length'"),
        dict(said=dict(min_p=0.1), match="min_p=0.1 has no counterpart.*use temperature"),
        dict(said=dict(push_to_hub=True), match="nothing is uploaded; trainer.save_model"),
        dict(said=dict(deepspeed="z3.json"), match="trains on one device"),
        dict(said=dict(torch_compile=True), match="torch_compile=True"),
        dict(said=dict(num_generations=1), match="num_generations=1"),
        dict(said=dict(loss_type="ppo"), match="loss_type='ppo'"),
        dict(said=dict(optim="adafactor"), match="optim='adafactor' has no counterpart"),
        dict(said=dict(save_strategy="best"), match="choose 'no', 'steps' or 'epoch'"),
        dict(said=dict(generation_batch_size=12), match="must be a multiple"),
        dict(said=dict(num_generations=3), match="no whole number of groups"),
        dict(
            said=dict(generation_batch_size=16, steps_per_generation=2),
            match="say the same",
        ),
        dict(said=dict(model_init_kwargs={"attn_implementation": "x"}), match="only dtype has"),
    ]
)
def test_what_cannot_be_followed_is_refused_by_name(said: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        GRPOConfig(**said)


def test_too_few_prompts_for_a_batch() -> None:
    config = GRPOConfig(gradient_accumulation_steps=4)
    with pytest.raises(ConfigError, match=r"has 3 prompt\(s\), and a generation batch takes 4"):
        config.config_for(3)


def test_reports_go_nowhere_and_are_named() -> None:
    with pytest.warns(ConfigWarning, match="'wandb': the workbench sends nothing anywhere"):
        GRPOConfig(report_to="wandb")
    with pytest.warns(ConfigWarning, match="'tensorboard', 'trackio'"):
        GRPOConfig(report_to=["tensorboard", "none", "trackio"])
    GRPOConfig(report_to=[])


def test_arguments_are_attributes() -> None:
    config = GRPOConfig("folder", beta=0.04)
    assert (config.output_dir, config.beta, config.learning_rate) == ("folder", 0.04, 1e-6)
    assert config.repetition_penalty == 1.0
    assert config.epsilon == 0.2
    with pytest.raises(AttributeError, match=r"'epsilo'.*'epsilon'"):
        _ = config.epsilo


# ------------------------------------------------------------- the settings that the seeds print


@in_one_test(
    [
        # 000 and 003, the fields of the class and their defaults
        dict(
            said=dict(
                beta=0.0,
                epsilon=0.2,
                delta=None,
                importance_sampling_level="token",
                loss_type="dapo",
                num_generations=8,
                temperature=1.0,
                max_completion_length=256,
                num_iterations=1,
                scale_rewards="group",
            ),
            ours=dict(beta=0.0, epsilon=0.2, delta=None, loss_type="dapo", num_generations=8),
        ),
        # 001, hyperparameters and the flags of its trainer
        dict(
            said=dict(
                learning_rate=1e-6,
                beta=0.04,
                num_generations=8,
                max_completion_length=256,
                use_liger_kernel=False,
                importance_sampling_level="token",
                scale_rewards="none",
                reward_weights=[0.7, 0.3],
            ),
            ours=dict(beta=0.04, scale_rewards="none", reward_weights=(0.7, 0.3)),
        ),
        # 004
        dict(
            said=dict(
                learning_rate=1e-6,
                beta=0.02,
                max_prompt_length=512,
                max_completion_length=256,
                num_generations=8,
                temperature=0.9,
            ),
            ours=dict(beta=0.02, max_prompt_length=512, temperature=0.9, prompts_per_step=1),
        ),
    ]
)
def test_the_settings_of_the_seeds(said: dict, ours: dict) -> None:
    config = GRPOConfig(**said).config_for(100)
    assert {name: getattr(config, name) for name in ours} == ours


def test_the_seeds_own_rule_of_two_generations() -> None:
    with pytest.raises(ConfigError, match="num_generations=1"):
        GRPOConfig(num_generations=1)
