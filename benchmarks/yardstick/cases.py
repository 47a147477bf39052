"""What is measured: models, how they are trained, and the shapes of a rollout batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

OURS = "ours"
TUNED = "TRL tuned"
DEFAULT = "TRL default"
CONTENDERS = (OURS, TUNED, DEFAULT)

WAYS: dict[str, dict[str, Any]] = {
    "full": {},
    "LoRA": dict(lora_rank=16),
    "NF4+LoRA": dict(lora_rank=16, quantization="nf4"),
}
"""How a model is trained, as fields of `GRPOConfig`."""


@dataclass(frozen=True)
class Shape:
    """One rollout batch: `prompts` prompts, `group` completions of each."""

    name: str
    prompts: int
    group: int
    prompt_tokens: tuple[int, int]
    """Shortest and longest prompt."""
    completion_tokens: int
    """Where a completion is cut."""
    ends: float = 0.0
    """Probability of the end token at each token, for models whose weights are made up."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further fields of `GRPOConfig`; the same is set in TRL."""

    @property
    def completions(self) -> int:
        """Completions of the batch."""
        return self.prompts * self.group


@dataclass(frozen=True)
class Case:
    """A model, the way it is trained, and a shape."""

    model: str
    way: str
    shape: Shape

    @property
    def name(self) -> str:
        """MODEL/WAY/SHAPE; the way is left out where all weights are trained."""
        way = () if self.way == "full" else (self.way,)
        return "/".join((self.model, *way, self.shape.name))


SHORT = Shape("short", 8, 8, (64, 64), 64)
LONG_PROMPT = Shape("long-prompt", 8, 8, (512, 512), 64)
LONG_ANSWER = Shape("long-answer", 8, 8, (64, 64), 256)
MIXED = Shape("mixed", 8, 8, (24, 160), 128, ends=1 / 32)
UNSHARED = Shape("unshared", 32, 2, (16, 16), 64)
"""Two completions of a short prompt: computing the prompt once saves a tenth of the tokens."""
DEFAULT_RUN = Shape(
    "default-run", 16, 8, (1, 200), 48, settings=dict(updates_per_rollout=4, beta=0.005)
)
"""The arithmetic of `workbench train`: prompts of the task, answers as long as they come."""
REAL_SHORT = Shape("short", 4, 4, (64, 64), 32)
REAL_LONG = Shape("long-prompt", 4, 4, (512, 512), 32)

CASES = (
    *(Case("3M", "full", s) for s in (SHORT, LONG_PROMPT, LONG_ANSWER, MIXED, UNSHARED)),
    Case("embedded", "full", DEFAULT_RUN),
    *(Case("SmolLM2-135M", way, REAL_SHORT) for way in WAYS),
    Case("SmolLM2-135M", "full", REAL_LONG),
)
"""The whole table."""

SHORT_CASES = (
    Case("3M", "full", replace(SHORT, prompts=2)),
    Case("3M", "full", replace(LONG_PROMPT, prompts=1)),
    Case("3M", "full", replace(UNSHARED, prompts=8)),
)
"""Eight or sixteen completions a batch in place of 64: for a look in three minutes."""

SMOKE_CASES = (Case("tiny", "full", Shape("smoke", 2, 4, (12, 20), 8, ends=0.1)),)
"""That it runs from one end to the other; the figures say nothing."""
