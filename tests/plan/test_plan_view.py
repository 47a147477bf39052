"""The widget: it shows the plan that the function makes, and says in words what cannot be."""

from __future__ import annotations

import pytest

from workbench.config import GRPOConfig
from workbench.plan import device_named, plan, shape_of
from workbench.widgets import PlanView

CONFIG = GRPOConfig(
    prompts_per_step=2,
    num_generations=4,
    updates_per_rollout=2,
    max_prompt_length=32,
    max_completion_length=16,
    lora_rank=8,
)


@pytest.fixture(scope="module")
def view() -> PlanView:
    return PlanView("embedded", config=CONFIG, device="T4")


def test_it_shows_the_plan_of_its_controls(view: PlanView) -> None:
    assert view.problem == ""
    assert view.plan.peak == plan(CONFIG, shape_of("embedded"), device_named("T4")).peak
    assert view.summary.startswith("Fits: embedded needs")
    assert "keys and values" in view.output.value
    before = view.plan.peak
    view.rank.value = 0
    assert view.plan.config.lora_rank == 0
    assert view.plan.peak != before
    view.numbers["max_completion_length"].box.value = 64
    assert view.plan.config.max_completion_length == 64


def test_what_cannot_be_is_said_and_the_last_picture_stays(view: PlanView) -> None:
    shown = view.output.value
    view.rank.value, view.quantization.value = 0, "nf4"
    assert "nothing to train" in view.problem
    view.quantization.value = "none"
    assert view.problem == ""
    view.policy.value = "/no/such/<b>folder</b>"
    assert "no such" in view.problem
    assert "<b>folder" not in view.message.value
    assert view.output.value == shown
    view.policy.value = "embedded"
    data, _ = view._repr_mimebundle_()
    assert data["text/plain"].startswith("Memory plan. Fits: embedded")


@pytest.mark.slow
def test_the_button_times_a_step_on_this_machine_until_a_control_is_moved() -> None:
    here = PlanView("embedded", config=CONFIG)
    assert here.timing.layout.display is None
    assert here.plan.seconds.trial is None
    here.timing.click()
    assert here.plan.seconds.trial is not None
    assert "a trial on this machine" in here.output.value
    assert (here.timing.disabled, here.timing.description) == (False, "time a step here")
    here.numbers["num_generations"].box.value = 8
    assert here.plan.seconds.trial is None
    here.device.value = "T4"
    assert here.timing.layout.display == "none"


def test_without_a_config_it_starts_with_the_usual_run_of_the_policy() -> None:
    assert PlanView("embedded", device="T4").plan.config == GRPOConfig()
    assert PlanView("SmolLM2-135M", device="T4").plan.config.lora_rank == 16


def test_it_says_what_the_methods_own_models_take() -> None:
    view = PlanView("embedded", config=CONFIG.with_method("ppo", prompts_per_step=2), device="T4")
    assert "method=&#x27;ppo&#x27;: the critic takes" in view.output.value
    assert "critic, its optimizer" in view.output.value
