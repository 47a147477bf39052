"""What vLLM cannot do, said before any weights are read, or before the first rollout."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from workbench.config import GRPOConfig
from workbench.config.engines import VLLM_PACKAGE
from workbench.errors import WorkbenchError
from workbench.libraries import vllm_
from workbench.libraries.hf_peft import (
    active_adapters,
    adapter_configs,
    has_adapter,
    is_of_adapter,
)
from workbench.rollout.types import Sampling

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM 0.32 takes for max_lora_rank."""
COLDEST, HOTTEST = 0.01, 2.0
"""Temperatures that vLLM takes as they are: it raises colder ones silently and refuses hotter
ones."""


class VLLMError(WorkbenchError, ValueError):
    """vLLM is missing, cannot serve the policy, or computes something else: says what, and what to
    do."""


def check_config(config: GRPOConfig) -> None:
    """All that the config alone can tell. Raises `VLLMError`; call it before any weights are
    loaded."""
    if config.vllm_mode == "colocate" and find_spec("vllm") is None:
        raise VLLMError(
            "rollout_engine='vllm', but vLLM is not installed here. Run: "
            f"{VLLM_PACKAGE.install} (Linux; it brings its own torch), or set "
            "rollout_engine='native'."
        )
    check_settings(config)
    if config.vllm_mode == "colocate":
        check_import()


def check_import() -> None:
    """Raises `VLLMError` for a vLLM that is installed and cannot be imported: built for another
    torch or another CUDA, a library of the system missing, or only half of it there."""
    try:
        vllm_.import_vllm()
    except Exception as e:  # an install fails in the way of whatever it lacks
        said = " ".join(str(e).split())[:300] or "no reason is given"
        raise VLLMError(
            "rollout_engine='vllm', but the vLLM that is installed here cannot be imported "
            f"({type(e).__name__}: {said}). Install it anew into an environment of its own: "
            f"{VLLM_PACKAGE.install}, or set rollout_engine='native'."
        ) from e


def check_device(config: GRPOConfig, device: str) -> None:
    """Raises `VLLMError` where vLLM would have to run on a kind of device that it does not know."""
    if device == "mps" and config.vllm_mode == "colocate":
        raise VLLMError(
            "rollout_engine='vllm' with vllm_mode='colocate': vLLM does not run on Apple's GPU "
            "(mps). Use rollout_engine='native', or a server: vllm_mode='server'."
        )


def check_settings(config: GRPOConfig) -> None:
    """The part of `check_config` that holds on every machine, with or without vLLM. Raises
    `VLLMError`."""
    if config.use_dora:
        raise VLLMError(
            "use_dora=True with rollout_engine='vllm': vLLM does not serve DoRA. Set "
            "use_dora=False, or rollout_engine='native'."
        )
    if config.vllm_mode == "server" and config.lora_rank == 0:
        raise VLLMError(
            "lora_rank=0 with vllm_mode='server': a server takes adapters over HTTP, never all "
            "weights of a policy, so it would sample "
            "from the weights that it was started with. Set lora_rank=16 (--lora), or "
            "vllm_mode='colocate'."
        )
    check_sampling(Sampling(1, config.temperature, config.top_k, config.top_p), processed=True)
    if config.lora_rank > RANKS[-1]:
        raise VLLMError(
            f"lora_rank={config.lora_rank}: vLLM serves adapters up to rank {RANKS[-1]}. Lower "
            "it, or set rollout_engine='native'."
        )


def check_sleep(sleep_mode: bool, on_cpu: bool) -> None:
    """Raises `VLLMError` for sleep mode without a GPU."""
    if sleep_mode and on_cpu:
        raise VLLMError(
            "vllm_enable_sleep_mode=True: only a GPU's memory can be given back. Set "
            "vllm_enable_sleep_mode=False."
        )


def check_sampling(sampling: Sampling, processed: bool) -> None:
    """Raises `VLLMError` where vLLM would not report log softmax(logits / temperature) over the
    whole vocabulary.

    `processed`: it reports after temperature, top-k and top-p ("processed_logprobs"); otherwise
    before all three.
    """
    if sampling.temperature == 0:
        return
    if not COLDEST <= sampling.temperature <= HOTTEST:
        raise VLLMError(
            f"temperature={sampling.temperature}: vLLM samples at 0 or at {COLDEST} to "
            f"{HOTTEST}. Change it, or set rollout_engine='native'."
        )
    if processed and (sampling.top_p < 1 or sampling.top_k > 0):
        raise VLLMError(
            f"top_p={sampling.top_p}, top_k={sampling.top_k} with rollout_engine='vllm': vLLM "
            "then reports log-probabilities of the cut "
            "distribution, while the loss uses the whole one. Set top_p=1 and top_k=0 (right "
            "for training anyway), or "
            "rollout_engine='native'."
        )
    if not processed and sampling.temperature != 1:
        raise VLLMError(
            f"temperature={sampling.temperature}: this server reports log-probabilities at "
            "temperature 1. Start it with "
            "--logprobs-mode processed_logprobs, or set temperature=1."
        )


def adapter_of(model: Any) -> tuple[str, Any] | None:
    """Name and PEFT config of the adapter that is trained, or None where all weights are."""
    if not has_adapter(model):
        return None
    names = active_adapters(model)
    if len(names) != 1:
        raise VLLMError(
            f"the policy has {len(names)} active adapters ({', '.join(names)}); vLLM samples "
            "with one. Activate one, or set rollout_engine='native'."
        )
    return names[0], adapter_configs(model)[names[0]]


def adapter_rank(model: Any) -> int:
    """The smallest max_lora_rank of vLLM that holds the adapter; 0 without one. Raises `VLLMError`
    for what vLLM does not serve."""
    found = adapter_of(model)
    if found is None:
        return 0
    _, config = found
    kind = getattr(config.peft_type, "value", config.peft_type)
    rules = [
        (kind != "LORA", f"is of type {kind}"),
        (getattr(config, "use_dora", False), "uses DoRA"),
        (
            getattr(config, "bias", "none") != "none",
            f"trains biases (bias={getattr(config, 'bias', None)!r})",
        ),
        (
            getattr(config, "modules_to_save", None),
            f"trains whole modules ({getattr(config, 'modules_to_save', None)})",
        ),
        (
            getattr(config, "trainable_token_indices", None),
            f"trains single tokens ({getattr(config, 'trainable_token_indices', None)})",
        ),
        (
            _trained_beside(model),
            f"is not all that is trained: {', '.join(_trained_beside(model)[:3])}",
        ),
    ]
    for applies, text in rules:
        if applies:
            raise VLLMError(
                f"vLLM cannot serve this adapter: it {text}. Use a plain LoRA adapter, or set "
                "rollout_engine='native'."
            )
    rank = max([config.r, *(config.rank_pattern or {}).values()])
    if rank > RANKS[-1]:
        raise VLLMError(
            f"the adapter's rank {rank} is above {RANKS[-1]}, the highest that vLLM serves. "
            "Lower it, or set rollout_engine='native'."
        )
    return next(r for r in RANKS if r >= rank)


def _trained_beside(model: nn.Module) -> list[str]:
    return [
        name for name, p in model.named_parameters() if p.requires_grad and not is_of_adapter(name)
    ]


def check_agreement(
    sampler_logp_T: Tensor, trainer_logp_T: Tensor, tolerance: float, where: str, remedy: str
) -> None:
    """Raises `VLLMError` when the mean difference of the two on the same tokens is above
    `tolerance` nats.

    It finds a wrong model, weights that did not arrive and an architecture that vLLM computes
    otherwise.
    """
    difference = float((sampler_logp_T - trainer_logp_T).abs().mean())
    if not difference <= tolerance:
        raise VLLMError(
            f"{where} computes something else than the policy: on {len(sampler_logp_T)} test "
            "tokens their log-probabilities differ by "
            f"{difference:.3g} nats on average, {tolerance:g} is allowed. {remedy}"
        )
