"""Seconds of a step from a trial on this machine: the workbench's own code, run on a policy with
few of the model's layers and a small vocabulary, random weights in all of them.

    seconds of the model = seconds of the few + (layers left out) x (of one more layer)
                                              + (words left out) x (of one more word)

Three small policies are timed, so what lies outside the layers (Python, the optimizer's call, one's
own machine) is in it once. A batch that is too large for a trial is made smaller and its seconds
multiplied by the tokens; a rollout that is too large has fewer rows, and each row left out adds
what the last ones timed did. Compared with whole steps on a CPU only (`speed.TRIAL_RANGE`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from workbench.config import GRPOConfig
from workbench.config.engines import facts_of
from workbench.libraries.bitsandbytes_ import keep_from_changing
from workbench.libraries.hf_transformers import making_a_model
from workbench.libraries.torch_ import fork_rng
from workbench.plan.beside import Teacher, asks_old, asks_reference, has_critic, samples
from workbench.plan.devices import Device
from workbench.plan.shapes import Shape, layers_are_alike, with_layers
from workbench.plan.speed import forward_operations, teacher_operations
from workbench.plan.trace.micro_batches import tokens_of_batch
from workbench.plan.trace.skeleton import Skeleton, quantized_as
from workbench.policy.dtype import wants_autocast, weight_dtype
from workbench.policy.for_config import lora_of
from workbench.policy.load import for_training
from workbench.policy.policy import Policy
from workbench.policy.quantization import quantize
from workbench.trial.stopwatch import TOKENS, Pieces, time_pieces

LAYER_BYTES = {"cpu": 32e6, "cuda": 256e6}
"""Weights that the smaller of the small policies should have: more than the caches of the processor
keep at hand."""
VOCABULARY = (1024, 16384)
"""Words of the small policies, and of the one that tells what a word costs."""


@dataclass(frozen=True)
class Trial:
    """What a trial came to."""

    seconds: dict[str, float]
    """By phase, at full lengths, rewards apart."""
    layers: tuple[int, int]
    """Of the smallest and the largest policy that was timed."""
    threads: int | None
    """Of a CPU; None on a GPU."""

    @property
    def words(self) -> str:
        """What was timed."""
        few, more = self.layers
        threads = "" if self.threads is None else f", {self.threads} thread(s)"
        return (
            f"a trial on this machine just now: {few} and {more} layers with random "
            f"weights{threads}"
        )


def why_not(shape: Shape, config: GRPOConfig, device: Device) -> str | None:
    """Why no trial can be made of this; None where it can."""
    if not device.measured:
        return f"{device.name} is not the device of this process"
    engine = facts_of(config)
    if not engine.can_be_tried:
        return f"{engine.title} cannot be tried with a few layers"
    if not layers_are_alike(shape.config):
        return f"the layers of a {shape.config.model_type} model are not taken to be alike"
    return None


def run_trial(
    shape: Shape,
    bare: Skeleton,
    config: GRPOConfig,
    prompt_tokens: int,
    device: Device,
    teacher: Teacher | None = None,
) -> Trial:
    """Time the small policies and reckon the seconds of the whole. It takes a few seconds, and the
    memory of a few layers. The passes of a critic are taken to be the policy's own, a teacher's to
    differ from them as its operations do."""
    layers, vocabulary = bare.plain_config.num_hidden_layers, bare.plain_config.vocab_size
    few = min(
        max(round(LAYER_BYTES[device.kind] / (bare.body * bare.dtype.itemsize / layers)), 1),
        max(layers // 2, 1),
    )
    small, wide = (min(v, vocabulary) for v in VOCABULARY)
    base, deeper, wider = (
        _pieces(shape, config, prompt_tokens, device.kind, n, v)
        for n, v in ((few, small), (2 * few, small), (few, wide))
    )
    more_layers, more_words = (layers - few) / few, (vocabulary - small) / max(wide - small, 1)
    tokens = tokens_of_batch(bare, config, prompt_tokens) / base.tokens
    words = config.completions_per_step * config.max_completion_length / base.scored

    graded = 0.0
    if teacher is not None:
        graded = teacher_operations(teacher, config, prompt_tokens)
        graded /= forward_operations(bare, config, prompt_tokens)

    def whole(name: str) -> float:
        at, over = (
            base.seconds[name],
            (tokens, words) if name in ("logprobs", "reference", "gradient") else (1.0, 1.0),
        )
        body = at + more_layers * max(deeper.seconds[name] - at, 0.0)
        vocabulary = more_words * max(wider.seconds[name] - at, 0.0)
        return float(over[0] * body + over[1] * vocabulary)

    return Trial(
        _phases({name: whole(name) for name in base.seconds}, bare, config, graded),
        (few, 2 * few),
        torch.get_num_threads() if device.kind == "cpu" else None,
    )


def _phases(
    whole: dict[str, float], bare: Skeleton, config: GRPOConfig, graded: float
) -> dict[str, float]:
    """The pieces, as often as a step has them. graded: passes of a teacher, in the policy's."""
    # An engine that shares a prompt computes it once, another once for each completion.
    if facts_of(config).shares_prompt:
        prompts = config.prompts_per_step
    else:
        prompts = config.completions_per_step
    critic = int(has_critic(config))
    unmoved = int(asks_old(config)) + critic + graded
    reference = int(asks_reference(bare, config))
    rollout = prompts * whole["prompt"] + (config.max_completion_length - 1) * whole["token"]
    return {
        "rollout": rollout if samples(config) else 0.0,
        "logprobs": unmoved * whole["logprobs"] + reference * whole["reference"],
        "update": (1 + critic)
        * config.num_iterations
        * (whole["gradient"] + config.updates_per_rollout * whole["optimizer"]),
    }


def _pieces(
    shape: Shape, config: GRPOConfig, prompt_tokens: int, kind: str, layers: int, vocabulary: int
) -> Pieces:
    """Prompts and completions are cut alike where even one row has too many tokens for a trial; the
    rollout's context is not."""
    full = config.max_completion_length
    share = min(1.0, TOKENS[kind] / (prompt_tokens + full))
    cut = config.replace(max_completion_length=max(round(share * full), 1))
    policy = small_policy(shape, config, kind, layers, vocabulary)
    return time_pieces(policy, cut, max(round(share * prompt_tokens), 1), prompt_tokens + full // 2)


def small_policy(
    shape: Shape, config: GRPOConfig, device: str, layers: int, vocabulary: int
) -> Policy:
    """The policy that `config` would train, with `layers` layers, a `vocabulary` of that size and
    random weights. It has no tokenizer."""
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(with_layers(shape, layers).config)
    if hasattr(small, "quantization_config"):
        del small.quantization_config  # the numbers are random: they are quantised here
    small.vocab_size, small.pad_token_id, small.bos_token_id, small.eos_token_id = (
        vocabulary,
        None,
        None,
        None,
    )
    place, frozen = torch.device(device), config.lora_rank > 0
    dtype = weight_dtype(config.dtype, place, frozen)
    with fork_rng(place), making_a_model():
        model: Any = AutoModelForCausalLM.from_config(small, dtype=dtype).to(place).eval()
    kind = quantized_as(shape, config)[0]
    if kind is not None:
        quantize(model, "int8" if kind == "int8" else "nf4", dtype)
        keep_from_changing(model)
    model = for_training(
        model,
        lora_of(config),
        seed=0,
        source=shape.name,
        autocast=wants_autocast(config.dtype, place, frozen),
        gradient_checkpointing=config.gradient_checkpointing,
    )
    return Policy(model, None, shape.name, (), 0, config.gradient_checkpointing)
