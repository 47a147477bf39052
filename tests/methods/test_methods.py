"""What every method keeps: its result does not depend on how an update is cut, a resumed run goes
on as if it had not stopped, and what it asks for is said before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workbench.config import METHODS, ConfigError, GRPOConfig
from workbench.methods import CLASSES, make_method
from workbench.methods.critic import Critic, clipped_value_loss
from workbench.methods.distill import check_same_words
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.training import Trainer
from workbench.training.session import Session

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in trainer.policy.trainable_state().items()}


def assert_same(a: Trainer, b: Trainer, **tolerance: float) -> None:
    for name, value in weights_of(a).items():
        torch.testing.assert_close(value, weights_of(b)[name], **tolerance)


@pytest.mark.parametrize("pieces", [dict(micro_batch_size=2), dict(micro_batch_tokens=90)])
@pytest.mark.parametrize("method", METHODS)
def test_micro_batches_change_memory_and_not_the_result(
    method: str, pieces: dict[str, int], make_method: Callable[..., Trainer]
) -> None:
    whole = make_method(method, "a", updates_per_rollout=2)
    cut = make_method(method, "b", updates_per_rollout=2, **pieces)
    a, b = whole.step(), cut.step()
    assert_same(whole, cut, rtol=1e-4, atol=2e-6)
    # Of pairs whose margin is 0 up to rounding, as before the first update, it is a matter of luck.
    lucky = "dpo_accuracy"
    for name, value in a.metrics.items():
        if name.startswith("seconds/") or name == lucky:
            continue
        assert b.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_goes_on_bit_for_bit(
    method: str, make_method: Callable[..., Trainer]
) -> None:
    straight = make_method(method, "a")
    straight.train()
    broken = make_method(method, "b")
    broken.train(steps=3)
    broken.run.close()
    again = make_method(method, "b", resume=True)
    assert again.steps_done == 3
    again.train()
    assert_same(straight, again, rtol=0, atol=0)
    before, after = (Run.open(t.out).steps() for t in (straight, again))
    timed = ["time", *(name for name in before.columns if name.startswith("seconds/"))]
    assert before.drop(columns=timed).equals(after.drop(columns=timed))


@pytest.mark.parametrize("method", ["ppo", "dpo", "rft"])
def test_an_adapter_is_trained_too(method: str, make_method: Callable[..., Trainer]) -> None:
    trainer = make_method(method, lora_rank=4)
    before = weights_of(trainer)
    trainer.step()
    assert any(not torch.equal(before[n], w) for n, w in weights_of(trainer).items())


def test_a_critic_shares_what_stands_still(tiny_folder: Path) -> None:
    config = GRPOConfig().with_method("ppo")
    whole = Critic(load_policy(tiny_folder), config)
    policy = load_policy(tiny_folder, lora=4)
    beside = Critic(policy, config)
    shared = {id(p) for p in policy.model.parameters() if not p.requires_grad}
    assert shared <= {id(p) for p in beside.model.parameters()}
    own = {id(p) for p in policy.trainable_parameters()}
    assert not own & {id(p) for p in beside.model.parameters()}
    assert sum(p.numel() for p in beside.state().values()) < 0.2 * sum(
        p.numel() for p in whole.state().values()
    )


def test_the_critic_learns_what_is_to_be_expected(make_method: Callable[..., Trainer]) -> None:
    """A reward that is always 1 is expected in the end, so its surprise goes to nothing."""
    trainer = make_method(
        "ppo", critic_learning_rate=1e-2, learning_rate=0.0, cliprange_value=10.0, lam=1.0
    )
    trainer.rewards = type(trainer.rewards)(lambda completions, **_: [1.0] * len(completions))
    trainer.knobs.put_in_force(max_steps=40)
    losses = [trainer.step().metrics["value_loss"] for _ in range(30)]
    assert losses[0] == pytest.approx(0.5, abs=0.05)
    assert losses[-1] < 0.02


def test_the_critics_learning_rate_takes_the_policys_course(
    make_method: Callable[..., Trainer],
) -> None:
    """Warm-up over one step, then a line to 0 over the other three: 1, 1, 2/3 and 1/3 of it."""
    trainer = make_method(
        "ppo", critic_learning_rate=3e-3, warmup_steps=1, lr_scheduler_type="linear"
    )
    rates = []
    for _ in range(4):
        share = trainer.step().metrics["learning_rate"] / trainer.config.learning_rate
        (group,) = trainer.method.critic.optimizer.param_groups
        rates.append(group["lr"])
        assert group["lr"] == pytest.approx(3e-3 * share)
    assert rates == pytest.approx([3e-3, 3e-3, 2e-3, 1e-3])


def test_the_value_loss_holds_the_value_near_the_old_one_by_hand() -> None:
    value = torch.tensor([[1.0, 0.0, 5.0]])
    old = torch.tensor([[0.0, 0.0, 0.0]])
    returns = torch.tensor([[2.0, 1.0, 0.0]])
    mask = torch.tensor([[True, True, False]])
    # First: (1 - 2)^2 = 1, held at 0.2: (0.2 - 2)^2 = 3.24; second: 1 either way.
    found = clipped_value_loss(value, old, returns, mask, 0.2)
    torch.testing.assert_close(found, torch.tensor(0.5 * (3.24 + 1.0)))


# --------------------------------------------------------------------------- asking for one


def test_every_class_belongs_to_a_method_and_is_there(tiny_folder: Path) -> None:
    assert set(CLASSES) < set(METHODS)
    policy = load_policy(tiny_folder)
    for name in set(CLASSES) - {"distill"}:
        made = make_method(policy, GRPOConfig().with_method(name), RewardSet("answer"))
        assert type(made).__name__ == CLASSES[name].split(":")[1]


def test_an_unknown_method_lists_the_methods() -> None:
    with pytest.raises(ConfigError, match="ppoo.*sft, rft, online_rft"):
        GRPOConfig().with_method("ppoo")
    with pytest.raises(ConfigError, match="'sft', 'rft', 'online_rft'"):
        GRPOConfig(method="ppoo")


def test_a_method_keeps_what_makes_it() -> None:
    config = GRPOConfig().with_method("rloo")
    assert config.advantage_baseline == "leave_one_out"
    assert config.scale_rewards == "none"
    with pytest.raises(ConfigError, match="scale_rewards='group' with method='rloo'"):
        config.replace(scale_rewards="group")
    with pytest.raises(ConfigError, match="with_method"):
        GRPOConfig(method="rloo")
    assert config.with_method("grpo") == GRPOConfig()
    assert GRPOConfig().with_method("sft", prompts_per_step=8).prompts_per_step == 8


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("dpo", dict(num_generations=1), "num_generations=1"),
        ("dpo", dict(micro_batch_size=3), "a pair must not be parted"),
        ("grpo", dict(num_generations=1), "num_generations=1"),
        ("ppo", dict(quantization="nf4", lora_rank=4), "critic"),
        ("rft", dict(rollout_engine="vllm"), "weights of the beginning"),
        ("distill", {}, "needs a teacher"),
        ("process_grpo", dict(step_rewards=None), "needs them"),
        ("grpo", dict(step_rewards="arithmetic_steps"), "no other takes any"),
        ("grpo", dict(teacher="somewhere"), "no other takes one"),
    ],
)
def test_what_cannot_work_is_said(method: str, changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GRPOConfig().with_method(method, **changes)


def test_a_teacher_with_other_words_is_refused(tiny_folder: Path) -> None:
    policy = load_policy(tiny_folder)
    teacher = load_policy(tiny_folder)
    check_same_words(policy, teacher)
    teacher.tokenizer.add_tokens(["<unheard>"])
    with pytest.raises(ConfigError, match="1 entries differ"):
        check_same_words(policy, teacher)


def test_a_session_takes_the_name_of_a_method(tiny_folder: Path, tmp_path: Path) -> None:
    session = Session(
        load_policy(tiny_folder),
        config=GRPOConfig(max_completion_length=8, num_eval_problems=4, max_steps=1, eval_steps=0),
        method="rloo",
        out=tmp_path / "run",
    )
    assert session.config.method == "rloo"
    assert session.config.advantage_baseline == "leave_one_out"
    session.free()
