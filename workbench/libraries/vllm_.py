"""vLLM (tried with 0.32): an engine in this process, its weights, its requests and its end.

vLLM is optional and slow to import, so it is imported inside the functions that need it. Held
against the installed version by `tests/libraries/test_vllm_internals.py`, where there is one.
"""

from __future__ import annotations

import gc
import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.libraries.torch_ import fork_rng

FORCED = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
}
"""Its engine runs in this process (so that weights can be handed over) and sends no usage
statistics."""
USUAL = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""It is silent but for errors and binds no threads to cores, unless the environment says so."""


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """Inside vLLM is imported, starts or loads; after it the process is as before: random numbers,
    threads, torch's functions."""
    os.environ |= FORCED
    for name, value in USUAL.items():
        os.environ.setdefault(name, value)
    set_threads = torch.set_num_threads
    threads = torch.get_num_threads()
    python = random.getstate()
    numpy = np.random.get_state()
    with fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            # vLLM puts a function in its place that does nothing.
            torch.set_num_threads = set_threads
            torch.set_num_threads(threads)


def import_vllm() -> Any:
    """The module, with the class that starts an engine. Raises whatever an install raises that is
    there and cannot be imported."""
    with process_as_it_was():
        import vllm

        vllm.LLM  # noqa: B018  (it is loaded only when it is asked for)
    return vllm


def start(options: dict[str, Any]) -> Any:
    """A `vllm.LLM` of these options, in this process."""
    with process_as_it_was():
        from vllm import LLM

        return LLM(**options)


def runs_in_this_process(llm: Any) -> bool:
    """False where the engine core went into a process of its own, because vLLM was imported
    before `process_as_it_was` could say otherwise."""
    return hasattr(llm.llm_engine.engine_core, "engine_core")


# --------------------------------------------------------------------------------------- weights


def load_base(llm: Any, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Put these numbers in the place of the engine's weights."""
    with torch.no_grad(), process_as_it_was():
        llm.llm_engine.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})


def adapter_request(number: int, folder: Path) -> Any:
    """What names an adapter in a request: files in a folder, under a number of its own."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(folder.name, number, str(folder))


def add_adapter(llm: Any, adapter: Any) -> None:
    """Let the engine serve this adapter. Raises where it cannot."""
    llm.llm_engine.add_lora(adapter)


def remove_adapter(llm: Any, adapter: Any) -> Path:
    """Forget that adapter; returns the folder of its files."""
    llm.llm_engine.remove_lora(adapter.lora_int_id)
    return Path(adapter.lora_path)


def forget_prefixes(llm: Any) -> bool:
    """Drop all keys and values that were computed; False where some are in use."""
    return bool(llm.llm_engine.reset_prefix_cache())


# -------------------------------------------------------------------------------------- requests


def sampling_request(
    *,
    completions: int,
    tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    seed: int,
    end_token_ids: Sequence[int],
) -> Any:
    """A request for sampled tokens with the log-probability of each, and no text. The end token is
    part of a completion."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=completions,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        max_tokens=tokens,
        logprobs=0,
        flat_logprobs=True,
        detokenize=False,
        ignore_eos=True,
        stop_token_ids=list(end_token_ids),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def scoring_request() -> Any:
    """A request for the log-probability of each token of a prompt."""
    from vllm import SamplingParams

    return SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)


def completions_of(output: Any) -> list[tuple[list[int], list[float]]]:
    """Token ids and their log-probabilities of each completion, in order."""
    ordered = sorted(output.outputs, key=lambda completion: completion.index)
    return [(list(c.token_ids), list(c.logprobs.logprobs)) for c in ordered]


def scores_of(output: Any, ids: list[int]) -> list[float]:
    """The log-probability of each token of the prompt `ids` after the first."""
    entries = output.prompt_logprobs[1:]
    return [entry[token].logprob for token, entry in zip(ids[1:], entries, strict=True)]


def run_requests(
    llm: Any,
    prompts: dict[str, list[int]],
    requests: Sequence[Any],
    adapter: Any,
    before_token: Callable[[], None],
    on_cpu: bool,
) -> list[Any]:
    """The outputs of one request for each prompt, in order. `before_token` may raise; then none of
    the requests stays."""
    from vllm import TokensPrompt

    engine = llm.llm_engine
    done: dict[str, Any] = {}
    # On a CPU vLLM would have one small function compiled, with a C++ compiler and for many
    # seconds. It also draws from torch's global generator, numbers that the requests' own seeds
    # then replace.
    eager = torch.compiler.set_stance("force_eager") if on_cpu else nullcontext()
    with fork_rng(), eager:
        try:
            for (name, ids), request in zip(prompts.items(), requests, strict=True):
                prompt = TokensPrompt(prompt_token_ids=ids)
                engine.add_request(name, prompt, request, lora_request=adapter)
            while engine.has_unfinished_requests():
                before_token()
                done |= {o.request_id: o for o in engine.step() if o.finished}
        except BaseException:
            engine.abort_request(list(prompts))
            raise
    return [done[name] for name in prompts]


# ---------------------------------------------------------------------------------------- memory


def sleep(llm: Any) -> None:
    """Give the GPU's memory back; the weights wait in RAM (level 1)."""
    llm.llm_engine.sleep(level=1)


def wake(llm: Any) -> None:
    """Take the memory again."""
    llm.llm_engine.wake_up()


def shut_down(llm: Any) -> None:
    """End the engine."""
    llm.llm_engine.engine_core.shutdown()


def forget_groups() -> None:
    """Leave torch.distributed as if no engine had been, and give its memory back."""
    from vllm.distributed import cleanup_dist_env_and_memory

    with process_as_it_was():
        cleanup_dist_env_and_memory()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
