"""What several tests share: a tiny policy made on the spot, small tasks, and the material beside the repository."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)
REQUIRE_ALL = bool(os.environ.get("WORKBENCH_REQUIRE_ALL"))
"""Set in CI, where a test that cannot run is a failure and not a skip."""
SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material beside the checkout; CI has it."""
    if not SHARED.is_dir():
        (pytest.fail if REQUIRE_ALL else pytest.skip)("needs the folder ../shared beside the checkout (GSM8K and other test material)")
    return SHARED


@pytest.fixture(autouse=True)
def _quiet_transformers() -> None:
    warnings.filterwarnings("ignore", message=".*torch_dtype.*")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights, saved with the embedded policy's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from workbench.policy.load import EMBEDDED, load_policy

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = load_policy(EMBEDDED).tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, initializer_range=0.2)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
