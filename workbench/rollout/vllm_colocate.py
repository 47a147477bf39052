"""vLLM inside this process, beside the trainer: one engine at a time, whose weights follow the
policy's.

It starts without weights on disk: only the model's config is written to a temporary folder, and the
numbers that the trainer has in memory (edited, dequantised, read from a .gguf file) are handed over
by vLLM's own reloading. A second policy's engine takes the place of the first, which comes back
when it is asked again.
"""

from __future__ import annotations

import atexit
import gc
import os
import random
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.rollout.randomness import fork_rng
from workbench.rollout.request import raise_if_stopped
from workbench.rollout.types import Sampling
from workbench.rollout.vllm_checks import VLLMError, adapter_rank, check_sleep
from workbench.rollout.vllm_memory import check_room
from workbench.rollout.vllm_weights import (
    Fingerprint,
    base_weights,
    fingerprint,
    save_adapter,
    save_config,
)

Completions = list[list[tuple[list[int], list[float]]]]
"""For each prompt its completions: token ids and their log-probabilities."""
CPU_KV_BYTES = 2**30
CPU_BLOCK = 32
"""Tokens in a block of the key-value cache; the smallest that vLLM's attention takes on a CPU
shares the most prompt."""

MEMORY_REMEDY = (
    "Where it says that its cache or its weights have too little memory, raise vllm_gpu_memory_utilization or lower the lengths; where it says "
    "that too little is free, lower vllm_gpu_memory_utilization or free what else is on the GPU."
)
CPU_REMEDY = "Lower the lengths where memory is short."


@dataclass(frozen=True)
class Settings:
    """What an engine is built with; one built with others cannot take its place."""

    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float
    sleep_mode: bool
    dtype: torch.dtype


class Colocated:
    """One vLLM engine in this process. Use `acquire`."""

    processed = True

    def __init__(self, model: Any, settings: Settings) -> None:
        self.model, self.settings = weakref.ref(model), settings
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        self.on_cpu = model.get_input_embeddings().weight.device.type == "cpu"
        self.rank = adapter_rank(model)
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-vllm-"))
        self.requests, self.adapters, self.asleep = 0, 0, False
        self.adapter: Any = None
        self.base_known: Fingerprint | None = None
        self.trained_known: Fingerprint | None = None
        try:
            save_config(model, self.folder)
            self.llm: Any = self._start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _start(self) -> Any:
        check_sleep(self.settings.sleep_mode, self.on_cpu)
        if not self.on_cpu:
            self._check_room()
        lora = (
            dict(enable_lora=True, max_lora_rank=self.rank, max_loras=1, max_cpu_loras=1)
            if self.rank
            else {}
        )
        device: dict[str, Any] = (
            dict(enforce_eager=True, kv_cache_memory_bytes=CPU_KV_BYTES, block_size=CPU_BLOCK)
            if self.on_cpu
            else dict(
                gpu_memory_utilization=self.settings.gpu_memory_utilization,
                enable_sleep_mode=self.settings.sleep_mode,
            )
        )
        with _as_it_was():
            from vllm import LLM

            try:
                llm = LLM(
                    model=str(self.folder),
                    load_format="dummy",
                    skip_tokenizer_init=True,
                    generation_config="vllm",
                    dtype=str(self.settings.dtype).removeprefix("torch."),
                    logprobs_mode="processed_logprobs",
                    enable_prefix_caching=True,
                    max_model_len=self.settings.max_model_len,
                    max_num_seqs=self.settings.max_num_seqs,
                    use_tqdm_on_load=False,
                    **lora,
                    **device,
                )
            except Exception as e:
                _forget_groups()
                raise VLLMError(
                    f"vLLM could not start: {e}\n{MEMORY_REMEDY if not self.on_cpu else CPU_REMEDY} "
                    "Where vLLM does not serve the model, set rollout_engine='native'."
                ) from e
        if not hasattr(llm.llm_engine.engine_core, "engine_core"):
            raise VLLMError(
                "vLLM was used in this process before, with its engine in another one. Restart the kernel and run the workbench first."
            )
        return llm

    def _check_room(self) -> None:
        """Raises `VLLMError` where the GPU, with what is on it now, cannot hold what vLLM must
        have."""
        model: Any = self.model()
        device = model.get_input_embeddings().weight.device
        gc.collect()
        with torch.cuda.device(device):
            torch.cuda.empty_cache()  # vLLM does so too before it looks
        check_room(model, self.settings, *torch.cuda.mem_get_info(device))

    # ------------------------------------------------------------------------------------------------- weights

    def sync(self, model: Any) -> None:
        """Bring the engine to the policy's weights of now, if it is not there. The prefix cache
        goes with the old ones."""
        self.wake()
        base = fingerprint(model, trained=False)
        trained = fingerprint(model, trained=True)
        if (base, trained) == (self.base_known, self.trained_known):
            return
        everything = base != self.base_known or not self.rank
        self.base_known = self.trained_known = (
            None  # should this fail in the middle, the next try does it all again
        )
        if everything:
            self._load_base(model)
        if self.rank:
            self._load_adapter(model)
        if not self.llm.llm_engine.reset_prefix_cache():
            raise RuntimeError(
                "vLLM kept blocks of its prefix cache, computed with old weights, although no request is running."
            )
        self.base_known, self.trained_known = base, trained

    def _load_base(self, model: Any) -> None:
        with torch.no_grad(), _as_it_was():
            self.llm.llm_engine.collective_rpc(
                "reload_weights", kwargs={"weights_iterator": base_weights(model)}
            )
        self.adapter = None

    def _load_adapter(self, model: Any) -> None:
        """Hand the adapter over under a new id; the one before leaves."""
        from vllm.lora.request import LoRARequest

        before, self.adapters = self.adapter, self.adapters + 1
        folder = self.folder / f"adapter-{self.adapters}"
        save_adapter(model, folder)
        self.adapter = LoRARequest(folder.name, self.adapters, str(folder))
        try:
            self.llm.llm_engine.add_lora(self.adapter)
        except Exception as e:
            raise VLLMError(
                f"vLLM cannot serve this adapter: {e} Choose other lora_target_modules, or set rollout_engine='native'."
            ) from e
        if before is not None:
            self.llm.llm_engine.remove_lora(before.lora_int_id)
            shutil.rmtree(before.lora_path)

    # ------------------------------------------------------------------------------------------------- requests

    def sample(
        self,
        prompts: list[list[int]],
        n: int,
        sampling: Sampling,
        eos_token_ids: Sequence[int],
        seeds: list[int],
        should_stop: Callable[[], bool] | None,
    ) -> Completions:
        """`n` completions of each prompt, end token included. Raises `RolloutCancelledError` between two
        tokens."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        asked = [
            SamplingParams(
                n=n,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                seed=seed,
                max_tokens=sampling.max_completion_length,
                logprobs=0,
                flat_logprobs=True,
                detokenize=False,
                ignore_eos=True,
                stop_token_ids=list(eos_token_ids),
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for seed in seeds
        ]
        outputs = self._run(prompts, asked, should_stop)
        return [
            [
                (list(c.token_ids), list(c.logprobs.logprobs))
                for c in sorted(o.outputs, key=lambda c: c.index)
            ]
            for o in outputs
        ]

    def score(self, ids: list[int]) -> list[float]:
        """The log-probability of each token of `ids` after the first."""
        from vllm import SamplingParams

        [output] = self._run(
            [ids],
            [SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)],
            None,
        )
        return [
            entry[token].logprob
            for token, entry in zip(ids[1:], output.prompt_logprobs[1:], strict=True)
        ]

    def _run(
        self, prompts: list[list[int]], asked: list[Any], should_stop: Callable[[], bool] | None
    ) -> list[Any]:
        from vllm import TokensPrompt

        engine, done = self.llm.llm_engine, dict[str, Any]()
        names = [f"{self.requests + i}" for i in range(len(prompts))]
        self.requests += len(prompts)
        # On a CPU vLLM would have one small function compiled, with a C++ compiler and for many
        # seconds. It also draws from torch's global generator, numbers that the requests' own seeds
        # then replace.
        with fork_rng(), torch.compiler.set_stance("force_eager") if self.on_cpu else nullcontext():
            try:
                for name, prompt, params in zip(names, prompts, asked, strict=True):
                    engine.add_request(
                        name,
                        TokensPrompt(prompt_token_ids=prompt),
                        params,
                        lora_request=self.adapter,
                    )
                while engine.has_unfinished_requests():
                    raise_if_stopped(should_stop)
                    done |= {o.request_id: o for o in engine.step() if o.finished}
            except BaseException:
                engine.abort_request(names)
                raise
        return [done[name] for name in names]

    # ------------------------------------------------------------------------------------------------- memory

    def rest(self) -> None:
        """Give the GPU's memory back until the next request, where sleep mode is on (level 1: the
        weights wait in RAM)."""
        if self.settings.sleep_mode and not self.asleep:
            self.llm.llm_engine.sleep(level=1)
            self.asleep = True

    def wake(self) -> None:
        """Take the memory again after `rest`."""
        if self.asleep:
            self.llm.llm_engine.wake_up()
            self.asleep = False

    def close(self) -> None:
        """Give everything back: the engine's memory and the temporary folder."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        _forget_groups()
        shutil.rmtree(self.folder, ignore_errors=True)


_open: Colocated | None = None
_exit_hook = False


def acquire(user: Any, model: Any, settings: Settings) -> Colocated:
    """The engine for `model`: the open one where it fits, else a new one in its place. It closes
    with its last user."""
    global _open, _exit_hook
    if not _exit_hook:
        atexit.register(close_open)
        _exit_hook = True
    if (
        _open is None
        or _open.model() is not model
        or _open.settings != settings
        or _open.rank != adapter_rank(model)
    ):
        close_open()
        _open = Colocated(model, settings)
    if user not in _open.users:
        _open.users.add(user)
        weakref.finalize(user, _close_unused)
    return _open


def release(user: Any) -> None:
    """`user` needs the engine no longer."""
    if _open is not None:
        _open.users.discard(user)
    _close_unused()


def close_open() -> None:
    """Close the engine that is open, if any."""
    global _open
    closing, _open = _open, None
    if closing is not None:
        closing.close()


def _close_unused() -> None:
    if _open is not None and not _open.users:
        close_open()


def _forget_groups() -> None:
    from vllm.distributed import cleanup_dist_env_and_memory

    with _as_it_was():
        cleanup_dist_env_and_memory()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Inside vLLM starts or loads; after it the process is as before: random numbers, threads,
    torch's functions.

    vLLM runs in this process (so that weights can be handed over), sends no usage statistics, is
    silent but for errors, and binds no threads to cores.
    """
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
    }
    for name, value in (
        ("LOGGING_LEVEL", "ERROR"),
        ("LOGGING_STREAM", "ext://sys.stderr"),
        ("CPU_OMP_THREADS_BIND", "nobind"),
    ):
        os.environ.setdefault(f"VLLM_{name}", value)
    before, threads, python, numpy = (
        torch.set_num_threads,
        torch.get_num_threads(),
        random.getstate(),
        np.random.get_state(),
    )
    with fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_num_threads = before  # vLLM puts a function in its place that does nothing
            torch.set_num_threads(threads)
