"""The policy's weights as vLLM takes them: the base under the names of a checkpoint, the adapter as
files, and whether they changed.

The adapter is never merged into the base: with 4-bit weights a merge loses the adapter in rounding,
and merging and unmerging every step makes the "frozen" base drift. vLLM gets the base once and then
the adapter alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.libraries.bitsandbytes_ import plain_numbers
from workbench.libraries.hf_peft import (
    adapter_tensors,
    is_of_adapter,
    name_without_adapter,
    plain_model,
)
from workbench.libraries.hf_transformers import as_in_a_checkpoint
from workbench.libraries.torch_ import change_count, persistent_buffers
from workbench.rollout.request import evaluation_mode
from workbench.rollout.vllm.checks import adapter_of

Fingerprint = tuple[Any, ...]
PROBE_TOKENS = 16


def fingerprint(model: nn.Module, trained: bool) -> Fingerprint:
    """Equal as long as the weights are: those that are trained, or those that stand still.

    Of trained weights the bits are hashed, because 8-bit optimizers write through pointers and
    leave no trace in torch's version counters. Of the rest the counters tell (quantised layers
    apart, which keep books of their own).
    """
    chosen = [
        p
        for p in model.parameters()
        if p.requires_grad == trained and (trained or p.is_floating_point())
    ]
    marks = [(p.data_ptr(), change_count(p)) for p in chosen]
    if not trained or not chosen:
        return (*marks,)
    return (*marks, *torch.stack([torch.hash_tensor(p.detach()) for p in chosen]).tolist())


def base_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Names of a checkpoint and tensors of the model without its adapter; 4- and 8-bit weights as
    the numbers they stand for.

    Tied weights come under each of their names: vLLM keeps the head apart from the embedding where
    it packs weights.
    """
    plain = plain_model(model)
    named = [*plain.named_parameters(remove_duplicate=False), *persistent_buffers(plain)]
    pairs = (
        (
            name_without_adapter(n),
            plain_numbers(plain.get_submodule(n.rpartition(".")[0]), t),
        )
        for n, t in named
        if not is_of_adapter(n)
    )
    if getattr(plain, "is_quantized", False):  # its conversions are about quantising
        yield from pairs
    else:
        yield from as_in_a_checkpoint(plain, dict(pairs)).items()


def save_config(model: Any, folder: Path) -> None:
    """The model's config alone, as of weights that are not quantised."""
    plain = plain_model(model)
    config = copy.deepcopy(plain.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = config.architectures or [type(plain).__name__]
    config.save_pretrained(folder)


def save_adapter(model: Any, folder: Path) -> None:
    """The adapter as PEFT's two files. Nothing is looked up on the Hub.

    The config says init_lora_weights=True: whatever the adapter was initialised from, the base that
    goes with it is the one in memory, and that is what vLLM has.
    """
    from safetensors.torch import save_file

    found = adapter_of(model)
    assert found is not None
    name, config = found
    folder.mkdir(parents=True)
    state = adapter_tensors(model, name)
    save_file(
        {k: t.detach().cpu().contiguous() for k, t in state.items()},
        folder / "adapter_model.safetensors",
    )
    config = copy.copy(config)
    config.init_lora_weights, config.inference_mode = True, True
    config.save_pretrained(folder)


def probe_ids(vocab_size: int) -> list[int]:
    """A few token ids, always the same, on which sampler and trainer are compared before the
    run."""
    return torch.randint(
        vocab_size, (PROBE_TOKENS + 1,), generator=torch.Generator().manual_seed(0)
    ).tolist()


@torch.no_grad()
def probe_logps(model: Any, ids: list[int]) -> tuple[Tensor, torch.dtype]:
    """The model's log-probability of each token of `ids` after the first, float32 on the CPU, and
    the dtype that it computes in."""
    device = model.get_input_embeddings().weight.device
    with evaluation_mode(model):
        logits_TV = model(torch.tensor([ids], device=device), use_cache=False).logits[0, :-1]
    targets_T1 = torch.tensor(ids[1:], device=device)[:, None]
    return logits_TV.float().log_softmax(-1).gather(1, targets_T1).squeeze(1).cpu(), logits_TV.dtype
