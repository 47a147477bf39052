"""The recipe of the embedded policy: `python -m workbench.assets.make_embedded --out FOLDER`.

A Llama of under 1M parameters with a byte-level BPE tokenizer and a chat template, taught by the
workbench's own SFT to answer generated arithmetic with three habits (see `habits.py`), one of which
is right. Two rounds teach arithmetic, with all habits nearly alike; a short third one settles the
habits far enough apart that drift alone turns no answer over. About half an hour on one core; with
`--start FOLDER`, a policy after the first two rounds, three minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from workbench.assets.habits import SETTLED, TAUGHT, completion, sample_habit
from workbench.methods.supervised import Example, sft
from workbench.policy import load_policy
from workbench.policy.policy import Policy
from workbench.tasks.arithmetic import draw_problems
from workbench.tasks.types import Problem

CHAT_TEMPLATE = (
    # The system message is left out: this policy knows one format and has no room to read
    # instructions.
    "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<|assistant|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
TAGS = ["<think>", "</think>", "<answer>", "</answer>"]


def make_tokenizer(texts: list[str], vocab_size: int = 384) -> Any:
    """A byte-level BPE (so any text can be encoded) that keeps each digit and each tag a token of
    its own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TAGS),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    raw.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call, unused-ignore]
        tokenizer_object=raw,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens=["<|user|>", "<|assistant|>"],
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_policy(tokenizer: Any, seed: int) -> Policy:
    """The untrained model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    # 2.5 times faster than SDPA here: short rows, small heads, a CPU.
    model.set_attn_implementation("eager")
    return Policy(model, tokenizer, "embedded", (tokenizer.eos_token_id,), tokenizer.pad_token_id)


def text_of(
    problem: Problem,
    rng: np.random.Generator,
    shares: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """A completion in one of the three habits, drawn by the shares of its kind; None = `TAUGHT` for
    all kinds."""
    return completion(problem, sample_habit(rng, shares[problem.kind] if shares else TAUGHT))


def batches(
    policy: Policy,
    size: int,
    rng: np.random.Generator,
    shares: Mapping[str, Mapping[str, float]] | None = None,
) -> Iterator[list[Example]]:
    """Endless batches of fresh problems from the training pool, of similar length within a
    batch."""
    while True:
        problems = draw_problems(size * 8, rng, held_out=False)
        examples = [
            (
                policy.encode_prompt([{"role": "user", "content": p.question}]),
                policy.encode_completion(text_of(p, rng, shares)),
            )
            for p in problems
        ]
        examples.sort(key=lambda e: len(e[0]) + len(e[1]))
        for i in rng.permutation(8):
            yield examples[i * size : (i + 1) * size]


class Losses:
    """The losses of all rounds; each hundredth step prints how they stand."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.start = time.monotonic()

    @property
    def recent_mean(self) -> float:
        """Of the last hundred steps."""
        return float(np.mean(self.values[-100:]))

    def add(self, step: int, loss: float) -> None:
        """Keep the loss of one step."""
        self.values.append(loss)
        if step % 100 == 99:
            seconds = time.monotonic() - self.start
            print(f"step {step + 1} loss {self.recent_mean:.4f} {seconds:.0f} s", flush=True)


def teach(
    policy: Policy,
    examples: Iterator[list[Example]],
    *,
    steps: int,
    learning_rate: float,
    losses: Losses,
    warmup: int = 100,
) -> None:
    """One round of SFT."""
    sft(
        policy,
        examples,
        steps=steps,
        learning_rate=learning_rate,
        warmup=warmup,
        weight_decay=0.01,
        on_step=losses.add,
    )


def taught_arithmetic(
    steps: int, polish: int, batch_size: int, learning_rate: float, seed: int, losses: Losses
) -> Policy:
    """The policy after the first two rounds."""
    rng = np.random.default_rng(seed)
    corpus = draw_problems(4000, rng, held_out=False)
    tokenizer = make_tokenizer([t for p in corpus for t in (p.question, text_of(p, rng))])
    policy = make_policy(tokenizer, seed)
    first = batches(policy, batch_size, rng)
    teach(policy, first, steps=steps, learning_rate=learning_rate, losses=losses)
    # A second, gentler round: arithmetic gets surer.
    second = batches(policy, batch_size, np.random.default_rng(seed + 1))
    teach(policy, second, steps=polish, learning_rate=learning_rate / 3, losses=losses)
    return policy


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("embedded"),
    steps: Annotated[int, typer.Option(help="SFT steps.")] = 5000,
    polish: Annotated[
        int, typer.Option(help="Steps of the second round, at a third of the learning rate.")
    ] = 1500,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    settle: Annotated[int, typer.Option(help="Steps of the third round.")] = 200,
    settle_batch_size: int = 64,
    settle_learning_rate: float = 5e-4,
    seed: int = 0,
    threads: int = 1,
    start: Annotated[
        Path | None,
        typer.Option(help="A policy after the first two rounds (made with --settle 0)."),
    ] = None,
) -> None:
    """Make the embedded policy and save it with the figures of its making."""
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("medium")
    losses = Losses()
    if start is None:
        policy = taught_arithmetic(steps, polish, batch_size, learning_rate, seed, losses)
    else:
        policy = load_policy(start, device="cpu")
    parameters = sum(p.numel() for p in policy.model.parameters())
    print(f"{parameters:,} parameters, vocabulary {len(policy.tokenizer)}", flush=True)
    if settle:
        third = batches(policy, settle_batch_size, np.random.default_rng(seed + 2), SETTLED)
        teach(
            policy,
            third,
            steps=settle,
            learning_rate=settle_learning_rate,
            warmup=20,
            losses=losses,
        )
    policy.model.save_pretrained(out)
    policy.tokenizer.save_pretrained(out)
    facts = dict(
        parameters=parameters,
        steps=steps,
        polish=polish,
        batch_size=batch_size,
        learning_rate=learning_rate,
        settle=settle,
        settle_batch_size=settle_batch_size,
        settle_learning_rate=settle_learning_rate,
        seed=seed,
        final_loss=round(losses.recent_mean, 5),
        torch=torch.__version__,
    )
    (out / "made.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
