"""KL estimators against distributions small enough to enumerate: values, orientation, and what
their gradients estimate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.objective import kl_per_token, merge_metrics, policy_loss, update_metrics
from workbench.objective.diagnostics import kl_gradient_share

POLICY = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
REFERENCE = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
OLD = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum()


def test_the_exact_values_of_the_example() -> None:
    assert float(kl(POLICY, REFERENCE)) == pytest.approx(0.1838, abs=5e-5)
    d = (REFERENCE / POLICY).log()
    inverted = (POLICY * ((-d).exp() + d - 1)).sum()
    assert float(inverted) == pytest.approx(
        0.1912, abs=5e-5
    )  # the well-known slip: not what we compute
    assert float((POLICY * kl_per_token(POLICY.log(), REFERENCE.log())).sum()) == pytest.approx(
        0.1838, abs=5e-5
    )


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(estimator: str) -> None:
    for p, q in ((POLICY, REFERENCE), (REFERENCE, POLICY), (OLD, POLICY)):
        expectation = (p * kl_per_token(p.log(), q.log(), estimator)).sum()
        torch.testing.assert_close(expectation, kl(p, q), rtol=1e-12, atol=1e-15)


def test_k2_is_half_the_squared_log_ratio() -> None:
    expectation = (POLICY * kl_per_token(POLICY.log(), REFERENCE.log(), "k2")).sum()
    by_hand = (0.7 * math.log(7 / 4) ** 2 + 0.2 * math.log(2) ** 2 + 0.1 * math.log(2) ** 2) / 2
    assert float(expectation) == pytest.approx(by_hand, rel=1e-12)
    assert float(expectation) != pytest.approx(float(kl(POLICY, REFERENCE)), abs=1e-3)


def test_signs() -> None:
    """k1 is negative where the policy likes a token less than the reference does; k2 and k3 never
    are."""
    values = {
        name: kl_per_token(POLICY.log(), REFERENCE.log(), name) for name in ("k1", "k2", "k3")
    }
    assert (values["k1"] < 0).tolist() == [False, True, True]
    assert (values["k2"] >= 0).all()
    assert (values["k3"] >= 0).all()
    assert not kl_per_token(POLICY.log(), POLICY.log(), "k3").any()


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_off_policy_the_ratio_makes_the_estimate_unbiased(estimator: str) -> None:
    ratio = POLICY / OLD
    with_ratio = (OLD * kl_per_token(POLICY.log(), REFERENCE.log(), estimator, ratio)).sum()
    without = (OLD * kl_per_token(POLICY.log(), REFERENCE.log(), estimator)).sum()
    torch.testing.assert_close(with_ratio, kl(POLICY, REFERENCE), rtol=1e-12, atol=1e-15)
    assert abs(float(without - with_ratio)) > 0.01


def gradient_of(value_of_logits) -> Tensor:
    logits = POLICY.log().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value_of_logits(logits.log_softmax(0)), logits)
    return gradient


def expected_gradient(estimator: str, corrected: bool, samples_from: Tensor) -> Tensor:
    """The mean over samples of the gradient of one sample's estimate (the sampling itself has no
    gradient)."""

    def estimate(logp: Tensor) -> Tensor:
        ratio = (logp - samples_from.log()).exp() if corrected else None
        return (samples_from * kl_per_token(logp, REFERENCE.log(), estimator, ratio)).sum()

    return gradient_of(estimate)


def test_what_the_gradients_estimate() -> None:
    reverse = gradient_of(lambda logp: (logp.exp() * (logp - REFERENCE.log())).sum())
    forward = gradient_of(lambda logp: (REFERENCE * (REFERENCE.log() - logp)).sum())
    torch.testing.assert_close(expected_gradient("k3", False, POLICY), forward)
    torch.testing.assert_close(
        expected_gradient("k1", False, POLICY), torch.zeros(3, dtype=torch.float64)
    )
    torch.testing.assert_close(expected_gradient("k2", False, POLICY), reverse)
    for samples_from in (POLICY, OLD):
        torch.testing.assert_close(expected_gradient("k3", True, samples_from), reverse)
        torch.testing.assert_close(expected_gradient("k1", True, samples_from), reverse)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("corrected", [False, True])
def test_the_loss_adds_beta_times_the_estimate(estimator: str, corrected: bool) -> None:
    """Every outcome once, A = 0: what is left of the loss is beta KL, by hand."""
    config = GRPOConfig(beta=0.3, kl_estimator=estimator, use_bias_correction_kl=corrected)
    out = policy_loss(
        POLICY.log()[:, None],
        torch.zeros(3),
        torch.ones(3, 1),
        config,
        old_logp=OLD.log()[:, None],
        ref_logp=REFERENCE.log()[:, None],
    )
    d = (REFERENCE / POLICY).log()
    value = {"k1": -d, "k2": d * d / 2, "k3": d.exp() - d - 1}[estimator] * (
        POLICY / OLD if corrected else 1
    )
    torch.testing.assert_close(out.per_token.kl[:, 0], value)
    torch.testing.assert_close(out.per_token.term[:, 0], 0.3 * value)
    torch.testing.assert_close(out.loss, 0.3 * value.mean())
    torch.testing.assert_close(out.metrics["kl"], value.mean())


def test_the_correction_uses_the_raw_ratio_of_the_level() -> None:
    """Neither clipped nor capped by delta; at sequence level the sequence's."""
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    old, ref = logp - torch.tensor([[1.0, 0.2]], dtype=torch.float64), logp + 0.5
    k3 = math.exp(0.5) - 0.5 - 1
    for level, ratios in (("token", [math.e, math.exp(0.2)]), ("sequence", [math.exp(0.6)] * 2)):
        config = GRPOConfig(beta=0.1, importance_sampling_level=level, delta=1.5, epsilon=0.05)
        out = policy_loss(logp, torch.ones(1), torch.ones(1, 2), config, old_logp=old, ref_logp=ref)
        torch.testing.assert_close(
            out.per_token.kl[0], torch.tensor([r * k3 for r in ratios], dtype=torch.float64)
        )


def test_with_beta_zero_the_kl_is_measured_but_not_in_the_loss() -> None:
    logp = POLICY.log()[:, None].clone().requires_grad_()
    given = (torch.ones(3), torch.ones(3, 1), GRPOConfig(beta=0.0))
    with_ref, without = (
        policy_loss(logp, *given, ref_logp=REFERENCE.log()[:, None]),
        policy_loss(logp, *given),
    )
    assert torch.equal(with_ref.loss, without.loss)
    assert torch.equal(*(torch.autograd.grad(out.loss, logp)[0] for out in (with_ref, without)))
    assert float(with_ref.metrics["kl"]) > 0
    assert without.per_token.kl is None
    assert "kl" not in without.metrics


def test_beta_without_a_reference_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"beta=0\.1 needs `ref_logp`"):
        policy_loss(torch.zeros(1, 1), torch.ones(1), torch.ones(1, 1), GRPOConfig(beta=0.1))


def test_an_unknown_estimator_is_an_error() -> None:
    with pytest.raises(ValueError, match="kl_estimator='k4' is unknown"):
        kl_per_token(torch.zeros(1), torch.zeros(1), "k4")


@pytest.mark.parametrize("corrected", [False, True])
def test_how_hard_the_rewards_push_and_the_kl_pulls(corrected: bool) -> None:
    """By hand: |beta (1 - e^d)| of each token beside |A|; with the ratio in front its own slope
    comes on top. A clipped token pushes with nothing and is still pulled."""
    logp = torch.tensor([[-1.0, -2.0, 9.0]], dtype=torch.float64)
    ref = torch.tensor([[-1.5, -1.0, 0.0]], dtype=torch.float64)
    old = torch.tensor([[-1.0, -3.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 1, 0]])
    config = GRPOConfig(beta=0.3, epsilon=0.2, use_bias_correction_kl=corrected)

    with torch.no_grad():  # measured where nothing is trained, too
        out = policy_loss(logp, torch.tensor([2.0]), mask, config, old_logp=old, ref_logp=ref)
    # The second token's ratio is e: clipped above, since A > 0.
    assert out.per_token.clipped_high.tolist() == [[False, True, False]]
    ratio, d = [1.0, math.e], [-0.5, 1.0]
    k3 = [math.exp(x) - x - 1 for x in d]
    slope = [1 - math.exp(x) for x in d]
    pulls = [r * (k + s) if corrected else s for r, k, s in zip(ratio, k3, slope, strict=True)]
    pull = 0.3 * sum(map(abs, pulls)) / 2
    assert float(out.metrics["kl_pull"]) == pytest.approx(pull)
    assert float(out.metrics["policy_push"]) == pytest.approx(2.0 / 2)


def test_the_kls_share_of_a_step_is_that_of_the_sums() -> None:
    """An update of dead groups alone has no push: its own share would be all, whatever it is."""
    zero, ones = torch.zeros(3), torch.ones(3, 1)
    logp = POLICY.log()[:, None]
    config = GRPOConfig(beta=0.1, use_bias_correction_kl=False)
    dead = policy_loss(logp, zero, ones, config, ref_logp=logp - 0.1).metrics
    live = policy_loss(logp, zero + 2, ones, config, ref_logp=logp).metrics
    assert (float(dead["policy_push"]), float(live["kl_pull"])) == (0.0, 0.0)
    pull = 0.1 * (1 - math.exp(-0.1))
    updates = [{k: float(v) for k, v in one.items()} | {"loss": 0.0} for one in (dead, live)]
    share = update_metrics(updates)["kl_gradient_share"]
    assert share == pytest.approx(pull / (pull + 2.0))
    assert kl_gradient_share({"policy_push": 0.0, "kl_pull": 0.0}) == {"kl_gradient_share": 0.0}
    free = policy_loss(logp, zero, ones, GRPOConfig(beta=0.0), ref_logp=logp).metrics
    assert kl_gradient_share(merge_metrics([free])) == {}
