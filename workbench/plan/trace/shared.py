"""Skeletons that the configs of one plan, and the next plans, share: an advice asks for some twenty
configs, of which most differ in nothing that a model is built by, and what was run on one is known.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from workbench.config import GRPOConfig
from workbench.plan.devices import Device
from workbench.plan.shapes import Shape
from workbench.plan.trace.skeleton import Blueprint, Skeleton, blueprint, built

MOST_KEPT = 16
"""A plan with its advice takes about ten; one of 32 layers takes some 3 MB."""
_ONE_AT_A_TIME = threading.RLock()
_kept = lru_cache(maxsize=MOST_KEPT)(built)


@contextmanager
def skeletons_to_oneself() -> Iterator[None]:
    """Inside, no other thread follows a skeleton: to run one, hooks are hung on its layers."""
    with _ONE_AT_A_TIME:
        yield


def shared_skeleton(shape: Shape, config: GRPOConfig, device: Device) -> Skeleton:
    """As `skeleton`; the same one where all that it is built by is the same."""
    return skeleton_by(blueprint(shape, config, device))


def skeleton_by(by: Blueprint) -> Skeleton:
    """The skeleton of a blueprint; the same one for equal ones."""
    return _kept(by)
