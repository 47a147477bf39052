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
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.config.engines import VLLM_MEMORY
from workbench.libraries import vllm_
from workbench.rollout.request import raise_if_stopped
from workbench.rollout.types import Sampling
from workbench.rollout.vllm.checks import VLLMError, adapter_rank, check_sleep
from workbench.rollout.vllm.needs import check_room
from workbench.rollout.vllm.weights import (
    Fingerprint,
    base_weights,
    fingerprint,
    save_adapter,
    save_config,
)

Completions = list[list[tuple[list[int], list[float]]]]
"""For each prompt its completions: token ids and their log-probabilities."""
CPU_BLOCK = 32
"""Tokens in a block of the key-value cache; the smallest that vLLM's attention takes on a CPU
shares the most prompt."""

MEMORY_REMEDY = (
    "Where it says that its cache or its weights have too little memory, raise "
    "vllm_gpu_memory_utilization or lower the lengths; where it says that too little is free, "
    "lower vllm_gpu_memory_utilization or free what else is on the GPU."
)
CPU_REMEDY = "Lower the lengths where memory is short."


@dataclass(frozen=True)
class Settings:
    """What an engine is built with; one built with others cannot take its place."""

    max_model_len: int
    """Tokens of the longest sequence."""
    max_num_seqs: int
    """Completions that are sampled at once."""
    gpu_memory_utilization: float
    """Its share of the whole GPU."""
    sleep_mode: bool
    """Whether it can give that share back between two rollouts."""
    dtype: torch.dtype
    """The format that it computes in."""


class Colocated:
    """One vLLM engine in this process. Use `acquire`."""

    processed = True
    """Its log-probabilities are those after the temperature."""

    def __init__(self, model: Any, settings: Settings) -> None:
        # A weak reference: the engine must not keep a policy alive that nobody holds any longer.
        self.model = weakref.ref(model)
        self.settings = settings
        # Weak, too: an engine whose users are all gone is closed.
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        self.on_cpu = model.get_input_embeddings().weight.device.type == "cpu"
        self.rank = adapter_rank(model)
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-vllm-"))
        self.requests = 0
        self.adapters = 0
        self.asleep = False
        self.adapter: Any = None
        # What the engine's weights were made of. None fits no policy, so the first `sync` hands
        # over all.
        self.base_known: Fingerprint | None = None
        self.trained_known: Fingerprint | None = None
        try:
            save_config(model, self.folder)
            self.llm: Any = self._start()
        # An interrupt included: nobody else knows of the folder.
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _start(self) -> Any:
        check_sleep(self.settings.sleep_mode, self.on_cpu)
        if not self.on_cpu:
            self._check_room()
        try:
            llm = vllm_.start(self._options())
        except Exception as e:
            vllm_.forget_groups()
            raise VLLMError(
                f"vLLM could not start: {e}\n{CPU_REMEDY if self.on_cpu else MEMORY_REMEDY} "
                "Where vLLM does not serve the model, set rollout_engine='native'."
            ) from e
        if not vllm_.runs_in_this_process(llm):
            raise VLLMError(
                "vLLM was used in this process before, with its engine in another one. Restart the "
                "kernel and run the workbench first."
            )
        return llm

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = dict(
            model=str(self.folder),
            # The weights are handed over afterwards, from the trainer's memory.
            load_format="dummy",
            # Token ids go in and come out, and the folder holds no tokenizer.
            skip_tokenizer_init=True,
            # Nothing but what the request says decides over sampling, no file of the model.
            generation_config="vllm",
            dtype=str(self.settings.dtype).removeprefix("torch."),
            # Under the temperature, as the trainer computes them.
            logprobs_mode="processed_logprobs",
            # The completions of a group share their prompt's keys and values.
            enable_prefix_caching=True,
            max_model_len=self.settings.max_model_len,
            max_num_seqs=self.settings.max_num_seqs,
            use_tqdm_on_load=False,
        )
        # One at a time: the adapter before leaves when the next is handed over.
        if self.rank:
            options |= dict(enable_lora=True, max_lora_rank=self.rank, max_loras=1, max_cpu_loras=1)
        if self.on_cpu:
            options |= dict(
                enforce_eager=True,
                kv_cache_memory_bytes=VLLM_MEMORY.cpu_cache_bytes,
                block_size=CPU_BLOCK,
            )
        else:
            options |= dict(
                gpu_memory_utilization=self.settings.gpu_memory_utilization,
                enable_sleep_mode=self.settings.sleep_mode,
            )
        return options

    def _check_room(self) -> None:
        """Raises `VLLMError` where the GPU, with what is on it now, cannot hold what vLLM must
        have."""
        model: Any = self.model()
        device = model.get_input_embeddings().weight.device
        # What an engine that was closed left in circles still counts as used.
        gc.collect()
        with torch.cuda.device(device):
            torch.cuda.empty_cache()  # vLLM does so too before it looks
        free, total = torch.cuda.mem_get_info(device)
        check_room(model, self.settings, free, total)

    # ----------------------------------------------------------------------------------- weights

    def sync(self, model: Any) -> None:
        """Bring the engine to the policy's weights of now, if it is not there. The prefix cache
        goes with the old ones."""
        # Asleep it has no memory to which weights could be handed.
        self.wake()
        base = fingerprint(model, trained=False)
        trained = fingerprint(model, trained=True)
        if (base, trained) == (self.base_known, self.trained_known):
            return
        # With an adapter only the adapter trains, so the base is handed over once.
        everything = base != self.base_known or not self.rank
        # Should this fail in the middle, the next try does it all again.
        self.base_known = None
        self.trained_known = None
        if everything:
            vllm_.load_base(self.llm, base_weights(model))
            self.adapter = None
        if self.rank:
            self._load_adapter(model)
        if not vllm_.forget_prefixes(self.llm):
            raise RuntimeError(
                "vLLM kept blocks of its prefix cache, computed with old weights, although no "
                "request is running."
            )
        self.base_known = base
        self.trained_known = trained

    def _load_adapter(self, model: Any) -> None:
        """Hand the adapter over under a new id; the one before leaves."""
        before = self.adapter
        self.adapters += 1
        folder = self.folder / f"adapter-{self.adapters}"
        save_adapter(model, folder)
        self.adapter = vllm_.adapter_request(self.adapters, folder)
        try:
            vllm_.add_adapter(self.llm, self.adapter)
        except Exception as e:
            raise VLLMError(
                f"vLLM cannot serve this adapter: {e} Choose other lora_target_modules, or set "
                "rollout_engine='native'."
            ) from e
        if before is not None:
            shutil.rmtree(vllm_.remove_adapter(self.llm, before))

    # ---------------------------------------------------------------------------------- requests

    def sample(
        self,
        prompts: list[list[int]],
        n: int,
        sampling: Sampling,
        eos_token_ids: Sequence[int],
        seeds: list[int],
        should_stop: Callable[[], bool] | None,
    ) -> Completions:
        """`n` completions of each prompt, end token included. Raises `RolloutCancelledError`
        between two tokens."""
        requests = [
            vllm_.sampling_request(
                completions=n,
                tokens=sampling.max_completion_length,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                seed=seed,
                end_token_ids=eos_token_ids,
            )
            for seed in seeds
        ]
        outputs = self._run(prompts, requests, should_stop)
        return [vllm_.completions_of(output) for output in outputs]

    def score(self, ids: list[int]) -> list[float]:
        """The log-probability of each token of `ids` after the first."""
        [output] = self._run([ids], [vllm_.scoring_request()], None)
        return vllm_.scores_of(output, ids)

    def _run(
        self, prompts: list[list[int]], requests: list[Any], should_stop: Callable[[], bool] | None
    ) -> list[Any]:
        # A name is used once in an engine's life, so that no answer is taken for another's.
        names = [str(self.requests + i) for i in range(len(prompts))]
        self.requests += len(prompts)
        return vllm_.run_requests(
            self.llm,
            dict(zip(names, prompts, strict=True)),
            requests,
            self.adapter,
            before_token=lambda: raise_if_stopped(should_stop),
            on_cpu=self.on_cpu,
        )

    # ------------------------------------------------------------------------------------ memory

    def sleep(self) -> None:
        """Give the GPU's memory back until the next request, where sleep mode is on."""
        if self.settings.sleep_mode and not self.asleep:
            vllm_.sleep(self.llm)
            self.asleep = True

    def wake(self) -> None:
        """Take the memory again after `sleep`."""
        if self.asleep:
            vllm_.wake(self.llm)
            self.asleep = False

    def close(self) -> None:
        """Give everything back: the engine's memory and the temporary folder."""
        vllm_.shut_down(self.llm)
        del self.llm
        vllm_.forget_groups()
        shutil.rmtree(self.folder, ignore_errors=True)


_open: Colocated | None = None
_exit_hook = False


def acquire(user: Any, model: Any, settings: Settings) -> Colocated:
    """The engine for `model`: the open one where it fits, else a new one in its place. It closes
    with its last user."""
    global _open, _exit_hook
    # Without it the temporary folder would outlive the process.
    if not _exit_hook:
        atexit.register(close_open)
        _exit_hook = True
    # The old engine goes first: there is no room for two.
    if _open is None or not _serves(_open, model, settings):
        close_open()
        _open = Colocated(model, settings)
    if user not in _open.users:
        _open.users.add(user)
        # For a user that goes without calling `release`.
        weakref.finalize(user, _close_unused)
    return _open


def _serves(engine: Colocated, model: Any, settings: Settings) -> bool:
    """Whether the engine was made for this model, its adapter's rank and these settings."""
    return (
        engine.model() is model
        and engine.settings == settings
        and engine.rank == adapter_rank(model)
    )


def release(user: Any) -> None:
    """`user` needs the engine no longer."""
    if _open is not None:
        _open.users.discard(user)
    _close_unused()


def close_open() -> None:
    """Close the engine that is open, if any."""
    global _open
    # Forgotten before it is closed: an engine whose closing fails must not be given out again.
    closing = _open
    _open = None
    if closing is not None:
        closing.close()


def _close_unused() -> None:
    if _open is not None and not _open.users:
        close_open()
