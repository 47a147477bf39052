"""What the plan says of a method's own models, against the models that training makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf

from workbench.config import METHODS, GRPOConfig
from workbench.methods.critic import Critic
from workbench.plan import Shape, device_named, plan
from workbench.plan.beside import critic_bytes
from workbench.plan.devices import cpu_without_rates
from workbench.plan.speed import seconds_of
from workbench.plan.trace.skeleton import skeleton
from workbench.policy import load_policy

CPU = cpu_without_rates()
SMALL = dict(
    vocab_size=300,
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=5,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
LLAMA = Shape("llama", hf.LlamaConfig(**SMALL), "test")
TIED = Shape("tied", hf.LlamaConfig(**SMALL, tie_word_embeddings=True), "test")
BATCH = dict(
    prompts_per_step=2,
    num_generations=4,
    updates_per_rollout=1,
    max_completion_length=24,
    max_prompt_length=16,
)


def config(method: str, **changes: object) -> GRPOConfig:
    return GRPOConfig(**BATCH).with_method(method, **BATCH | changes)


def held(tensors) -> int:
    """Bytes of the storages, each once."""
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()
    )


def part(made, phase: str, name: str) -> float:
    return next(p for p in made.phases if p.name == phase).parts[name]


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("shape", [LLAMA, TIED], ids=["untied", "tied"])
def test_a_critic_has_the_bytes_of_the_one_that_training_makes(shape: Shape, rank: int) -> None:
    from workbench.policy.adapter import with_adapter
    from workbench.policy.for_config import lora_of
    from workbench.policy.policy import Policy

    c = config("ppo", lora_rank=rank)
    model = hf.AutoModelForCausalLM.from_config(shape.config)
    if rank:
        model.requires_grad_(False)
        model = with_adapter(model, lora_of(c), 0, "test")
    policy = Policy(model, None, "test", (), 0)
    critic = Critic(policy, c)
    for parameter in critic.state().values():
        parameter.grad = torch.zeros_like(parameter)
    critic.optimizer.step()
    moments = [
        value
        for state in critic.optimizer.state.values()
        for key, value in state.items()
        if key != "step"
    ]
    shared = {id(p) for p in policy.model.parameters()}
    own = [p for p in critic.model.parameters() if id(p) not in shared]
    own += critic.head.parameters()
    found = critic_bytes(skeleton(shape, c, CPU))
    assert found.standing == held(own) + held(moments)
    assert found.gradients == held([p.grad for p in critic.state().values()])


def test_ppo_takes_its_critic_and_a_reference_more_than_grpo() -> None:
    grpo = plan(config("grpo", beta=0.0), LLAMA, CPU, advice=False)
    ppo = plan(config("ppo"), LLAMA, CPU, advice=False)
    weights = part(grpo, "update", "weights")
    assert part(grpo, "update", "critic") == part(grpo, "update", "reference") == 0
    assert part(ppo, "update", "reference") == pytest.approx(weights, rel=0.01)
    # The copy and two moments, less those of the head that it does not move.
    assert 2.5 * weights < part(ppo, "rollout", "critic") < 3 * weights
    assert part(ppo, "logprobs", "critic") == part(ppo, "rollout", "critic")
    assert ppo.peak > grpo.peak + 3.5 * weights


def test_an_adapters_critic_is_as_small_as_the_adapter() -> None:
    ppo = plan(config("ppo", lora_rank=4), LLAMA, CPU, advice=False)
    assert 0 < part(ppo, "rollout", "critic") < 0.3 * part(ppo, "rollout", "weights")
    assert part(ppo, "rollout", "reference") == 0


@pytest.mark.parametrize("method", ["dpo", "rft", "reinforce_pp", "ppo"])
def test_a_reference_is_counted_where_the_method_asks_for_it(method: str) -> None:
    made = plan(config(method), LLAMA, CPU, advice=False)
    assert config(method).beta == 0
    assert part(made, "rollout", "reference") == pytest.approx(
        part(made, "rollout", "weights"), rel=0.01
    )


def test_a_refreshed_reference_of_an_adapter_is_a_copy() -> None:
    still = plan(config("grpo", beta=0.01, lora_rank=4), LLAMA, CPU, advice=False)
    moved = plan(config("iterative_grpo", beta=0.01, lora_rank=4), LLAMA, CPU, advice=False)
    assert part(still, "rollout", "reference") == 0
    assert part(moved, "rollout", "reference") == part(moved, "rollout", "adapter") > 0


def test_the_embedded_policy_is_measured_beside_its_reference_without_a_beta() -> None:
    from workbench.plan import shape_of

    c = config("grpo", beta=0.0)
    embedded = plan(c, shape_of("embedded"), CPU, advice=False)
    assert part(embedded, "rollout", "reference") > 0
    unmeasured = plan(c.replace(measure_kl=False), shape_of("embedded"), CPU, advice=False)
    assert part(unmeasured, "rollout", "reference") == 0


def test_a_teacher_is_counted_with_the_weights_that_are_loaded(
    tiny_folder: Path, tmp_path: Path
) -> None:
    made = plan(config("distill", teacher=str(tiny_folder)), LLAMA, CPU, advice=False)
    teacher = load_policy(tiny_folder, trainable=False)
    weights = held([*teacher.model.parameters(), *teacher.model.buffers()])
    assert part(made, "rollout", "teacher") == weights
    assert part(made, "update", "teacher") == weights
    assert part(made, "logprobs", "activations") > 0
    assert "the teacher takes" in str(made)


def test_a_teacher_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    made = plan(config("distill", teacher=str(tmp_path / "gone")), LLAMA, CPU, advice=False)
    assert part(made, "rollout", "teacher") == 0
    assert any("could not be read" in note and "gone" in note for note in made.notes)


def test_imitation_has_a_rollout_in_its_evaluations_alone() -> None:
    made = plan(config("sft", num_generations=1, num_eval_problems=4), LLAMA, CPU, advice=False)
    few = plan(config("sft", num_generations=1, num_eval_problems=1), LLAMA, CPU, advice=False)
    assert part(made, "rollout", "kv_cache") > part(few, "rollout", "kv_cache") > 0
    assert any("samples nothing" in note for note in made.notes)
    device = device_named("T4")
    bare = skeleton(LLAMA, made.config, device)
    assert seconds_of(bare, made.config, 16, device).high["rollout"] == 0


def test_the_seconds_have_the_passes_of_critic_and_teacher(tiny_folder: Path) -> None:
    device = device_named("T4")
    on_policy = dict(lora_rank=0)

    def limit(method: str, **changes: object) -> dict[str, float]:
        made = plan(config(method, **on_policy | changes), LLAMA, device, advice=False)
        return made.seconds.limit

    grpo = limit("grpo", beta=0.0)
    reinforce = limit("reinforce_pp")
    ppo = limit("ppo")
    assert grpo["logprobs"] == 0
    # Old and reference; the critic's pass has no words to choose from.
    assert reinforce["update"] == grpo["update"]
    assert 1.2 < ppo["logprobs"] / reinforce["logprobs"] < 1.5
    assert 1.7 < ppo["update"] / grpo["update"] < 2
    old = limit("distill", teacher=str(tiny_folder))["logprobs"]
    assert old > reinforce["logprobs"] / 2


def test_the_plan_says_how_many_times_grpo_a_method_takes() -> None:
    made = plan(config("ppo"), LLAMA, device_named("T4"), advice=False)
    grpo = plan(config("grpo"), LLAMA, device_named("T4"), advice=False)
    assert made.to_dict()["grpo_peak_bytes"] == round(grpo.peak)
    text = str(made)
    assert "method='ppo': the critic takes" in text
    assert f"{made.peak / grpo.peak:.2g} times the" in text
    assert "that grpo takes" not in str(grpo)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_planned_and_advised(method: str, tiny_folder: Path) -> None:
    """A change that the method's rules refuse (a quantised critic, a parted pair) is no advice."""
    needs = {
        "distill": dict(teacher=str(tiny_folder)),
        "process_grpo": dict(step_rewards="arithmetic_steps"),
        "sft": dict(num_generations=1),
    }
    # So many prompts that an update does not fit, and a smaller one would.
    wide = dict(prompts_per_step=512) | needs.get(method, {})
    made = plan(config(method, **wide), LLAMA, device_named("0.9GB"), advice=True)
    assert made.advice
    for change in made.advice:
        if method == "ppo":
            assert "quantization" not in change.settings
