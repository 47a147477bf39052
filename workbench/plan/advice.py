"""What to change where a plan does not fit: every single change with the peak that it would give, the strongest first, and the
shortest series of them that fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.config import GRPOConfig


@dataclass(frozen=True)
class Change:
    """settings: fields of `GRPOConfig` and their new values. cost: what one gives up. peak: bytes then needed. fits: alone.

    together   True for the change that sums up several
    """

    settings: dict[str, Any]
    cost: str
    peak: float
    fits: bool
    together: bool = False

    @property
    def words(self) -> str:
        """The settings as one writes them."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


def advise(config: GRPOConfig, memory: float, peak_of: Callable[[GRPOConfig], float], peak: float, device_kind: str) -> list[Change]:
    """Changes that lower the peak by at least 2 %, strongest first, then a combination that fits where no single one does."""
    singles = []
    for settings, cost in candidates(config, device_kind):
        found = peak_of(changed(config, settings))
        if found < 0.98 * peak:
            singles.append(Change(settings, cost, found, found <= memory))
    singles.sort(key=lambda c: c.peak)
    if any(c.fits for c in singles):
        return singles
    return singles + _combined(config, singles, memory, peak_of)


def _combined(config: GRPOConfig, singles: list[Change], memory: float, peak_of: Callable[[GRPOConfig], float]) -> list[Change]:
    """The changes added one by one, strongest first, until they fit; the last attempt where they never do."""
    settings: dict[str, Any] = {}
    costs: list[str] = []
    last = float("inf")
    for change in singles:
        if set(change.settings) & set(settings):
            continue
        peak = peak_of(changed(config, settings | change.settings))
        if peak >= 0.98 * last:
            continue  # beside the others it brings nothing
        settings, last, costs = settings | change.settings, peak, [*costs, change.cost]
        if peak <= memory:
            break
    return [Change(settings, "; ".join(costs), last, last <= memory, together=True)] if len(costs) > 1 else []


def changed(config: GRPOConfig, settings: dict[str, Any]) -> GRPOConfig:
    """`config` with these settings; what a smaller batch makes impossible is brought in line. Warnings are the caller's own."""
    import warnings

    values = dict(settings)
    if config.prompts_per_step > 1 and "prompts_per_step" in values and values["prompts_per_step"] % config.updates_per_rollout:
        values["updates_per_rollout"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return config.replace(**values)


def candidates(c: GRPOConfig, device_kind: str) -> list[tuple[dict[str, Any], str]]:
    """Single changes that make sense for this config, with what each costs."""
    at_once = min(c.micro_batch_size or c.completions_per_step, c.completions_per_step // c.updates_per_rollout)
    half = max(at_once // 4, 1)
    adapter = {"lora_rank": 16} if c.lora_rank == 0 else {}
    table: list[tuple[bool, dict[str, Any], str]] = [
        (c.lora_rank == 0, adapter, "an adapter is trained in place of all weights"),
        (c.quantization == "none", adapter | {"quantization": "nf4"}, "base in 4 bits: a little less exact, slower steps" + (", and an adapter" if adapter else "")),
        (not c.gradient_checkpointing, {"gradient_checkpointing": True}, "about a third more time in the update; the result is the same"),
        (at_once > 1, {"micro_batch_size": half}, "more and smaller forwards; the result is the same"),
        (at_once > 4, {"micro_batch_size": 1}, "many small forwards, prompts computed for each; the result is the same"),
        (c.optim == "adamw", {"optim": "adamw_8bit"}, "moments in 8 bits"),
        (c.beta > 0 and c.lora_rank == 0, {"beta": 0.0}, "no reference, so no KL term"),
        (c.lora_rank > 0 and c.quantization == "none" and c.dtype in ("auto", "float32") and device_kind == "cpu", {"dtype": "bfloat16"}, "base in 16 bits"),
        (c.num_generations >= 4, {"num_generations": c.num_generations // 2}, "groups half as large"),
        (c.max_completion_length >= 32, {"max_completion_length": c.max_completion_length // 2}, "longer answers are cut off"),
        ((c.max_prompt_length or 0) >= 64, {"max_prompt_length": (c.max_prompt_length or 0) // 2}, "longer prompts are refused"),
        (c.prompts_per_step > 1, {"prompts_per_step": c.prompts_per_step // 2}, "half the prompts in a step"),
        (c.rollout_engine == "vllm" and c.vllm_mode == "colocate" and device_kind == "cuda" and not c.vllm_enable_sleep_mode, {"vllm_enable_sleep_mode": True},
         "seconds a step to put vLLM to sleep and wake it"),
        (c.rollout_engine == "vllm", {"rollout_engine": "native"}, "slower rollouts"),
        (c.rollout_engine == "transformers", {"rollout_engine": "native"}, "nothing, where the native engine serves the model"),
    ]
    return [(settings, cost) for applies, settings, cost in table if applies]
