"""A saved adapter as the policy: evaluated, trained further, and described by the config as what it
is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from policy.tiny_folders import save_tiny

from workbench.commands.train import LORA_LEARNING_RATE, make_config
from workbench.config import ConfigError, GRPOConfig
from workbench.policy import PolicyError, load_for, load_policy, save_policy
from workbench.policy.for_config import check_policy
from workbench.rollout.randomness import fork_rng
from workbench.rollout.vllm_checks import adapter_rank
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run

OWN: dict[str, Any] = dict(
    lora_rank=8,
    lora_alpha=12.0,
    lora_target_modules="q_proj,v_proj",
    use_rslora=True,
    use_dora=False,
)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter of rank 8 for a tiny Llama."""
    policy = load_for(GRPOConfig(**OWN), save_tiny("llama", tmp_path / "model"))
    save_policy(policy, tmp_path / "adapter", adapter_only=True)
    return tmp_path / "adapter"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora_rank": "auto"},
        {"lora_rank": 8},
        {"lora_rank": 8, "lora_target_modules": "v_proj, q_proj"},
    ],
    ids=str,
)
def test_the_config_is_that_of_the_adapter(changes: dict[str, Any], adapter: Path) -> None:
    config = make_config(str(adapter), None, changes, None)
    assert {n: getattr(config, n) for n in OWN} == OWN
    assert config.learning_rate == pytest.approx(
        LORA_LEARNING_RATE * GRPOConfig.preset("real").learning_rate
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lora_rank": 4}, "asked for is lora_rank=4, its own is 8"),
        ({"lora_alpha": 16}, "lora_alpha=16, its own is 12.0"),
        ({"lora_target_modules": "q_proj"}, "its own is 'q_proj,v_proj'"),
    ],
)
def test_another_one_is_refused_in_few_words(
    changes: dict[str, Any], says: str, adapter: Path
) -> None:
    with pytest.raises(PolicyError, match=says) as made:
        make_config(str(adapter), None, changes, None)
    with pytest.raises(PolicyError, match=says.replace("16,", "16.*,")) as loaded:
        load_for(GRPOConfig(**{"lora_rank": 8} | changes), adapter)
    for error in (made, loaded):
        assert "LoraConfig" not in str(error.value)
        assert len(str(error.value)) < 400


def test_a_rank_or_peft_config_of_another_rank_is_refused_without_a_picture_of_it(
    adapter: Path,
) -> None:
    from peft import LoraConfig

    with pytest.raises(PolicyError, match="lora_rank=4, its own is 8") as e:
        load_policy(adapter, lora=LoraConfig(r=4, target_modules=["q_proj"]))
    assert "LoraConfig" not in str(e.value)
    for lora in (True, 8, None, LoraConfig(r=8)):
        assert load_policy(adapter, lora=lora).model.peft_config["default"].r == 8


def test_an_adapter_of_another_type_says_so(adapter: Path) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(path.read_text().replace('"LORA"', '"IA3"'))
    with pytest.raises(PolicyError, match="of type IA3. Give a LoRA adapter"):
        make_config(str(adapter), None, {}, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization": "nf4"},
        {"quantization": "int8", "lora_rank": 8},
        {"quantization": "nf4", "lora_rank": "auto"},
    ],
    ids=str,
)
def test_on_a_quantised_base_it_loads_trains_and_counts_as_an_adapter(
    changes: dict[str, Any], adapter: Path, tmp_path: Path
) -> None:
    small = dict(
        max_steps=1,
        prompts_per_step=2,
        num_generations=4,
        max_completion_length=8,
        num_eval_problems=4,
        learning_rate=1e-3,
    )
    config = make_config(str(adapter), None, small | changes, None)
    policy = load_for(config, adapter)
    assert (policy.quantization, adapter_rank(policy.model)) == (changes["quantization"], 8)
    before = {n: p.detach().clone() for n, p in policy.trainable_state().items()}
    trainer = start_run(
        tmp_path / "r",
        policy=policy,
        task=arithmetic_task(0, 16, 4),
        rewards=["format", "answer"],
        config=config,
    )
    trainer.train()
    assert trainer.run.path.exists()
    assert trainer.config.lora_rank == 8
    assert before.keys() == policy.trainable_state().keys()
    assert all("lora_" in n for n in before)


def test_it_can_be_trained_with_a_config_that_says_nothing_of_adapters(adapter: Path) -> None:
    assert load_for(GRPOConfig(), adapter).has_adapter


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_for_evaluation_alone_nothing_is_trained_and_no_adapter_is_needed(
    quantization: str, adapter: Path
) -> None:
    for name in (adapter, adapter.parent / "model"):
        policy = load_policy(name, quantization=quantization, trainable=False)
        assert policy.quantization == quantization
        assert policy.trainable_parameters() == []
        with pytest.raises(ConfigError, match="trainable=False: there is nothing to train"):
            check_policy(policy, GRPOConfig())
    with (
        pytest.raises(PolicyError, match="Add lora=16")
        if quantization != "none"
        else fork_rng(torch.device("cpu"))
    ):
        load_policy(adapter.parent / "model", quantization=quantization)


def test_random_numbers_are_put_aside_for_the_model_s_device_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    plain = torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None: asked.append(devices))
    fork_rng(torch.device("cuda", 1))
    fork_rng(torch.device("cpu"))
    fork_rng()
    assert asked == [[torch.device("cuda", 1)], [], []]
    asked.clear()
    monkeypatch.setattr(
        torch.random,
        "fork_rng",
        lambda devices=None: asked.append(devices) or plain(devices=devices),
    )
    load_policy("embedded", lora=2)
    assert asked
    assert all(devices == [] for devices in asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None: asked.append(devices))
    fork_rng()
    assert asked[-1] == [torch.device("cuda")]


def test_it_remembers_how_its_base_was_kept(tmp_path: Path) -> None:
    """On the unquantised base it would be another policy."""
    policy = load_for(
        GRPOConfig(lora_rank=4, quantization="nf4"), save_tiny("llama", tmp_path / "model")
    )
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.normal_(0, 0.1)
    folder = tmp_path / "adapter"
    save_policy(policy, folder, adapter_only=True)
    assert "kept in nf4" in (folder / "README.md").read_text()
    assert str(tmp_path) not in (folder / "README.md").read_text()
    ids = torch.tensor([[5, 6, 7, 8]])
    again = load_policy(folder, trainable=False)
    assert again.quantization == "nf4"
    torch.testing.assert_close(again.model(ids).logits, policy.model(ids).logits)
    assert load_for(GRPOConfig(), folder).quantization == "nf4"
    assert load_policy(folder, quantization="none", trainable=False).quantization == "none"
    assert make_config(str(folder), None, {}, None).quantization == "nf4"
    assert make_config(str(folder), None, {"quantization": "int8"}, None).quantization == "int8"


def test_lengths_are_those_of_the_run_that_a_policy_lies_in(tmp_path: Path) -> None:
    from workbench.commands.train import lengths_of
    from workbench.runs import RunWriter

    config = GRPOConfig(max_completion_length=40, max_prompt_length=90)
    RunWriter.create(tmp_path / "run", config=config.to_dict(), reward_names=["a"]).close()
    policy = save_tiny("llama", tmp_path / "run" / "policy")
    assert lengths_of(str(policy)) == dict(max_completion_length=40, max_prompt_length=90)
    assert make_config(str(policy), None, {}, None).max_completion_length == 40
    assert (
        make_config(str(policy), None, {"max_completion_length": 30}, None).max_completion_length
        == 30
    )
    assert (
        make_config(str(policy), "real", {}, None).max_completion_length
        == GRPOConfig.preset("real").max_completion_length
    )
    assert lengths_of("embedded") == lengths_of(str(save_tiny("llama", tmp_path / "alone"))) == {}
