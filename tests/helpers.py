"""Small functions that several tests use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def digits_reward(completions, **columns) -> list[float]:
    """The share of digits in the text: graded, so that few groups are dead even with a random
    policy."""
    texts = [c[0]["content"] for c in completions]
    return [sum(ch.isdigit() for ch in t) / max(len(t), 1) for t in texts]


def weights_of(trainer) -> dict[str, Tensor]:
    """A copy of what training changes."""
    return {name: p.detach().clone() for name, p in trainer.policy.trainable_state().items()}


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """True when both hold the same names with bitwise equal values."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def in_one_test(cases: Iterable[dict[str, Any]]) -> Callable[[Callable[..., None]], Any]:
    """A decorator in place of `pytest.mark.parametrize` for many small cases of one statement: they
    are one test, which tries all of them and fails with the list of those that do not hold.

    A case is the keyword arguments of one call; the function's other parameters stay fixtures.
    """
    all_cases = list(cases)
    assert all_cases, "there is no case to try"

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(check)
        def test(**fixtures: Any) -> None:
            offenders = []
            for case in all_cases:
                try:
                    check(**fixtures, **case)
                # Whatever goes wrong is told with its case, and the other cases are still tried.
                except Exception as error:
                    offenders.append(f"{case}: {type(error).__name__}: {error}")
            listed = "\n\n".join(offenders)
            assert not offenders, f"{len(offenders)} of {len(all_cases)} do not hold:\n{listed}"

        # pytest asks the signature for fixtures; what the cases give is none.
        signature = inspect.signature(check)
        fixtures = [p for name, p in signature.parameters.items() if name not in all_cases[0]]
        test.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return test

    return decorate
