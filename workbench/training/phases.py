"""Where the seconds of a step go, and in which phase its memory ran out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workbench.config import GRPOConfig
from workbench.training.out_of_memory import explain_out_of_memory


class Phases:
    """Adds up wall-clock seconds by name, and tells `on_enter` which one begins. What runs out of
    memory inside a phase raises `OutOfMemoryError` with its name."""

    def __init__(
        self,
        config: GRPOConfig,
        policy: str,
        on_enter: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.config = config
        self.on_enter = on_enter
        self.policy = policy
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what happens inside; the same name adds up."""
        self.on_enter(name)
        start = time.perf_counter()
        try:
            with explain_out_of_memory(name, self.config, self.policy):
                yield
        finally:
            passed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + passed

    def metrics(self) -> dict[str, float]:
        """`seconds/NAME` by phase and `seconds/step`, their sum."""
        by_phase = {f"seconds/{name}": seconds for name, seconds in self.seconds.items()}
        return by_phase | {"seconds/step": sum(self.seconds.values())}
