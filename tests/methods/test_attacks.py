"""Methods under what is unusual: copies under autocast, float16, answers that are left out, numbers
that are none, memory that does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench.config import METHODS, ConfigError, GRPOConfig
from workbench.doctor import diagnose
from workbench.methods.critic import Critic, CriticError
from workbench.methods.ppo import explained
from workbench.policy import load_policy
from workbench.policy.dtype import compute_in_bfloat16
from workbench.policy.reference import Reference
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.tasks.types import TaskError
from workbench.training import Trainer, start_run
from workbench.training.out_of_memory import OutOfMemoryError

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
IMITATION = ("sft", "rft")


def test_a_critic_computes_with_its_own_weights_under_autocast(tiny_folder: Path) -> None:
    """As on a GPU that has bfloat16, where all weights are trained: a copy of the model whose
    forward was still bound to the policy learnt nothing, and gave the policy its gradient."""
    policy = load_policy(tiny_folder)
    compute_in_bfloat16(policy.model)
    critic = Critic(policy, GRPOConfig().with_method("ppo"))
    with torch.no_grad():
        for parameter in critic.model.parameters():
            parameter.zero_()
    ids = torch.ones(1, 3, dtype=torch.long)
    logits = critic.model(input_ids=ids).logits
    assert logits.dtype == torch.bfloat16
    assert not logits.any()
    assert policy.model(input_ids=ids).logits.any()
    logits.sum().backward()
    assert all(p.grad is None for p in policy.trainable_parameters())


def test_the_critic_of_a_float16_base_gets_the_gradient_of_float32(
    make_method: Callable[..., Trainer], tiny_folder: Path
) -> None:
    trainer = make_method("ppo")
    trainer.step()
    rollout = trainer.sample([trainer.task.train[i] for i in range(4)], trainer.config)
    returns_BT = torch.full(rollout.mask_BT.shape, 1e-2)
    found = {}
    for dtype in ("float32", "float16"):
        policy = load_policy(tiny_folder, lora=4, dtype=dtype, seed=0)
        critic = Critic(policy, trainer.config)
        torch.manual_seed(0)
        torch.nn.init.normal_(critic.head.weight, std=1e-4)
        seen: list[torch.Tensor] = []
        critic.optimizer.step = lambda seen=seen, critic=critic: seen.extend(
            p.grad.clone().flatten() for p in critic.state().values() if p.grad is not None
        )
        critic.learn(
            rollout,
            torch.arange(16),
            rollout.mask_BT,
            torch.zeros(rollout.mask_BT.shape),
            returns_BT,
            trainer.config.replace(max_grad_norm=0.0, cliprange_value=10.0),
            step=1,
        )
        # The head's own gradient passes through no float16 layer.
        found[dtype] = torch.cat(seen[:-2])
    assert found["float32"].abs().max() > 0
    error = (found["float16"] - found["float32"]).norm() / found["float32"].norm()
    assert error < 0.05


@pytest.mark.parametrize("cut", [None, 2])
def test_pairs_are_made_of_what_the_loss_counts(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, cut: int | None
) -> None:
    """An answer whose partner was left out was measured beside a stranger's."""
    trainer = make_method("dpo", micro_batch_size=cut, learning_rate=0.0)
    made = trainer.batch_of
    seen = {}

    def with_gaps(rollout, advantages, config):
        batch = made(rollout, advantages, config)
        # One answer of the first group, two of the second, all but one of the third.
        for row in (1, 4, 6, 8, 9, 10):
            batch.loss_mask_BT = batch.loss_mask_BT.clone()
            batch.loss_mask_BT[row] = False
        seen["batch"] = batch
        return batch

    monkeypatch.setattr(trainer, "batch_of", with_gaps)
    step = trainer.step()
    batch = seen["batch"]
    pairs = trainer.method._pairs_M2
    assert len(pairs) > 1
    assert batch.loss_mask_BT[pairs].any(2).all()
    assert not set(pairs.flatten().tolist()) & {1, 4, 6, 8, 9, 10, 11}
    unpaired = torch.ones(16, dtype=torch.bool)
    unpaired[pairs.flatten()] = False
    assert not batch.advantages[unpaired].any()
    assert step.metrics["dpo_margin"] == pytest.approx(0.0, abs=1e-5), "the first update"


@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_which_nothing_is_counted_or_paid_is_made(
    method: str, make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer cut off and left out of the loss, then every reward None: no NaN in weights or
    record."""
    trainer = make_method(method, mask_truncated_completions=True, micro_batch_size=2)
    made = trainer.batch_of

    def without_any(rollout, advantages, config):
        batch = made(rollout, advantages, config)
        batch.loss_mask_BT = torch.zeros_like(batch.loss_mask_BT)
        return batch

    monkeypatch.setattr(trainer, "batch_of", without_any)
    first = trainer.step()
    monkeypatch.setattr(trainer, "batch_of", made)
    silent = type(trainer.rewards)(lambda completions, **_: [None] * len(completions))
    # In a first step this would be refused.
    silent._has_scored = True
    trainer.rewards = silent
    second = trainer.step()
    for step in (first, second):
        bad = {k for k, v in step.metrics.items() if v != v and not k.startswith("reward")}
        assert not bad
    for name, value in trainer.policy.trainable_state().items():
        assert torch.isfinite(value).all(), name


@pytest.mark.parametrize("method", METHODS)
def test_two_passes_over_a_batch_with_an_adapter(
    method: str, make_method: Callable[..., Trainer]
) -> None:
    trainer = make_method(method, lora_rank=2, num_iterations=2, updates_per_rollout=2)
    before = {n: p.clone() for n, p in trainer.policy.trainable_state().items()}
    step = trainer.step()
    assert step.metrics["updates"] == 4
    assert any(not torch.equal(before[n], p) for n, p in trainer.policy.trainable_state().items())


@pytest.mark.parametrize("method", IMITATION)
def test_there_is_no_sampler_to_correct_for_where_the_policy_did_not_write(method: str) -> None:
    with pytest.raises(ConfigError, match="no sampler to correct for"):
        GRPOConfig().with_method(method, importance_sampling_mode="token_truncate")


def test_what_the_critic_explains_by_hand() -> None:
    returns_BT = torch.tensor([[1.0, 3.0, 9.0]])
    mask_BT = torch.tensor([[True, True, False]])
    assert explained(torch.zeros(1, 3), returns_BT, mask_BT)["explained_variance"] == 0
    perfect = explained(returns_BT, returns_BT, mask_BT)
    assert perfect["explained_variance"] == 1
    # Off by -1 and 1: Var = 2, as that of the returns.
    off = explained(torch.tensor([[2.0, 2.0, 0.0]]), returns_BT, mask_BT)
    assert off["explained_variance"] == pytest.approx(0.0)
    assert explained(returns_BT, torch.ones(1, 3), mask_BT) == {}


def test_a_critic_that_is_no_number_stops_the_run_before_it_is_saved(
    make_method: Callable[..., Trainer],
) -> None:
    trainer = make_method("ppo")
    before = {n: p.clone() for n, p in trainer.method.critic.state().items()}
    own = trainer.method.critic.values

    def broken(*args):
        values = own(*args)
        return values * float("nan") if torch.is_grad_enabled() else values

    trainer.method.critic.values = broken
    with pytest.raises(CriticError, match="critic_learning_rate"):
        trainer.step()
    assert trainer.dirty
    for name, value in trainer.method.critic.state().items():
        assert torch.equal(before[name], value)


@pytest.mark.parametrize("method", ["ppo", "distill"])
def test_out_of_memory_names_the_model_that_was_being_made(
    method: str, make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    home = {"ppo": "ppo.Critic", "distill": "distill.load_policy"}[method]
    monkeypatch.setattr(f"workbench.methods.{home}", full)
    name = {"ppo": "critic", "distill": "teacher"}[method]
    with pytest.raises(OutOfMemoryError, match=f"in the phase '{name}': the {name}") as caught:
        make_method(method)
    assert "beta=0" not in str(caught.value)


@pytest.mark.parametrize("method", ["ppo", "iterative_grpo", "distill"])
def test_a_run_goes_back_to_its_first_checkpoint_with_all_that_learns(
    method: str, make_method: Callable[..., Trainer]
) -> None:
    from workbench.training import checkpoints

    trainer = make_method(method)
    trainer.train()
    weights = {n: p.clone() for n, p in trainer.policy.trainable_state().items()}
    trainer.go_back_to(checkpoints.load(trainer.folder, 0))
    trainer.train()
    for name, value in trainer.policy.trainable_state().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)


def test_a_copy_of_a_run_has_its_critic(
    make_method: Callable[..., Trainer], tmp_path: Path
) -> None:
    trainer = make_method("ppo")
    trainer.train(steps=3)
    trainer.save_copy(tmp_path / "copy")
    trainer.train()
    trainer.run.close()
    again = make_method("ppo", "copy", resume=True)
    assert again.steps_done == 3
    again.train()
    for name, value in trainer.method.critic.state().items():
        assert torch.equal(value, again.method.critic.state()[name]), name


def test_rft_samples_from_the_first_policy_in_every_step(
    make_method: Callable[..., Trainer],
) -> None:
    still = make_method("rft", "still", learning_rate=0.0)
    moving = make_method("rft", "moving", learning_rate=1e-2)
    for _ in range(3):
        a = still.step().samples.completions
        b = moving.step().samples.completions
        assert a == b
    moved = moving.policy.trainable_state()
    assert any(not torch.equal(p, moved[n]) for n, p in still.policy.trainable_state().items())


@pytest.mark.parametrize("method", METHODS)
def test_the_doctor_has_no_alarm_about_a_method_as_such(
    method: str, make_method: Callable[..., Trainer]
) -> None:
    """A random policy's answers do not end, and these rewards do not look at the answer, which is
    true; nothing else is wrong with it."""
    trainer = make_method(method)
    trainer.train()
    alarms = {f.key for f in diagnose(trainer.out) if f.severity in ("problem", "warning")}
    assert alarms <= {"nothing_ends", "truncated", "kl_high", "answer_not_checked"}
    if method == "sft":
        assert not alarms


def test_a_task_without_worked_solutions_is_refused_before_anything_is_made(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """The last problem of the data, which a first step would not have drawn."""
    task = arithmetic_task(0, 64, 16)
    bare = replace(task.train[-1], solution=None)
    lacking = replace(task, train=[*task.train[:-1], bare])
    with pytest.raises(TaskError, match="no worked solution"):
        start_run(
            tmp_path / "run",
            policy=load_policy(tiny_folder),
            task=lacking,
            config=GRPOConfig().with_method("sft"),
        )
    assert not (tmp_path / "run").exists()


def test_a_worked_solution_that_is_too_long_is_refused_before_the_first_step(
    make_method: Callable[..., Trainer], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"64 of 64 worked solutions are longer than .*=4: "):
        make_method("sft", max_completion_length=4)
    assert not (tmp_path / "run").exists()


def test_a_value_is_of_what_stands_before_its_token(
    make_method: Callable[..., Trainer],
) -> None:
    """Another token in its place changes the values behind it alone."""
    trainer = make_method("ppo")
    torch.nn.init.normal_(trainer.method.critic.head.weight)
    rollout = trainer.sample(trainer.task.train[:4], trainer.config)
    every_B = torch.arange(16)
    place = 3
    long_B = rollout.lengths_B > place + 1
    assert long_B.any()
    ids_BT = rollout.completion_ids_BT.clone()
    ids_BT[:, place] = (ids_BT[:, place] + 1) % 10 + 4
    with torch.no_grad():
        before_BT = trainer.method.critic.values(rollout, every_B)
        after_BT = trainer.method.critic.values(replace(rollout, completion_ids_BT=ids_BT), every_B)
    torch.testing.assert_close(after_BT[:, : place + 1], before_BT[:, : place + 1])
    assert (after_BT - before_BT)[long_B, place + 1].abs().min() > 1e-6


def test_a_teacher_with_a_wider_embedding_grades_all_the_same(
    make_method: Callable[..., Trainer], tiny_folder: Path, tmp_path: Path
) -> None:
    """Models of one family pad their embeddings differently; the words are the same."""
    from workbench.policy.save import save_policy

    teacher = load_policy(tiny_folder)
    rows = teacher.model.get_input_embeddings().weight.shape[0]
    teacher.model.resize_token_embeddings(rows + 8)
    save_policy(teacher, tmp_path / "wide")
    trainer = make_method("distill", teacher=str(tmp_path / "wide"))
    assert abs(trainer.step().metrics["reverse_kl"]) < 5


def by_place(completions: Sequence[object], **columns: object) -> list[float]:
    """A reward that tells all answers apart."""
    return [float(place) for place in range(len(completions))]


@pytest.fixture
def trained_adapter(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder with an adapter that is no longer at its start."""
    from workbench.policy.save import save_policy

    policy = load_policy(tiny_folder, lora=2)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in policy.trainable_parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    save_policy(policy, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("asked_later", [False, True])
def test_the_reference_of_an_adapter_that_is_trained_further_is_that_adapter(
    trained_adapter: Path, tmp_path: Path, asked_later: bool
) -> None:
    """Not the bare base, which is another policy than the one that the run began with; as in TRL,
    which loads it a second time under the name "ref"."""
    config = GRPOConfig(
        prompts_per_step=2,
        num_generations=2,
        updates_per_rollout=1,
        max_completion_length=8,
        num_eval_problems=2,
        max_steps=4,
        eval_steps=0,
        save_steps=1,
        learning_rate=1e-2,
        scale_rewards="none",
        beta=0.0 if asked_later else 0.1,
        measure_kl=not asked_later,
    )

    def started(resume: bool = False) -> Trainer:
        return start_run(
            tmp_path / "run",
            policy=load_policy(trained_adapter),
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(by_place),
            config=config,
            resume=resume,
        )

    trainer = started()
    if not asked_later:
        assert trainer.step().metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    trainer.step()
    trainer.run.close()
    again = started(resume=True)
    if asked_later:
        again.knobs.set("user", beta=0.1)
    moved = again.step().metrics["kl"]
    assert 0 < moved < 0.5
    first = load_policy(trained_adapter).trainable_state()
    with again.reference.active():
        for name, value in again.policy.trainable_state().items():
            torch.testing.assert_close(value, first[name])


def test_a_fresh_adapter_needs_no_copy_of_itself(tiny_folder: Path) -> None:
    policy = load_policy(tiny_folder, lora=2)
    assert Reference(policy).kind == "adapter"
    start = {n: p.detach().clone() for n, p in policy.trainable_state().items()}
    with torch.no_grad():
        for parameter in policy.trainable_parameters():
            parameter.add_(0.1)
    # From the first checkpoint, when the policy has moved on.
    assert Reference(policy, start).kind == "adapter"
    assert Reference(policy).kind == "copy"
