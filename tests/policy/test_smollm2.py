"""SmolLM2-135M-Instruct, a real small model: from a .gguf file and from a folder, with LoRA and in
4 bits."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from workbench.policy import load_policy, save_policy
from workbench.policy.logprobs import completion_logps
from workbench.rollout import Sampling, make_engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUESTION = [
    {"role": "system", "content": "Reply with one number and nothing else."},
    {"role": "user", "content": "3 + 2 ="},
]


def greedy(policy, engine: str = "native"):
    made = make_engine(engine, policy.model, policy.eos_token_ids, policy.pad_token_id)
    return made.generate(
        [policy.encode_prompt(QUESTION)], 2, Sampling(12, temperature=0.0), torch.Generator()
    )


def test_a_gguf_file_loads_in_4_bits_and_knows_its_turns(
    smollm2_gguf: Path, smollm2_folder: Path
) -> None:
    """Dequantised, then quantised in memory: the numbers of the folder that was saved in floating
    point."""
    policy = load_policy(smollm2_gguf, lora=2, quantization="nf4")
    assert policy.quantization == "nf4"
    assert policy.pieces(policy.eos_token_ids) == ["<|im_end|>"]
    assert "system\nReply with" in policy.tokenizer.decode(policy.encode_prompt(QUESTION))
    folder = load_policy(smollm2_folder, lora=2, quantization="nf4")
    mine, theirs = dict(policy.model.named_parameters()), dict(folder.model.named_parameters())
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(p, theirs[n]) for n, p in mine.items())


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_engines_and_trainer_agree_and_the_saved_policy_is_the_trained_one(
    quantization: str, smollm2_folder: Path, tmp_path: Path
) -> None:
    policy = load_policy(smollm2_folder, lora=8, quantization=quantization)
    torch.manual_seed(0)
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.add_(torch.randn_like(p) * 0.003)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        native = greedy(policy)
    reference = greedy(policy, "transformers")
    assert native.completion_lists() == reference.completion_lists()
    torch.testing.assert_close(native.sampler_logp_BT, reference.sampler_logp_BT, atol=1e-4, rtol=0)
    with torch.no_grad():
        logp, _ = completion_logps(policy.model, native, torch.arange(2), 1.0)
    assert (logp - native.sampler_logp_BT)[native.mask_BT].abs().max() < 1e-4
    save_policy(policy, tmp_path / "merged")
    merged = load_policy(tmp_path / "merged")
    assert merged.eos_token_ids == policy.eos_token_ids
    with torch.no_grad():
        again, _ = completion_logps(merged.model, native, torch.arange(2), 1.0)
    assert (again - logp)[native.mask_BT].abs().max() < 1e-2
