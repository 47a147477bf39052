"""Several processes that train on what a server samples for all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from helpers import weights_of
from rollout.vllm_stand_in import SERVER, StandIn, answering

from workbench.policy import load_policy
from workbench.training import Trainer


def test_one_server_samples_for_two_processes(
    make: Callable[..., Trainer], tiny_folder: Path
) -> None:
    state = StandIn()
    state.model = load_policy(tiny_folder, lora=4).model
    how = SERVER | dict(max_completion_length=8, max_prompt_length=48, max_steps=2)
    state.max_model_len = 64
    with answering(state) as url:
        one, two = (make(n, f"run-{n}", vllm_server_base_url=url, **how) for n in (1, 2))
        for _ in range(2):
            a, b = one.step(), two.step()
            assert list(a.samples.completions) == list(b.samples.completions)
        adapter = len(state.adapters)
        assert adapter == 2, "one of each run, whatever its processes"
        helpers = two._end_team
        two.engine.free()
        assert not helpers.alive, "the other process is ended, too"
    for name, weight in weights_of(one).items():
        torch.testing.assert_close(weight, weights_of(two)[name], rtol=1e-4, atol=1e-6)
