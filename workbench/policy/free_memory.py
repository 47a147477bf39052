"""Room in memory: what is free on a device, and the least that a batch needs. The planner makes the
full account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from workbench.config import GRPOConfig
from workbench.config.engines import facts_of
from workbench.libraries.devices import free_mps_bytes
from workbench.policy import head
from workbench.policy.container_memory import container_memory
from workbench.policy.policy import Policy, PolicyError
from workbench.rollout.shared_decoding import keeps_prompts_once


def available_bytes(device: torch.device) -> int | None:
    """Free memory of the GPU, or what Linux could give a process without swapping and its container
    allows; None where nobody says."""
    if device.type == "cuda":
        # What torch keeps for its next tensors is free for them, though the driver counts it as
        # taken.
        free = torch.cuda.mem_get_info(device)[0]
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + kept
    if device.type == "mps":
        return free_mps_bytes()
    if device.type != "cpu":
        return None
    container = container_memory()
    limits = [_free_on_the_machine(), container.free if container is not None else None]
    return min((free for free in limits if free is not None), default=None)


def _free_on_the_machine() -> int | None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None


def cache_bytes(model: Any, rows: int, tokens: int) -> int:
    """Bytes of the keys and values of `rows` completions of `tokens` each, prompt included."""
    c = model.config.get_text_config(decoder=True)
    heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    itemsize = model.get_input_embeddings().weight.dtype.itemsize
    keys_and_values = 2 * c.num_hidden_layers * heads * size
    return int(rows * tokens * keys_and_values * itemsize)


def logit_bytes(model: Any, rows: int, tokens: int) -> int:
    """Bytes of the logits of `tokens` in each of `rows`, of their log-softmax and of one gradient,
    float32; of as many as are made at once."""
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    return head.logits_at_once(model, rows * tokens) * vocabulary * 3 * 4


def check_batch_fits(policy: Policy, config: GRPOConfig, prompt_tokens: int = 0) -> None:
    """Raises `PolicyError` when a batch of longest completions is sure not to fit: its cache, or
    its logits, alone.

    The least that it needs: activations, optimizer and whatever else is running come on top.
    """
    free = available_bytes(policy.device)
    if free is None:
        return
    length, rows = config.max_completion_length, config.completions_per_step
    prompts, kind, dtype = config.prompts_per_step, policy.device.type, policy.weight_dtype
    facts = facts_of(config)
    once = keeps_prompts_once(facts, policy.model, kind, dtype, rows, prompts)
    cache = cache_bytes(policy.model, rows, length)
    cache += cache_bytes(policy.model, prompts if once else rows, prompt_tokens)
    if facts.own_memory is None and cache > free:
        raise PolicyError(
            f"a batch of {config.prompts_per_step} x num_generations={config.num_generations} "
            f"completions of {length} tokens needs "
            f"{cache / 1e9:.1f} GB for its keys and values, {policy.device} has "
            f"{free / 1e9:.1f} GB free. Lower num_generations, "
            "prompts_per_step or max_completion_length."
        )
    at_once = config.longest_at_once
    logits = logit_bytes(policy.model, at_once, length)
    if logits > free:
        fits = max(int(at_once * free / logits / 2), 1)
        raise PolicyError(
            f"{at_once} completions of {length} tokens in one forward need {logits / 1e9:.1f} "
            f"GB for their logits alone, {policy.device} "
            f"has {free / 1e9:.1f} GB free. Set micro_batch_size={fits} (the result stays the "
            "same), or lower num_generations."
        )
