"""A plan for several processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.config import GRPOConfig
from workbench.plan import PlanError, device_named, plan, shape_of
from workbench.plan.several import plan_of_several, share_of


@pytest.mark.parametrize(
    ("prompts", "updates", "processes", "own"),
    [(16, 4, 2, 8), (16, 4, 3, 8), (16, 4, 4, 4), (16, 4, 9, 4), (16, 1, 3, 6), (6, 3, 2, 3)],
)
def test_a_share_is_that_of_the_process_with_most_groups(
    prompts: int, updates: int, processes: int, own: int
) -> None:
    config = GRPOConfig(prompts_per_step=prompts, updates_per_rollout=updates)
    assert share_of(config, processes).prompts_per_step == own


def test_each_gpu_holds_the_policy_and_half_of_the_work() -> None:
    config, shape, gpu = GRPOConfig(), shape_of("embedded"), device_named("T4")
    one, two = plan(config, shape, gpu), plan_of_several(config, shape, gpu, 2)
    assert [p.parts["weights"] for p in one.phases] == [p.parts["weights"] for p in two.phases]
    assert two.peak < one.peak
    assert one.seconds is not None
    assert two.seconds is not None
    for name, whole in one.seconds.limit.items():
        assert two.seconds.limit[name] < 0.8 * whole, name
    assert two.margin == pytest.approx(gpu.memory - two.peak)
    assert "one of 2 processes, with 8 of 16 prompts" in two.notes[0]
    assert "a T4 of its own" in str(two)
    assert plan_of_several(config, shape, gpu, 1).notes == one.notes


def test_processes_on_a_cpu_share_its_memory() -> None:
    cpu = replace(device_named("cpu"), memory=8e9)
    made = plan_of_several(GRPOConfig(), shape_of("embedded"), cpu, 4)
    assert made.margin == pytest.approx(2e9 - made.peak)
    assert "share this machine's memory of 8.00 GB" in made.notes[0]


def test_no_processes_are_refused() -> None:
    with pytest.raises(PlanError, match="at least 1"):
        plan_of_several(GRPOConfig(), shape_of("embedded"), device_named("T4"), 0)
