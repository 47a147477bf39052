"""The workbench's own trainer under the meter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from workbench.config import GRPOConfig
from workbench.policy import Policy, load_policy
from workbench.policy.packing import reason_against
from workbench.rewards import RewardSet
from workbench.rollout.types import Rollout
from workbench.training import start_run
from workbench.training import trainer as trainer_module
from yardstick.cases import WAYS, Case
from yardstick.meter import STEP, Meter, memory_now
from yardstick.prompts import arbitrary, task_of

NO_LIMIT = 10_000
"""Steps that no measurement reaches: neither a last evaluation nor a last checkpoint comes in."""


@dataclass(frozen=True)
class Numbers:
    """What all contenders share beside the case."""

    dtype: str
    """Format of weights and arithmetic."""
    steps: int
    """Rollout batches to make."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    micro_batch: int | None = None
    """TRL's rows in one pass; None is TRL's default. Ours chooses for itself."""


def config_of(case: Case, numbers: Numbers) -> GRPOConfig:
    """One update for a batch, no KL, unless the shape says otherwise."""
    shape = case.shape
    given: dict[str, Any] = dict(
        prompts_per_step=shape.prompts,
        num_generations=shape.group,
        max_completion_length=shape.completion_tokens,
        updates_per_rollout=1,
        beta=0.0,
        measure_kl=False,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        dtype=numbers.dtype,
        max_steps=NO_LIMIT,
        eval_steps=0,
        num_eval_problems=1,
        save_steps=NO_LIMIT,
    )
    return GRPOConfig(**given | shape.settings | WAYS[case.way])


def policy_of(source: str, case: Case, numbers: Numbers) -> Policy:
    """The case's model, as every contender gets it."""
    return load_policy(source, config=config_of(case, numbers), device=numbers.device)


def run(source: str, case: Case, numbers: Numbers) -> dict[str, Any]:
    """Train `numbers.steps` steps; what each spent, and which paths served."""
    config, policy = config_of(case, numbers), policy_of(source, case, numbers)
    meter = Meter(policy.model)
    with tempfile.TemporaryDirectory() as out, phases_metered(meter):
        trainer = start_run(
            out,
            policy=policy,
            task=task_of(case, policy, numbers.steps + 1),
            rewards=RewardSet([arbitrary]),
            config=config,
        )
        lengths_noted(trainer.engine, meter)
        meter.take()
        loaded = memory_now(numbers.device)
        steps = []
        for _ in range(numbers.steps):
            with meter(STEP):
                trainer.step()
            steps.append(meter.take())
        served = {
            "engine": trainer.engine.name,
            "shared_prompts": reason_against(policy.model) is None,
        }
        trainer.run.close()
    return {"steps": steps, "served": served, "loaded_mb": loaded}


@contextmanager
def phases_metered(meter: Meter) -> Iterator[None]:
    """The trainer's own phases, with CPU seconds and tokens beside their wall-clock seconds."""

    class Metered(trainer_module.Phases):
        @contextmanager
        def __call__(self, name: str) -> Iterator[None]:
            with meter(name), super().__call__(name):
                yield

    plain = trainer_module.Phases
    trainer_module.Phases = Metered
    try:
        yield
    finally:
        trainer_module.Phases = plain


def lengths_noted(engine: Any, meter: Meter) -> None:
    """Have the engine tell how long prompts and completions were."""
    generate = engine.generate

    def noted(*args: Any, **kwargs: Any) -> Rollout:
        rollout: Rollout = generate(*args, **kwargs)
        meter.lengths += rollout.lengths_B.tolist()
        meter.prompts += rollout.prompt_mask_NP.sum(1).tolist()
        return rollout

    engine.generate = noted
