"""Do two ways of computing the same log-probabilities differ by rounding alone? A tolerance hides a
small difference that always points one way, which adds up over a completion; the mean residual does
not."""

from __future__ import annotations

from torch import Tensor

ROUNDING = 2e-5
"""Nats that a token's log-probability may be off: float32 rounds at 1e-6 of a value of about 10,
and sums go in another order. Measured on a CPU: at most 6.6e-6."""
SMALL = 2.4e-7
"""Nats per token below which a mean is of no account: two units in the last place of a probability
near 1, 1e-4 over 500 tokens. Measured: 1.2e-7, where the embedded policy is sure of its token."""
CHANCE = 4.0
"""Standard errors beyond which a mean is no chance."""


def drift_of(difference_K: Tensor) -> tuple[float, float]:
    """The mean of signed differences, and how many standard errors it lies from 0, if each were as
    likely to point up as down."""
    values = difference_K.double().flatten()
    spread = float(values.square().sum().sqrt())
    return float(values.mean()), float(values.sum()) / spread if spread > 0 else 0.0


def assert_rounding_alone(a: Tensor, b: Tensor, mask: Tensor | None = None) -> None:
    """Neither a large difference anywhere nor a one-sided one."""
    difference = (a.double() - b.double()) if mask is None else (a.double() - b.double())[mask]
    largest = float(difference.abs().max())
    assert largest <= ROUNDING, f"off by {largest:.2e}"
    mean, errors = drift_of(difference)
    drifts = abs(mean) > SMALL and abs(errors) > CHANCE
    assert not drifts, f"one-sided: {mean:+.2e} a token, {errors:+.1f} standard errors from 0"
