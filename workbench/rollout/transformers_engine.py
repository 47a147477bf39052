"""The reference engine: `model.generate` of transformers, behind the same protocol. Slower, and
serves every causal LM.

The model's own `generation_config` (repetition penalty, top-k and the like, which many models ship)
is set aside during the call: a rollout samples from the policy and nothing else. `generate` draws
from torch's global generator, which is seeded from the rollout's generator and put back afterwards,
so the draws come from that generator alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from workbench.config.engines import ENGINE_FACTS
from workbench.libraries.hf_peft import plain_model
from workbench.libraries.torch_ import fork_rng, seed_global_generators
from workbench.rollout.request import (
    check_request,
    check_special_ids,
    evaluation_mode,
    left_pad,
    make_rollout,
    raise_if_stopped,
)
from workbench.rollout.types import PolicysOwnWeights, Rollout, Sampling


class TransformersEngine(PolicysOwnWeights):
    """Rollouts through `model.generate`, with the model's weights as they are at the call.

    `should_stop`: asked before every token; where it answers True, `generate` raises
    `RolloutCancelledError`.
    """

    facts = ENGINE_FACTS["transformers"]

    def __init__(
        self,
        model: Any,
        eos_token_ids: Sequence[int],
        pad_token_id: int,
        *,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """Raises ValueError for ids outside the vocabulary."""
        check_special_ids(model, eos_token_ids, pad_token_id)
        self.model = plain_model(model)
        if self.model.config.is_encoder_decoder:
            raise ValueError(
                f"{type(self.model).__name__} is an encoder-decoder model; rollouts need a "
                "causal LM."
            )
        self.eos_token_ids = tuple(eos_token_ids)
        self.pad_token_id = pad_token_id
        self.should_stop = should_stop

    def generate(
        self,
        prompts: list[list[int]],
        num_generations: int,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> Rollout:
        """`num_generations` completions for each prompt, on the model's device; see `Rollout`.

        Raises ValueError for a request that cannot be served, FloatingPointError for non-finite
        log-probabilities, and
        `RolloutCancelledError`.
        """
        check_request(self.model, prompts, num_generations, sampling)
        device = self.model.get_input_embeddings().weight.device
        ids_NP, mask_NP = left_pad(prompts, self.pad_token_id, device)
        recorder = _LogpRecorder(sampling.temperature or 1.0, self.should_stop)
        with (
            evaluation_mode(self.model),
            _own_generation_config(self.model),
            _seeded_from(generator, device),
        ):
            ids = self.model.generate(
                ids_NP.repeat_interleave(num_generations, 0),
                attention_mask=mask_NP.long().repeat_interleave(num_generations, 0),
                generation_config=self._config(sampling),
                logits_processor=LogitsProcessorList([recorder]),
            )
        logp_BT = recorder.finish(ids)
        eos_E = torch.tensor(self.eos_token_ids, dtype=torch.long, device=device)
        ids_BT = ids[:, ids_NP.shape[1] :]
        return make_rollout(
            ids_NP,
            mask_NP,
            ids_BT,
            logp_BT,
            eos_E,
            self.pad_token_id,
            num_generations,
            self.model.get_input_embeddings().weight.dtype,
        )

    def _config(self, sampling: Sampling) -> GenerationConfig:
        greedy = sampling.temperature == 0
        config = GenerationConfig(
            do_sample=not greedy,
            max_new_tokens=sampling.max_completion_length,
            use_cache=True,
            eos_token_id=list(self.eos_token_ids) or None,
            pad_token_id=self.pad_token_id,
        )
        if not greedy:
            config.update(
                temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p
            )
        return config


class _LogpRecorder(LogitsProcessor):
    """Sees the raw logits before `generate` changes them, and records the log-probability of what
    it then samples.

    At each call the token of the call before is known; one (B, V) tensor is kept, not one for each
    token.
    """

    def __init__(self, temperature: float, should_stop: Callable[[], bool] | None) -> None:
        self.temperature = temperature
        self.should_stop = should_stop
        self.logp_BV: Tensor | None = None
        self.taken: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        raise_if_stopped(self.should_stop)
        self._take(input_ids)
        self.logp_BV = (scores.float() / self.temperature).log_softmax(-1)
        return scores

    def _take(self, input_ids: Tensor) -> None:
        if self.logp_BV is not None:
            self.taken.append(self.logp_BV.gather(1, input_ids[:, -1:]))

    def finish(self, input_ids: Tensor) -> Tensor:
        """Log-probabilities (B, T) of all sampled tokens, given the finished sequences."""
        self._take(input_ids)
        return torch.cat(self.taken, 1)


@contextmanager
def _own_generation_config(model: Any) -> Iterator[None]:
    """With an empty `generation_config` in place of the model's."""
    shipped = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = shipped


@contextmanager
def _seeded_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """With the global generators of the CPU and of `device` seeded from `generator`; put back
    afterwards."""
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    with fork_rng(device):
        seed_global_generators(seed, device)
        yield
