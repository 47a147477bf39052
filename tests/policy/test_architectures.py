"""Many families: load, adapt, sample, train one step; sampler and trainer agree, or the notice says
who samples."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from policy.tiny_folders import NATIVE, OTHERS, save_tiny

from workbench.config import GRPOConfig
from workbench.doctor import report
from workbench.policy import apart, load_policy, packing, save_policy
from workbench.policy.logprobs import completion_logps
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run

CONFIG = GRPOConfig(
    prompts_per_step=2,
    num_generations=4,
    updates_per_rollout=2,
    max_completion_length=12,
    max_steps=2,
    eval_steps=0,
    num_eval_problems=4,
    learning_rate=5e-2,
    lora_rank=4,
    beta=0.01,
    lr_scheduler_type="constant",
)
TOLERANCE = 1e-4
"""Largest difference of a token's log-probability between sampler and trainer, float32, in nats."""


def varied_reward(completions, **columns) -> list[float]:
    """Differs from text to text, so that no group is dead."""
    return [sum(map(ord, c[0]["content"])) % 11 / 10 for c in completions]


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        *((name, "none") for name in (*NATIVE, *OTHERS)),
        ("llama", "nf4"),
        ("gpt2", "nf4"),
        ("gemma2", "nf4"),
    ],
)
def test_load_sample_train(name: str, quantization: str, tmp_path: Path) -> None:
    config = CONFIG.replace(quantization=quantization)
    policy = load_policy(save_tiny(name, tmp_path / "model"), config=config)
    base = {n: p.detach().clone() for n, p in policy.model.named_parameters() if "lora_" not in n}
    assert not any(p.requires_grad for n, p in policy.model.named_parameters() if n in base)
    assert all(
        "lora_" in n and p.dtype == torch.float32 for n, p in policy.trainable_state().items()
    )
    notice = (
        contextlib.nullcontext()
        if name in NATIVE
        else pytest.warns(UserWarning, match="transformers engine")
    )
    with notice:
        trainer = start_run(
            tmp_path / "run",
            policy=policy,
            task=arithmetic_task(0, 16, 8),
            rewards=RewardSet(varied_reward),
            config=config,
        )
    served = "native" if name in NATIVE else "transformers"
    assert trainer.engine.name == served
    environment = Run.open(tmp_path / "run").meta.environment
    assert environment["rollout_engine"] == served, "the record names what served"
    assert environment["shared_prompts"] == (packing.reason_against(policy.model) is None)
    assert environment["shared_decoding"] == (True if name in NATIVE else None)
    assert environment["attention_apart"] == (apart.reason_against(policy.model) is None)
    said = " ".join(report(tmp_path / "run").split())
    assert ("sampling shares its keys and values" in said) == (name in NATIVE)
    assert f"Sampled by the engine '{served}'" in said
    assert ("in place of 'native'" in said) == (served != "native")
    before = _rollout(trainer)
    with torch.no_grad():
        logp, _ = completion_logps(policy.model, before, torch.arange(8), config.temperature)
    assert (logp - before.sampler_logp_BT)[before.mask_BT].abs().max() < TOLERANCE
    trainer.step()
    assert any(p.abs().sum() > 0 for n, p in policy.trainable_state().items() if "lora_B" in n)
    assert all(torch.equal(p, base[n]) for n, p in policy.model.named_parameters() if n in base), (
        "the base stands still"
    )
    after = _rollout(trainer)
    assert before.completion_lists() != after.completion_lists() or not torch.equal(
        before.sampler_logp_BT, after.sampler_logp_BT
    )


def _rollout(trainer):
    """The same prompts and random numbers each time."""
    state = trainer.generator.get_state()
    rollout = trainer.sample(trainer.task.train[:2], trainer.config)
    trainer.generator.set_state(state)
    return rollout


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "phi3", "gpt2"])
@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_a_saved_policy_is_the_trained_one(name: str, quantization: str, tmp_path: Path) -> None:
    """Merged into floating point, and the adapter alone on the base quantised again: both give the
    trained logits."""
    policy = load_policy(save_tiny(name, tmp_path / "model"), lora=4, quantization=quantization)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.add_(torch.randn_like(p) * 0.1)
    base = {n: p.detach().clone() for n, p in policy.model.named_parameters()}
    ids = torch.tensor([policy.encode_prompt([{"role": "user", "content": "What is 3 + 5?"}])])
    expected = policy.model(ids).logits
    save_policy(policy, tmp_path / "merged")
    save_policy(policy, tmp_path / "adapter", adapter_only=True)
    assert all(torch.equal(p, base[n]) for n, p in policy.model.named_parameters())
    merged = load_policy(tmp_path / "merged")
    assert merged.quantization == "none"
    assert {p.dtype for p in merged.model.parameters()} == {torch.float32}
    torch.testing.assert_close(merged.model(ids).logits, expected, rtol=1e-3, atol=1e-3)
    again = load_policy(tmp_path / "adapter", quantization=quantization)
    assert again.has_adapter
    assert again.quantization == quantization
    torch.testing.assert_close(again.model(ids).logits, expected, rtol=1e-5, atol=1e-5)
    assert all(
        torch.equal(p, again.trainable_state()[n]) for n, p in policy.trainable_state().items()
    )
    assert not (tmp_path / "adapter/model.safetensors").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"lora_alpha": 5.0},
        {"lora_target_modules": "q_proj, v_proj"},
    ],
)
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_what_the_config_says_of_the_adapter_is_done(
    options: dict, quantization: str, tmp_path: Path
) -> None:
    policy = load_policy(
        save_tiny("llama", tmp_path / "model"),
        config=CONFIG.replace(quantization=quantization, **options),
    )
    (config,) = policy.model.peft_config.values()
    assert (config.r, config.lora_alpha, config.use_rslora, config.use_dora) == (
        4,
        options.get("lora_alpha", 8),
        options.get("use_rslora", False),
        options.get("use_dora", False),
    )
    adapted = {n.split(".")[-4] for n in policy.trainable_state() if "lora_A" in n}
    assert adapted == (
        {"q_proj", "v_proj"}
        if "lora_target_modules" in options
        else {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    )
    ids = torch.tensor([policy.encode_prompt([{"role": "user", "content": "What is 3 + 5?"}])])
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.add_(0.05)
    save_policy(policy, tmp_path / "merged")
    torch.testing.assert_close(
        load_policy(tmp_path / "merged").model(ids).logits,
        policy.model(ids).logits,
        rtol=1e-3,
        atol=1e-3,
    )
