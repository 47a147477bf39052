"""A run on Apple's GPU, with a stand-in: whatever would need float64 or NumPy there ends in an
error, and the numbers are those of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from apple_gpu import AppleTensor, apple_gpu, pretend

from workbench import evaluate
from workbench.influence import who_taught
from workbench.training import Trainer


def weights(trainer: Trainer) -> list[torch.Tensor]:
    parameters = trainer.policy.model.parameters()
    return [p.detach().cpu().clone() for p in parameters]


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4, "beta": 0.04}])
def test_two_steps_and_a_resume_give_the_cpus_weights(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, changes: dict
) -> None:
    there = make_trainer("cpu", **changes)
    for _ in range(4):
        there.step()
    pretend(monkeypatch)
    with apple_gpu():
        trainer = make_trainer("mps", **changes)
        assert trainer.policy.device.type == "mps", "it is taken where there is one"
        trainer.step()
        trainer.step()
        resumed = make_trainer("mps", resume=True, **changes)
        resumed.step()
        resumed.step()
        assert all(isinstance(p.data, AppleTensor) for p in resumed.policy.model.parameters())
    for here, cpu in zip(weights(resumed), weights(there), strict=True):
        assert torch.equal(here, cpu)


def test_what_is_asked_of_a_run_is_answered(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch)
    with apple_gpu():
        trainer = make_trainer("mps", save_steps=1)
        trainer.step()
        trainer.step()
        assert evaluate(trainer.policy, trainer.task, problems=4, samples=2).to_dict()
        assert who_taught(trainer.out, 2, policy=trainer.policy, task=trainer.task) is not None
