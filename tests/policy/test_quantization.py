"""Quantised policies on a CPU: the same numbers from every source, one forward for sampler and
trainer, a base that stands still."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import digits_reward, same_weights, weights_of
from torch import Tensor
from transformers import AutoModelForCausalLM

from workbench.config import GRPOConfig
from workbench.policy import Policy, load_policy
from workbench.policy.loading.locate import EMBEDDED
from workbench.policy.logprobs import completion_logps
from workbench.policy.optim import optimizer_tensors
from workbench.policy.quantization import float_weight, loading_config, quantize
from workbench.rewards import RewardSet
from workbench.rollout import Sampling, make_engine
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run
from workbench.training.update import loss_scale

LORA = dict(
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=2,
    max_completion_length=10,
    eval_steps=0,
    num_eval_problems=8,
    learning_rate=5e-3,
    lora_rank=16,
    lr_scheduler_type="constant",
)


def base_hash(policy: Policy) -> str:
    """SHA-256 over every tensor but the adapter's: weights, scales, buffers, byte for byte."""
    digest = hashlib.sha256()
    for name, tensor in _base_tensors(policy.model):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _base_tensors(model: Any) -> list[tuple[str, Tensor]]:
    found = [
        (n, t) for n, t in [*model.named_parameters(), *model.named_buffers()] if "lora_" not in n
    ]
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        state = getattr(weight, "quant_state", None)
        if state is not None:
            found += [
                (f"{name}.{k}", v)
                for k, v in state.as_dict(packed=True).items()
                if isinstance(v, Tensor)
            ]
        if type(module).__name__ == "Linear8bitLt" and hasattr(module, "state"):
            found.append(
                (f"{name}.SCB", weight.SCB if weight.SCB is not None else module.state.SCB)
            )
    return sorted(found, key=lambda pair: pair[0])


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_twenty_steps_leave_the_base_bitwise_as_it_was(
    quantization: str, tmp_path: Path, tiny_folder: Path
) -> None:
    config = GRPOConfig(**LORA, max_steps=20, quantization=quantization)
    policy = load_policy(str(tiny_folder), config=config)
    before, adapter = (
        base_hash(policy),
        {n: p.detach().clone() for n, p in policy.trainable_state().items()},
    )
    trainer = start_run(
        tmp_path / "run",
        policy=policy,
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(digits_reward),
        config=config,
    )
    trainer.train()
    assert base_hash(policy) == before
    assert all(not torch.equal(p, adapter[n]) for n, p in policy.trainable_state().items())


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_model_in_memory_is_quantised_to_the_numbers_of_transformers(quantization: str) -> None:
    read = AutoModelForCausalLM.from_pretrained(
        EMBEDDED,
        dtype=torch.float32,
        quantization_config=loading_config(quantization, torch.float32),
        device_map={"": "cpu"},
    )
    plain = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    weight = plain.model.layers[0].mlp.up_proj.weight.detach().clone()
    quantize(plain, quantization, torch.float32)
    ours, theirs = dict(plain.named_parameters()), dict(read.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(p, theirs[n]) for n, p in ours.items())
    layer = plain.model.layers[0].mlp.up_proj
    back = float_weight(layer, layer.weight, torch.float32)
    error = (back - weight).norm() / weight.norm()
    assert 1e-4 < error < {"nf4": 0.12, "int8": 0.02}[quantization]


@pytest.mark.parametrize(
    "options",
    [
        {"quantization": "nf4"},
        {"quantization": "int8"},
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"quantization": "nf4", "gradient_checkpointing": True},
        {"quantization": "int8", "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_sampler_and_trainer_compute_the_same(options: dict) -> None:
    """One forward for both: 1e-4 nats, also where the base is 16 bits wide (the packed forward
    rounds alike)."""
    policy = load_policy("embedded", lora=8, **options)
    torch.manual_seed(0)
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.add_(torch.randn_like(p) * 0.02)
    rollout = make_engine(
        "native", policy.model, policy.eos_token_ids, policy.pad_token_id
    ).generate(
        [
            policy.encode_prompt([{"role": "user", "content": q}])
            for q in ("What is 3 + 5?", "Calculate 47 + 38.")
        ],
        6,
        Sampling(30),
        torch.Generator().manual_seed(0),
    )
    logp, _ = completion_logps(policy.model, rollout, torch.arange(12), 1.0)
    width = 1e-4 if policy.weight_dtype == torch.float32 else 0.05
    assert (logp - rollout.sampler_logp_BT)[rollout.mask_BT].abs().max() < width
    logp.sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.dtype == torch.float32
        for p in policy.trainable_parameters()
    )


def test_both_engines_give_the_same_first_loss(tmp_path: Path) -> None:
    """Greedy, so that both sample the same tokens; the loss is that of the ratio to the sampler's
    own log-probabilities."""
    from workbench.objective import policy_loss

    policy, losses = load_policy("embedded", lora=8, quantization="nf4"), []
    prompts = [
        policy.encode_prompt([{"role": "user", "content": q}])
        for q in ("What is 3 + 5?", "Calculate 47 + 38.")
    ]
    advantages, config = torch.tensor([1.0, -1.0, 0.5, -0.5]), GRPOConfig(beta=0.0)
    for name in ("native", "transformers"):
        engine = make_engine(name, policy.model, policy.eos_token_ids, policy.pad_token_id)
        rollout = engine.generate(prompts, 2, Sampling(40, temperature=0.0), torch.Generator())
        logp, _ = completion_logps(policy.model, rollout, torch.arange(4), 1.0)
        out = policy_loss(
            logp, advantages, rollout.mask_BT, config, old_logp=rollout.sampler_logp_BT
        )
        losses.append((rollout.completion_lists(), out.loss.item()))
    assert losses[0][0] == losses[1][0]
    assert abs(losses[0][1] - losses[1][1]) < 1e-5


def test_checkpointed_activations_are_computed_again_and_give_the_same_gradient() -> None:
    gradients, calls = [], []
    for again in (False, True):
        policy = load_policy("embedded", lora=4, gradient_checkpointing=again)
        count = [0]
        policy.model.get_base_model().model.layers[0].mlp.register_forward_pre_hook(
            lambda *a, count=count: count.__setitem__(0, count[0] + 1)
        )
        engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
        rollout = engine.generate([[20, 21, 22]], 4, Sampling(8), torch.Generator().manual_seed(0))
        count[0] = 0
        completion_logps(policy.model, rollout, torch.arange(4), 1.0)[0].sum().backward()
        gradients.append([p.grad for p in policy.trainable_parameters()])
        calls.append(count[0])
    assert calls == [1, 2]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_float16_gradients_survive_by_scaling(tmp_path: Path) -> None:
    """The same update in float32 and with a float16 base; without the scale most of the float16 one
    would be lost."""
    from workbench.training import update

    gradients, plain = {}, update.loss_scale
    for dtype, scaled in (("float32", True), ("float16", True), ("float16", False)):
        config = GRPOConfig(**LORA, max_steps=2, dtype=dtype, seed=3)
        policy = load_policy("embedded", config=config)
        trainer = start_run(
            tmp_path / f"{dtype}{scaled}",
            policy=policy,
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(digits_reward),
            config=config,
        )
        seen: list[Tensor] = []
        step = trainer.optimizer.step
        trainer.optimizer.step = lambda *a, step=step, seen=seen, policy=policy: (
            seen.append(torch.cat([p.grad.flatten() for p in policy.trainable_parameters()])),
            step(*a),
        )[1]
        update.loss_scale = (
            plain if scaled else lambda *a: 1e-4
        )  # a batch of 10,000 times the tokens
        try:
            trainer.step()
        finally:
            update.loss_scale = plain
        gradients[dtype, scaled] = seen[0]
    true = gradients["float32", True]
    error = {key: float((g - true).norm() / true.norm()) for key, g in gradients.items()}
    assert error["float16", True] < 0.05
    assert error["float16", False] > 5 * error["float16", True]
    assert loss_scale(load_policy("embedded", lora=2).weight_dtype, 512.0) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("changes", [dict(lora_rank=16), dict(lora_rank=0)], ids=["lora", "full"])
def test_8_bit_adam_learns_alike_and_resumes_exactly(changes: dict, tmp_path: Path) -> None:
    config = GRPOConfig(
        **(LORA | dict(max_steps=4, save_steps=2, optim="adamw_8bit", learning_rate=1e-3) | changes)
    )

    def run(name: str, resume: bool = False, **more: Any):
        chosen = config.replace(**more)
        return start_run(
            tmp_path / name,
            policy=load_policy("embedded", config=chosen),
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(digits_reward),
            config=chosen,
            resume=resume,
        )

    whole = run("whole")
    whole.train()
    assert any(t.dtype == torch.uint8 for t in optimizer_tensors(whole.optimizer).values())
    run("parts").train(2)
    parts = run("parts", resume=True)
    assert parts.steps_done == 2
    parts.train()
    assert same_weights(weights_of(whole), weights_of(parts))
    exact = run("exact", optim="adamw")
    start = weights_of(exact)
    exact.train()
    a, b = (
        torch.cat([(w[n] - start[n]).flatten() for n in start])
        for w in (weights_of(whole), weights_of(exact))
    )
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.9


def test_full_fine_tuning_under_autocast_keeps_float32_weights(tmp_path: Path) -> None:
    """What `load_policy` does on a GPU with bfloat16, here with the CPU's autocast: both engines
    see it, weights stay float32."""
    from workbench.policy.dtype import compute_in_bfloat16

    policy = load_policy("embedded")
    ids = torch.tensor([[20, 21, 22]])
    exact = policy.model(ids).logits
    compute_in_bfloat16(policy.model)
    rounded = policy.model(ids).logits
    assert rounded.dtype == torch.bfloat16
    assert not torch.equal(rounded.float(), exact)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.3)
    for name in ("native", "transformers"):
        rollout = make_engine(
            name, policy.model, policy.eos_token_ids, policy.pad_token_id
        ).generate(
            [policy.encode_prompt([{"role": "user", "content": "What is 3 + 5?"}])],
            8,
            Sampling(20),
            torch.Generator().manual_seed(0),
        )
        logp, _ = completion_logps(policy.model, rollout, torch.arange(8), 1.0)
        assert (logp - rollout.sampler_logp_BT)[rollout.mask_BT].abs().mean() < 0.02
    logp.sum().backward()
    assert {(p.dtype, p.grad.dtype) for p in policy.trainable_parameters()} == {
        (torch.float32, torch.float32)
    }
