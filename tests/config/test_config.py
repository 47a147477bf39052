"""GRPOConfig: every bad value and harmful combination is found at construction, with field, value
and remedy."""

import dataclasses
import warnings
from pathlib import Path

import pytest
import trl
from helpers import in_one_test
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.config import PRESETS, ConfigError, ConfigWarning, GRPOConfig, plain_value

BAD_VALUES = [
    ("num_generations", 1),
    ("num_generations", 2.5),
    ("num_generations", True),
    ("beta", -0.1),
    ("beta", float("nan")),
    ("beta", "0.1"),
    ("epsilon", 0.0),
    ("epsilon", 1.5),
    ("delta", 1.0),
    ("temperature", 0.0),
    ("top_p", 0.0),
    ("top_p", 1.1),
    ("top_k", -1),
    ("loss_type", "gpro"),
    ("scale_rewards", True),
    ("kl_estimator", "k4"),
    ("learning_rate", -1e-3),
    ("learning_rate", float("inf")),
    ("max_completion_length", 0),
    ("updates_per_rollout", 0),
    ("seed", -1),
    ("max_steps", 0),
    ("mask_truncated_completions", 1),
    ("top_entropy_quantile", 0.0),
    ("ref_model_mixup_alpha", 1.5),
    ("micro_batch_size", 0),
    ("importance_sampling_mode", "token"),
    ("rollout_engine", "sglang"),
    ("warmup_steps", -1),
    ("save_steps", 0),
]
HARMFUL = [
    (dict(loss_type="cispo"), "epsilon_high"),
    (dict(delta=1.1), "delta=1.1"),
    (dict(delta=1.25, epsilon_high=0.28), "1.28"),
    (dict(delta=2.0, loss_type="sapo"), "delta"),
    (dict(prompts_per_step=5), "updates_per_rollout=4"),
    (dict(importance_sampling_level="sequence", loss_type="vespo", epsilon=1e-3), "token"),
    (dict(importance_sampling_clip_min=3.0), "importance_sampling_clip_max"),
    (dict(reward_weights=(0.0, 0.0)), "reward_weights"),
    (dict(reward_weights=(1.0, float("nan"))), "reward_weights"),
    (dict(warmup_steps=60), "max_steps"),
]
DOUBTFUL = [
    (dict(importance_sampling_level="sequence"), "gspo"),
    (dict(loss_type="cispo", epsilon_high=0.2), "absolute"),
    (dict(num_generations=2), "num_generations=2"),
    (dict(top_p=0.9), "top_p=0.9"),
    (dict(advantage_baseline="none"), "advantage_baseline"),
    (dict(updates_per_rollout=1, delta=2.0), "delta"),
    (dict(updates_per_rollout=1, loss_type="kl_cov"), "has no gradient"),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        GRPOConfig(**{name: value})


@pytest.mark.parametrize(("values", "says"), HARMFUL)
def test_a_harmful_combination_is_refused(values: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        GRPOConfig(**values)


@pytest.mark.parametrize(("values", "says"), DOUBTFUL)
def test_a_doubtful_combination_warns(values: dict, says: str) -> None:
    with pytest.warns(ConfigWarning, match=says):
        GRPOConfig(**values)


def test_the_default_is_silent_and_clips() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = GRPOConfig()
    assert config.updates_per_rollout * config.num_iterations >= 2
    assert not config.on_policy
    assert config.completions_per_step == 128


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as e:
        GRPOConfig(beta=-1.0, epsilon=7.0)
    assert "beta=-1.0" in str(e.value)
    assert "epsilon=7.0" in str(e.value)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        GRPOConfig.from_dict({"temprature": 1.0})
    with pytest.raises(ConfigError, match="betta"):
        GRPOConfig().replace(betta=0.1)


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GRPOConfig().beta = 1.0  # type: ignore[misc]


@in_one_test([dict(field=field) for field in dataclasses.fields(GRPOConfig)])
def test_every_field_documents_itself(field: dataclasses.Field) -> None:
    text = GRPOConfig.describe(field.name)
    assert len(field.metadata["meaning"]) > 15
    assert "Range:" in text
    assert "Live:" in text or "Fixed" in text


def test_live_fields_are_those_of_the_design() -> None:
    live = GRPOConfig.live_fields()
    assert {
        "beta",
        "epsilon",
        "epsilon_high",
        "delta",
        "learning_rate",
        "temperature",
        "loss_type",
        "scale_rewards",
    } <= set(live)
    assert not {"seed", "num_generations", "prompts_per_step", "max_steps", "rollout_engine"} & set(
        live
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold(name: str) -> None:
    config = GRPOConfig.preset(name)
    assert PRESETS[name].source
    assert all(getattr(config, k) == v for k, v in PRESETS[name].values.items())


def test_the_trl_preset_is_trl() -> None:
    ours = GRPOConfig.preset("trl")
    theirs = {f.name: f.default for f in dataclasses.fields(trl.GRPOConfig)}
    same = (
        "beta",
        "epsilon",
        "epsilon_high",
        "delta",
        "loss_type",
        "scale_rewards",
        "num_generations",
        "num_iterations",
        "temperature",
        "top_p",
        "top_k",
        "max_completion_length",
        "importance_sampling_level",
        "use_bias_correction_kl",
        "mask_truncated_completions",
        "top_entropy_quantile",
        "off_policy_mask_threshold",
        "sync_ref_model",
        "ref_model_mixup_alpha",
        "ref_model_sync_steps",
        "learning_rate",
        "max_grad_norm",
        "weight_decay",
        "adam_beta1",
        "adam_beta2",
        "sapo_temperature_pos",
        "sapo_temperature_neg",
        "vespo_k_pos",
        "vespo_k_neg",
        "vespo_lambda_pos",
        "vespo_lambda_neg",
        "multi_objective_aggregation",
        "reward_weights",
    )
    assert {n: getattr(ours, n) for n in same} == {n: theirs[n] for n in same}


def test_deepseekmath_is_the_papers_setting() -> None:
    c = GRPOConfig.preset("deepseekmath")
    assert (
        c.learning_rate,
        c.beta,
        c.num_generations,
        c.max_completion_length,
        c.completions_per_step,
    ) == (1e-6, 0.04, 64, 1024, 1024)
    assert c.on_policy


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="deepseekmath"):
        GRPOConfig.preset("deepseek")


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_it_is_the_same_after_a_round_trip(tmp_path: Path, suffix: str) -> None:
    config = GRPOConfig(
        beta=0.013, reward_weights=(0.5, 1.0), delta=2.5, learning_rate=3e-7, scale_rewards="none"
    )
    config.save(tmp_path / f"c{suffix}")
    assert GRPOConfig.load(tmp_path / f"c{suffix}") == config


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="list"):
        GRPOConfig.load(tmp_path / "c.yaml")


# Before the first value it draws, hypothesis reads all loaded modules, which a fresh clone has not
# cached: that is no slowness of the values.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(sorted(f.name for f in dataclasses.fields(GRPOConfig))),
        st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=5)),
    )
)
def test_any_value_either_makes_a_config_or_a_config_error(values: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            config = GRPOConfig.from_dict(values)
        except ConfigError as e:
            assert str(e)
        else:
            assert GRPOConfig.from_dict(config.to_dict()) == config


def test_a_list_may_hold_numbers_that_yaml_takes_for_text() -> None:
    assert plain_value("[1, 1e-1]") == [1, 0.1]


@pytest.mark.parametrize("name", ["c.json", "c.yaml"])
def test_a_file_that_cannot_be_parsed_is_a_config_error(tmp_path, name: str) -> None:
    (tmp_path / name).write_text("{bad: [")
    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        GRPOConfig.load(tmp_path / name)


def test_the_preset_for_real_models_makes_the_two_updates_that_it_says() -> None:
    assert GRPOConfig.preset("real").updates_per_rollout == 2


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        (dict(quantization="nf4"), "Set lora_rank=16"),
        (dict(use_dora=True), "lora_rank=0 makes none"),
        (dict(lora_alpha=8.0), "lora_rank=0 makes none"),
        (dict(rollout_engine="vllm", vllm_mode="server"), "vllm_server_base_url"),
    ],
)
def test_model_settings_that_cannot_be_together(changes: dict, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        GRPOConfig(**changes)


def test_model_settings_that_belong_together() -> None:
    config = GRPOConfig(
        lora_rank=8,
        lora_alpha=16.0,
        use_rslora=True,
        quantization="nf4",
        lora_target_modules="q_proj,v_proj",
    )
    assert GRPOConfig.from_dict(config.to_dict()) == config
