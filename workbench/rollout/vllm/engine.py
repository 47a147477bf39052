"""The vLLM engine: rollouts from vLLM in this process or from a `vllm serve`, behind the same
protocol as the others.

At every call the sampler is brought to the policy's weights of that moment: the adapter alone, or
all weights where all are trained, and never by merging. So there is nothing to remember after an
update, a loaded checkpoint or an edit in a cell. Before the first rollout both score the same few
tokens, and an engine that computes something else is refused. What difference remains is measured
at every step (`sampler_logp_difference`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.config import GRPOConfig
from workbench.config.engines import ENGINE_FACTS
from workbench.libraries.hf_peft import plain_model
from workbench.rollout.request import (
    check_request,
    check_special_ids,
    left_pad,
    make_rollout,
    raise_if_stopped,
)
from workbench.rollout.types import Rollout, Sampling
from workbench.rollout.vllm.checks import (
    VLLMError,
    adapter_rank,
    check_agreement,
    check_config,
    check_sampling,
)
from workbench.rollout.vllm.colocate import Completions, Settings, acquire, release
from workbench.rollout.vllm.needs import longest_sequence, sequences_of
from workbench.rollout.vllm.servers import Servers
from workbench.rollout.vllm.weights import probe_ids, probe_logps

TOLERANCE = {torch.float32: 0.01}
"""Nats by which the two may differ on average on the test tokens; numbers of 16 bits get more
room."""


class VLLMEngine:
    """Rollouts from vLLM with the policy's current weights.

    `should_stop`: asked before every token; where it answers True, `generate` raises
    `RolloutCancelledError`.
    """

    facts = ENGINE_FACTS["vllm"]
    name = facts.name

    def __init__(
        self,
        model: Any,
        eos_token_ids: Sequence[int],
        pad_token_id: int,
        config: GRPOConfig,
        *,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """Starts vLLM (or finds the server) and hands the weights over. Raises `VLLMError`,
        ValueError for bad ids."""
        check_config(config)
        check_special_ids(model, eos_token_ids, pad_token_id)
        adapter_rank(model)
        self.model, self.should_stop = model, should_stop
        self.eos_token_ids, self.pad_token_id = tuple(eos_token_ids), pad_token_id
        text = plain_model(model).config.get_text_config(decoder=True)
        ids = probe_ids(text.vocab_size)
        own_logp_T, dtype = probe_logps(model, ids)
        self._settings = Settings(
            longest_sequence(text, config),
            sequences_of(config),
            config.vllm_gpu_memory_utilization,
            config.vllm_enable_sleep_mode,
            dtype,
        )
        self._server = None
        if config.vllm_mode == "server":
            self._server = Servers(config.vllm_server_base_url, self._settings.max_model_len)
            weakref.finalize(self, self._server.close)
        backend = self._synced()
        where, tolerance, remedy = self._expected(dtype)
        check_agreement(torch.tensor(backend.score(ids)), own_logp_T, tolerance, where, remedy)

    def _expected(self, dtype: torch.dtype) -> tuple[str, float, str]:
        """How the sampler is called, how much it may differ, and what to do when it differs
        more."""
        if self._server is None:
            return (
                "vLLM",
                TOLERANCE.get(dtype, 0.25),
                "It does not serve this model rightly: set rollout_engine='native'.",
            )
        quantised = getattr(plain_model(self.model), "is_quantized", False)
        return (
            f"vllm serve at {self._server.url}",
            1.0 if quantised else 0.25,
            f"It serves {self._server.served!r}: start `vllm serve` with the policy's own base "
            "model, in its dtype.",
        )

    def _synced(self) -> Any:
        """The sampler, with the policy's weights of now."""
        backend: Any = self._server or acquire(self, self.model, self._settings)
        backend.sync(self.model)
        return backend

    def generate(
        self,
        prompts: list[list[int]],
        num_generations: int,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> Rollout:
        """`num_generations` completions for each prompt, on the model's device; see `Rollout`.

        Each prompt's seed is drawn from `generator`, so a row's sample does not depend on how vLLM
        schedules it. Raises
        `VLLMError`, ValueError for a request that cannot be served, FloatingPointError for
        non-finite log-probabilities, and `RolloutCancelledError`.
        """
        check_request(plain_model(self.model), prompts, num_generations, sampling)
        self._check_length(prompts, sampling)
        raise_if_stopped(self.should_stop)
        backend = self._synced()
        check_sampling(sampling, backend.processed)
        greedy = sampling.temperature == 0
        seeds = (
            [0] * len(prompts)
            if greedy
            else torch.randint(
                2**53, (len(prompts),), generator=generator, device=generator.device
            ).tolist()
        )
        found: Completions = backend.sample(
            prompts,
            1 if greedy else num_generations,
            sampling,
            self.eos_token_ids,
            seeds,
            self.should_stop,
        )
        if greedy:
            found = [group * num_generations for group in found]
        rows = [row for group in found for row in group]
        return self._rollout(prompts, num_generations, rows, sampling.max_completion_length)

    def _check_length(self, prompts: list[list[int]], sampling: Sampling) -> None:
        longest, limit = max(map(len, prompts)), self._settings.max_model_len
        if longest + sampling.max_completion_length > limit:
            raise VLLMError(
                f"a prompt of {longest} tokens with "
                f"max_completion_length={sampling.max_completion_length} is longer than the "
                f"{limit} tokens "
                "that vLLM was started for (max_prompt_length + max_completion_length). Raise "
                "max_prompt_length."
            )

    def _rollout(
        self,
        prompts: list[list[int]],
        num_generations: int,
        rows: list[tuple[list[int], list[float]]],
        longest: int,
    ) -> Rollout:
        device = self.model.get_input_embeddings().weight.device
        prompt_ids_NP, prompt_mask_NP = left_pad(prompts, self.pad_token_id, device)
        width = max(len(ids) for ids, _ in rows)
        odd = [
            ids
            for ids, _ in rows
            if len(ids) != longest and (not ids or ids[-1] not in self.eos_token_ids)
        ]
        if odd:
            raise RuntimeError(
                f"vLLM ended a completion after {len(odd[0])} of {longest} tokens without an "
                "end token."
            )
        ids_BT = torch.tensor(
            [ids + [self.pad_token_id] * (width - len(ids)) for ids, _ in rows], device=device
        )
        logp_BT = torch.tensor(
            [logps + [0.0] * (width - len(logps)) for _, logps in rows], device=device
        )
        eos_E = torch.tensor(self.eos_token_ids, dtype=torch.long, device=device)
        return make_rollout(
            prompt_ids_NP,
            prompt_mask_NP,
            ids_BT,
            logp_BT,
            eos_E,
            self.pad_token_id,
            num_generations,
            self.model.get_input_embeddings().weight.dtype,
        )

    def release_between_rollouts(self) -> None:
        """The rollouts of a step are over: with vllm_enable_sleep_mode vLLM gives its memory back
        until the next one."""
        if self._server is None:
            acquire(self, self.model, self._settings).sleep()

    def free(self) -> None:
        """Give everything back: vLLM's memory and files here, the adapter on the server. The next
        rollout starts it again."""
        if self._server is None:
            release(self)
        else:
            self._server.close()
