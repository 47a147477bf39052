"""A tiny TRL trainer, made the same each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["<pad>", "<eos>", "<unk>", *"abcdefgh"]
SMALL = dict(
    use_cpu=True,
    bf16=False,
    report_to=[],
    save_strategy="no",
    per_device_train_batch_size=4,
    num_generations=4,
    max_completion_length=6,
    max_steps=3,
    logging_steps=1,
    gradient_checkpointing=False,
    gradient_accumulation_steps=1,
    learning_rate=1e-2,
    beta=0.1,
    disable_tqdm=True,
)


def count_a(completions: list[str], **columns: Any) -> list[float]:
    """How many of a are in it."""
    return [float(text.count("a")) for text in completions]


def short(completions: list[str], **columns: Any) -> list[float | None]:
    """Pays for few words, and has nothing to say of empty ones."""
    return [None if not text else -0.1 * len(text.split()) for text in completions]


def make_trainer(folder: Path, *, lora: bool = False, one: bool = False, **options: Any) -> Any:
    """A `GRPOTrainer` of a random model, the same for the same options. one: with one reward."""
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=64,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    # TRL loads the reference from where the policy came from.
    source = folder / "model"
    fast.save_pretrained(source)
    model.save_pretrained(source)
    model.config._name_or_path = str(source)
    adapter = {}
    if lora:
        from peft import LoraConfig

        adapter["peft_config"] = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    rows = {"prompt": ["a b", "c", "d e f", "g h"] * 4, "answer": ["1", "2", "3", "4"] * 4}
    return GRPOTrainer(
        model=model,
        reward_funcs=[count_a] if one else [count_a, short],
        args=GRPOConfig(output_dir=str(folder / "trl"), **(SMALL | options)),
        train_dataset=Dataset.from_dict(rows),
        eval_dataset=Dataset.from_dict({"prompt": ["a b", "h"]}),
        processing_class=fast,
        **adapter,
    )


@pytest.fixture
def trainer_of(tmp_path: Path) -> Callable[..., Any]:
    """Makes trainers in this test's folder."""
    torch.set_num_threads(1)
    return lambda **options: make_trainer(tmp_path, **options)
