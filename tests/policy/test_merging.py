"""The policy, its adapter saved alone and its merged copy are one model, however peft is told what
to adapt."""

from __future__ import annotations

import json
import warnings
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from helpers import in_one_test
from peft import LoraConfig
from policy.tiny_folders import IDS, SIZES, save_tiny
from torch import Tensor

from workbench.policy import Policy, PolicyError, load_policy, save_policy
from workbench.policy.loading.locate import EMBEDDED
from workbench.policy.save import whole_bytes

TARGETS: list[dict[str, Any]] = [
    dict(target_modules=["q_proj", "v_proj"]),
    dict(target_modules=r".*layers\.1\..*(q|k)_proj"),
    dict(target_modules="all-linear"),
    dict(target_modules="all-linear", exclude_modules=["q_proj"]),
    dict(target_modules=["q_proj"], layers_to_transform=[1]),
    dict(target_modules=["q_proj"], use_rslora=True),
    dict(
        target_modules=["q_proj", "k_proj"], rank_pattern={"q_proj": 4}, alpha_pattern={"k_proj": 9}
    ),
    # One of two tied layers, or both, together or each in its own way.
    dict(target_modules=["q_proj", "lm_head"]),
    dict(target_modules=["q_proj", "embed_tokens"]),
    dict(target_modules=["embed_tokens", "lm_head"]),
    dict(target_modules=["q_proj", "lm_head"], ensure_weight_tying=True),
    dict(target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True),
    dict(target_modules=["q_proj", "lm_head"], use_dora=True),
    dict(target_modules=["q_proj", "embed_tokens"], use_dora=True),
    dict(target_modules=["q_proj"], modules_to_save=["lm_head"]),
    dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    dict(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True),
    dict(target_modules=["q_proj", "lm_head"], modules_to_save=["embed_tokens"]),
    dict(target_modules=["q_proj"], modules_to_save=["norm"]),
    # Single tokens, of the embedding (and the head, which is tied to it) or of the head alone.
    dict(target_modules=["q_proj"], trainable_token_indices=[5, 6]),
    dict(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [5, 6]}),
    dict(target_modules=["q_proj"], trainable_token_indices={"lm_head": [5, 6]}),
    dict(target_modules=["k_proj"], target_parameters=["q_proj.weight"]),
    # Ways to begin that move the base's own weights.
    dict(target_modules=["q_proj", "v_proj"], init_lora_weights="pissa"),
    dict(target_modules=["q_proj", "lm_head"], init_lora_weights="pissa"),
    dict(target_modules=["q_proj", "v_proj"], init_lora_weights="olora"),
    dict(family="gpt2", target_modules="all-linear"),
    dict(family="gpt2", target_modules=["c_attn", "wte"]),
    dict(family="gpt2", target_modules=["c_attn", "lm_head"]),
    dict(family="gpt2", target_modules=["c_attn"], trainable_token_indices={"wte": [5]}),
    dict(family="gpt2", target_modules=["c_attn"], bias="all"),
    dict(family="qwen2", target_modules=["q_proj", "lm_head"]),
    dict(family="qwen2", target_modules=["q_proj"], bias="lora_only"),
    dict(family="qwen2", target_modules=["q_proj"], lora_bias=True),
    dict(family="qwen2", target_modules=["q_proj", "lm_head"], quantization="nf4"),
    dict(family="llama", target_modules=["q_proj", "lm_head"], quantization="int8"),
    dict(family="mixtral", target_modules=["q_proj"], target_parameters=["experts.down_proj"]),
]
numbers = count()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family; llama's and GPT-2's head is tied to the embedding."""
    folder = tmp_path_factory.mktemp("bases")
    for family in ("llama", "gpt2", "qwen2"):
        save_tiny(family, folder / family)
    torch.manual_seed(0)
    mixture = hf.MixtralConfig(**SIZES, num_local_experts=2, sliding_window=None)
    hf.MixtralForCausalLM(mixture).save_pretrained(folder / "mixtral")
    hf.AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder / "mixtral")
    assert IDS["vocab_size"] == SIZES["vocab_size"]
    return folder


@torch.no_grad()
def logits(policy: Policy) -> Tensor:
    found: Tensor = policy.model(input_ids=torch.arange(4, 60)[None]).logits.float()
    return found


@torch.no_grad()
def learnt(policy: Policy) -> Policy:
    """Its adapter moved by some noise."""
    torch.manual_seed(1)
    for p in policy.trainable_parameters():
        p.add_(torch.randn_like(p) * 0.2)
    return policy


@pytest.mark.slow
@in_one_test(dict(target=target) for target in TARGETS)
def test_policy_adapter_and_merged_policy_are_one(
    bases: Path, tmp_path: Path, target: dict[str, Any]
) -> None:
    out = tmp_path / str(next(numbers))
    fields = dict(target)
    base = bases / fields.pop("family", "llama")
    quantization = fields.pop("quantization", "none")
    lora = LoraConfig(r=2, lora_alpha=4, task_type="CAUSAL_LM", **fields)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*tie_word_embeddings.*")
        policy = learnt(load_policy(base, lora=lora, quantization=quantization))
        save_policy(policy, out / "adapter", adapter_only=True)
        save_policy(policy, out / "policy")
    expected = logits(policy)
    assert (expected - logits(load_policy(base))).abs().max() > 0.5
    alone = load_policy(out / "adapter")
    torch.testing.assert_close(logits(alone), expected, rtol=1e-5, atol=1e-5)
    merged = logits(load_policy(out / "policy"))
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=5e-4)


@pytest.mark.parametrize(
    ("target", "tied"),
    [
        (dict(target_modules=["q_proj"]), True),
        (dict(target_modules=["lm_head"]), False),
        # The tied head follows the embedding.
        (dict(target_modules=["q_proj"], trainable_token_indices=[5]), True),
    ],
)
def test_the_config_says_whether_head_and_embedding_are_one_weight(
    bases: Path, tmp_path: Path, target: dict[str, Any], tied: bool
) -> None:
    """Other programs (vLLM, llama.cpp) go by the config, and leave a head out that is tied."""
    policy = learnt(load_policy(bases / "llama", lora=LoraConfig(r=2, **target)))
    save_policy(policy, tmp_path / "policy")
    config = json.loads((tmp_path / "policy/config.json").read_text())
    assert config["tie_word_embeddings"] is tied
    size = (tmp_path / "policy/model.safetensors").stat().st_size
    assert whole_bytes(policy, twice_tied=not tied) <= size
    assert size < whole_bytes(policy, twice_tied=not tied) + 20_000


@in_one_test(
    [
        dict(fields=dict(lora_bias=True), says="lora_bias=True, but 2 of the layers have no bias"),
        dict(fields=dict(layer_replication=[[0, 2], [1, 2]]), says="layer_replication"),
    ]
)
def test_what_cannot_be_merged_is_refused_before_training(
    bases: Path, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(PolicyError, match=says):
        load_policy(bases / "llama", lora=LoraConfig(r=2, target_modules=["q_proj"], **fields))
