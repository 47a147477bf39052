"""Each method is a coefficient times grad log pi: the recorded one, the one that its paper writes
down, and the gradient that autograd gives are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from methods.conftest import OWN_STEPS
from methods.own_steps import halves
from torch import Tensor

from workbench.config import METHODS
from workbench.methods.dpo import dpo_margins, log_ratios, preference_pairs
from workbench.methods.returns import generalized_advantages, sum_to_come, whitened
from workbench.policy.logprobs import completion_logps
from workbench.rewards import RewardError, RewardWarning
from workbench.training import Trainer, update
from workbench.training import trainer as trainer_module

pytestmark = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


class Seen:
    """What the one update of a step looked like: its batch, its gradient and the policy before."""

    def __init__(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trainer = trainer
        self.gradient: dict[str, Tensor] = {}
        own = update.apply_gradient
        accumulate = update.accumulate_gradient

        def look(policy: Any, method: Any, batch: Any, *others: Any) -> Any:
            self.batch = batch
            return accumulate(policy, method, batch, *others)

        def apply(policy: Any, optimizer: Any, config: Any) -> Any:
            self.gradient = {n: p.grad.clone() for n, p in policy.trainable_state().items()}
            self.ascent = self.sum_of_coefficients()
            return own(policy, optimizer, config)

        monkeypatch.setattr(trainer_module, "accumulate_gradient", look)
        monkeypatch.setattr(trainer_module, "apply_gradient", apply)
        self.step = trainer.step()

    def sum_of_coefficients(self) -> dict[str, Tensor]:
        """Sum over all tokens of coefficient x grad log pi, under the weights of the update."""
        model = self.trainer.policy.model
        every_B = torch.arange(len(self.batch.rollout.mask_BT))
        logp_BT, _ = completion_logps(model, self.batch.rollout, every_B, 1.0)
        objective = (self.batch.coefficient_BT.to(logp_BT) * logp_BT).sum()
        state = self.trainer.policy.trainable_state()
        found = torch.autograd.grad(objective, list(state.values()), allow_unused=True)
        return {
            name: torch.zeros_like(p) if g is None else g
            for (name, p), g in zip(state.items(), found, strict=True)
        }


@pytest.mark.parametrize("method", METHODS)
def test_the_recorded_coefficient_times_grad_log_pi_is_the_gradient(
    method: str, make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In float64 from end to end: what the record keeps in float32 is kept in float64 here.
    trainer = make_method(method, double=True)
    engine = trainer.engine.generate

    def in_double(*args: Any, **others: Any) -> Any:
        rollout = engine(*args, **others)
        object.__setattr__(rollout, "sampler_logp_BT", rollout.sampler_logp_BT.double())
        return rollout

    monkeypatch.setattr(trainer.engine, "generate", in_double)
    monkeypatch.setattr("workbench.methods.sft.SAMPLER_DTYPE", torch.float64)
    seen = Seen(trainer, monkeypatch)
    assert any(g.abs().max() > 1e-6 for g in seen.gradient.values()), "the step has a gradient"
    for name, gradient in seen.gradient.items():
        torch.testing.assert_close(-seen.ascent[name], gradient, rtol=1e-9, atol=1e-9)


def test_the_coefficient_is_in_the_record(make_method: Callable[..., Trainer]) -> None:
    trainer = make_method("grpo")
    trainer.step()
    from workbench.runs import Run

    stored = Run.open(trainer.out).batch(1)
    assert stored["coefficient_BT"].shape == stored["ids_BT"].shape
    assert abs(stored["coefficient_BT"]).max() > 0


def per_token(values_B: Tensor, batch: Any) -> Tensor:
    """Spread over the completions' tokens, as the mean over the tokens of the batch divides."""
    tokens = batch.loss_mask_BT.sum()
    return torch.where(batch.loss_mask_BT, values_B[:, None], 0.0) / tokens


@pytest.mark.parametrize("method", ["sft", "rft", "online_rft"])
def test_imitation_weighs_accepted_tokens_alike(
    method: str, make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(make_method(method), monkeypatch)
    reward_B = torch.as_tensor(seen.step.samples.reward_B)
    accepted_B = torch.ones(len(reward_B)) if method == "sft" else (reward_B >= 1).float()
    if method != "sft":
        assert 0 < accepted_B.sum() < len(accepted_B)
    torch.testing.assert_close(seen.batch.coefficient_BT, per_token(accepted_B, seen.batch))
    assert torch.equal(torch.as_tensor(seen.step.samples.advantage_B).float(), accepted_B)


def test_grpo_has_the_papers_coefficient(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSeekMath eq. 21: A + beta (pi_ref / pi - 1), after a first step has moved pi."""
    trainer = make_method("grpo", beta=0.3, updates_per_rollout=1, use_bias_correction_kl=False)
    trainer.step()
    seen = Seen(trainer, monkeypatch)
    batch = seen.batch
    pull_BT = 0.3 * ((batch.ref_logp_BT - batch.logp_BT).exp() - 1)
    assert pull_BT.abs().max() > 1e-4
    expected_BT = (
        per_token(batch.advantages, batch)
        + torch.where(batch.loss_mask_BT, pull_BT, 0.0) / batch.loss_mask_BT.sum()
    )
    torch.testing.assert_close(batch.coefficient_BT, expected_BT, rtol=1e-4, atol=1e-7)


def test_rloo_compares_with_the_others(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(make_method("rloo", beta=0.0), monkeypatch)
    reward_NG = torch.as_tensor(seen.step.samples.reward_B).view(4, 4)
    others_NG = (reward_NG.sum(1, keepdim=True) - reward_NG) / 3
    expected_B = (reward_NG - others_NG).flatten().float()
    torch.testing.assert_close(seen.batch.coefficient_BT, per_token(expected_B, seen.batch))


def test_reinforce_pp_whitens_the_reward_to_come(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_method("reinforce_pp", kl_coef=0.7)
    trainer.step()
    seen = Seen(trainer, monkeypatch)
    batch = seen.batch
    rows = []
    for row, total in enumerate(seen.step.samples.reward_B):
        n = int(batch.loss_mask_BT[row].sum())
        kl_T = (batch.old_logp_BT[row] - batch.ref_logp_BT[row])[:n]
        rows.append([float(total) - 0.7 * float(kl_T[t:].sum()) for t in range(n)])
    flat = torch.tensor([value for row in rows for value in row])
    white = iter(((flat - flat.mean()) / (flat.var() + 1e-8).sqrt()).tolist())
    expected_BT = torch.zeros_like(batch.coefficient_BT)
    for row, values in enumerate(rows):
        for t in range(len(values)):
            expected_BT[row, t] = next(white) / batch.loss_mask_BT.sum()
    torch.testing.assert_close(batch.coefficient_BT, expected_BT, rtol=1e-4, atol=1e-7)


def test_dpo_has_the_papers_coefficient(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSeekMath eq. 14, after a step that moved the policy away from the reference."""
    trainer = make_method("dpo", dpo_beta=0.5)
    trainer.step()
    seen = Seen(trainer, monkeypatch)
    batch = seen.batch
    pairs_M2 = preference_pairs(torch.as_tensor(seen.step.samples.reward_B), 4)
    assert len(pairs_M2) > 1
    ratio_B = torch.where(batch.loss_mask_BT, batch.logp_BT - batch.ref_logp_BT, 0.0).sum(1)
    expected_BT = torch.zeros_like(batch.coefficient_BT)
    for chosen, rejected in pairs_M2.tolist():
        weight = 0.5 * torch.sigmoid(-0.5 * (ratio_B[chosen] - ratio_B[rejected])) / (16 / 2)
        expected_BT[chosen] = torch.where(batch.loss_mask_BT[chosen], weight, 0.0)
        expected_BT[rejected] = -torch.where(batch.loss_mask_BT[rejected], weight, 0.0)
    torch.testing.assert_close(batch.coefficient_BT, expected_BT, rtol=1e-4, atol=1e-7)
    assert 0 <= seen.step.metrics["dpo_accuracy"] <= 1


def test_process_supervision_adds_up_the_steps_to_come(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSeekMath section 4.1.3, reckoned from the texts."""
    seen = Seen(trainer := make_method("process_grpo", advantage_std="population"), monkeypatch)
    batch = seen.batch
    texts = seen.step.samples.completions
    expected_BT = torch.zeros_like(batch.coefficient_BT)
    for group in range(4):
        rows = range(4 * group, 4 * group + 4)
        steps = {row: halves(None, [[{"content": texts[row]}]])[0] for row in rows}
        rewards = [reward for row in rows for _, reward in steps[row]]
        mean, spread = np.mean(rewards), np.std(rewards) + 1e-4
        for row in rows:
            ids = batch.rollout.completion_lists()[row]
            for end, reward in steps[row]:
                # The first token by which so many characters are there.
                last = next(
                    t for t in range(len(ids)) if len(trainer.policy.decode(ids[: t + 1])) >= end
                )
                expected_BT[row, : last + 1] += (reward - mean) / spread
    expected_BT = expected_BT / batch.loss_mask_BT.sum()
    assert expected_BT.unique().numel() > 8
    torch.testing.assert_close(batch.coefficient_BT, expected_BT, rtol=1e-4, atol=1e-7)


def test_a_step_reward_function_has_copies_and_a_time_limit(
    make_method: Callable[..., Trainer],
) -> None:
    """What it does to its arguments and to torch reaches no training, and one that hangs leaves the
    step to be tried again."""
    trainers = [
        make_method("process_grpo", out, step_rewards=f"{OWN_STEPS}:{name}", reward_timeout=0.5)
        for out, name in (("a", "halves"), ("b", "spoils"), ("c", "never_returns"))
    ]
    plain = trainers[0].step()
    with pytest.warns(RewardWarning, match=r"spoils\) called torch.set_grad_enabled\(False\)"):
        spoiled = trainers[1].step()
    assert spoiled.samples.completions == plain.samples.completions
    assert spoiled.metrics["loss"] == plain.metrics["loss"]
    with pytest.raises(RewardError, match="step-reward function.*never_returns"):
        trainers[2].step()
    assert (trainers[2].steps_done, trainers[2].dirty) == (0, False)


def test_distillation_weighs_by_the_teachers_surprise(
    make_method: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(trainer := make_method("distill"), monkeypatch)
    batch = seen.batch
    with torch.no_grad():
        teacher_BT, _ = completion_logps(
            trainer.method.teacher.model, batch.rollout, torch.arange(16), 1.0
        )
    difference_BT = torch.where(batch.loss_mask_BT, teacher_BT - batch.old_logp_BT, 0.0)
    assert difference_BT.abs().max() > 1e-3
    expected_BT = difference_BT / batch.loss_mask_BT.sum()
    torch.testing.assert_close(batch.coefficient_BT, expected_BT, rtol=1e-4, atol=1e-7)


# ------------------------------------------------------------------- the pure functions behind


def test_gae_is_the_double_sum() -> None:
    """A_t = sum over l of lam^l delta_(t+l), delta_t = r_t + V_(t+1) - V_t (arXiv 1506.02438)."""
    torch.manual_seed(0)
    lengths = [5, 3, 1, 0]
    mask_BT = torch.arange(5) < torch.tensor(lengths)[:, None]
    reward_BT = torch.where(mask_BT, torch.randn(4, 5, dtype=torch.float64), 0.0)
    value_BT = torch.randn(4, 5, dtype=torch.float64)
    for lam in (0.0, 0.5, 0.95, 1.0):
        expected_BT = torch.zeros(4, 5, dtype=torch.float64)
        for b, n in enumerate(lengths):
            after = [*value_BT[b, :n].tolist(), 0.0]
            delta = [float(reward_BT[b, t]) + after[t + 1] - after[t] for t in range(n)]
            for t in range(n):
                expected_BT[b, t] = sum(lam ** (k - t) * delta[k] for k in range(t, n))
        found_BT = generalized_advantages(reward_BT, value_BT, mask_BT, lam)
        torch.testing.assert_close(found_BT, expected_BT, rtol=1e-12, atol=1e-12)


def test_with_lambda_one_gae_is_the_return_less_the_value() -> None:
    torch.manual_seed(1)
    mask_BT = torch.arange(6) < torch.tensor([6, 2])[:, None]
    reward_BT = torch.where(mask_BT, torch.randn(2, 6, dtype=torch.float64), 0.0)
    value_BT = torch.where(mask_BT, torch.randn(2, 6, dtype=torch.float64), 0.0)
    expected_BT = torch.where(mask_BT, sum_to_come(reward_BT) - value_BT, 0.0)
    found_BT = generalized_advantages(reward_BT, value_BT, mask_BT, 1.0)
    torch.testing.assert_close(found_BT, expected_BT)


def test_whitening_leaves_mean_0_and_std_1_on_the_mask_alone() -> None:
    mask_BT = torch.tensor([[True, True, False], [True, False, False]])
    white_BT = whitened(torch.tensor([[1.0, 2.0, 99.0], [6.0, 99.0, 99.0]]), mask_BT)
    assert white_BT[~mask_BT].abs().max() == 0
    torch.testing.assert_close(white_BT[mask_BT].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(white_BT[mask_BT].std(), torch.tensor(1.0))
    assert whitened(torch.full((2, 3), 0.7), mask_BT).abs().max() == 0


def test_pairs_are_best_with_worst_as_long_as_one_was_paid_more() -> None:
    nan = float("nan")
    totals = torch.tensor([1.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, nan, 2.0, 1.0, nan])
    assert preference_pairs(totals, 4).tolist() == [[0, 1], [9, 10]]
    assert preference_pairs(torch.zeros(4), 4).shape == (0, 2)


def test_the_margin_of_a_pair_by_hand() -> None:
    logp_RT = torch.tensor([[-1.0, -2.0], [-3.0, -9.0]])
    ref_logp_RT = torch.tensor([[-2.0, -2.5], [-2.0, 0.0]])
    mask_RT = torch.tensor([[True, True], [True, False]])
    # Chosen: (1) + (0.5); rejected: (-1), its second token is padding.
    torch.testing.assert_close(
        dpo_margins(log_ratios(logp_RT, ref_logp_RT, mask_RT), 0.2), torch.tensor([0.2 * 2.5])
    )
