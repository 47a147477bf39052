"""What to change where a plan does not fit: every single change with the peak that it would give,
the strongest first, and the shortest series of them that fits. Where vLLM's share is too small for
it to start, only what makes it start, or does without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.config import ConfigError, GRPOConfig
from workbench.config.engines import beside_trainer, facts_of

Candidate = tuple[bool, dict[str, Any], str]
"""(does it make sense here?, the settings, what they cost)."""


@dataclass(frozen=True)
class Judged:
    """What a plan says of a config: the bytes that it needs, and whether it starts at all."""

    peak: float
    starts: bool


@dataclass(frozen=True)
class Change:
    """settings: fields of `GRPOConfig` and their new values. cost: what one gives up. peak: bytes
    then needed. fits: alone.

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


def advise(
    config: GRPOConfig,
    memory: float,
    judge: Callable[[GRPOConfig], Judged],
    now: Judged,
    table: list[tuple[dict[str, Any], str]],
) -> list[Change]:
    """Changes of the `table` that lower the peak by at least 2 %, or let start what does not,
    strongest first; then a combination that fits where no single one does. None of them leads to a
    run that cannot start."""
    singles, helpers = [], []
    for settings, cost in table:
        found = _judged(config, settings, judge)
        fits, lowers = found.starts and found.peak <= memory, found.peak < 0.98 * now.peak
        change = Change(settings, cost, found.peak, fits)
        if found.starts and (lowers or (fits and not now.starts)):
            singles.append(change)
        elif lowers or (found.starts and not now.starts):
            helpers.append(change)  # not alone
    singles.sort(key=lambda c: c.peak)
    if any(c.fits for c in singles):
        return singles
    pool = singles + sorted(helpers, key=lambda c: c.peak)
    kept = [c for c in pool if "rollout_engine" not in c.settings]
    tried = [_combined(config, kept, memory, judge, now)]
    if len(kept) < len(pool):
        # With another engine, where the config's own cannot stay: its settings then mean nothing.
        own = facts_of(config).own_memory
        others = [c for c in pool if own is None or not own.has_settings(c.settings)]
        tried.append(_combined(config, others, memory, judge, now))
    made = [c for c in tried if c is not None]
    return singles + sorted(made, key=lambda c: (not c.fits, 0 if c.fits else c.peak))[:1]


def _combined(
    config: GRPOConfig,
    changes: list[Change],
    memory: float,
    judge: Callable[[GRPOConfig], Judged],
    now: Judged,
) -> Change | None:
    """The changes added one by one, strongest first, until they fit; the last attempt where they
    never do; None where it is no combination, or does not start."""
    settings: dict[str, Any] = {}
    costs: list[str] = []
    last = Judged(float("inf"), now.starts)
    for change in [
        *changes,
        *changes,
    ]:  # twice: what brought nothing at first may be the largest part later
        if set(change.settings) & set(settings):
            continue
        found = _judged(config, settings | change.settings, judge)
        better = found.starts and not last.starts
        if found.starts < last.starts or (found.peak >= 0.98 * last.peak and not better):
            continue  # beside the others it brings nothing
        settings, last, costs = settings | change.settings, found, [*costs, change.cost]
        if found.starts and found.peak <= memory:
            break
    made = Change(settings, "; ".join(costs), last.peak, last.peak <= memory, together=True)
    return made if len(costs) > 1 and last.starts else None


def _judged(
    config: GRPOConfig, settings: dict[str, Any], judge: Callable[[GRPOConfig], Judged]
) -> Judged:
    """What the plan says of `config` with these settings. What the config's rules refuse does not
    start: a critic cannot be quantised, pairs must not be parted."""
    try:
        wanted = changed(config, settings)
    except ConfigError:
        return Judged(float("inf"), starts=False)
    return judge(wanted)


def changed(config: GRPOConfig, settings: dict[str, Any]) -> GRPOConfig:
    """`config` with these settings; what a smaller batch makes impossible is brought in line.
    Warnings are the caller's own."""
    import warnings

    values = dict(settings)
    if (
        config.prompts_per_step > 1
        and "prompts_per_step" in values
        and values["prompts_per_step"] % config.updates_per_rollout
    ):
        values["updates_per_rollout"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return config.replace(**values)


def candidates(
    c: GRPOConfig, device_kind: str, least_share: float | None = None
) -> list[tuple[dict[str, Any], str]]:
    """Single changes that make sense for this config, with what each costs. least_share: of the
    GPU, with which an engine with weights of its own starts."""
    table = [
        *_frozen_base(c),
        *_smaller_forwards(c),
        *_lighter_state(c, device_kind),
        *_smaller_batches(c),
    ]
    applying = [(settings, cost) for applies, settings, cost in table if applies]
    return [*applying, *_engine_candidates(c, device_kind, least_share)]


def _frozen_base(c: GRPOConfig) -> list[Candidate]:
    """An adapter is trained, so that the base can stand still, in fewer bits if need be."""
    adapter = {"lora_rank": 16} if c.lora_rank == 0 else {}
    also = ", and an adapter" if adapter else ""
    return [
        (c.lora_rank == 0, adapter, "an adapter is trained in place of all weights"),
        (
            c.quantization == "none",
            adapter | {"quantization": "nf4"},
            f"base in 4 bits: a little less exact, slower steps{also}",
        ),
    ]


def _smaller_forwards(c: GRPOConfig) -> list[Candidate]:
    """The same update, with less of it in memory at a time."""
    at_once = c.longest_at_once
    half = max(at_once // 4, 1)
    return [
        (
            not c.gradient_checkpointing,
            {"gradient_checkpointing": True},
            "about a third more time in the update; the result is the same",
        ),
        (
            at_once > 1,
            {"micro_batch_size": half},
            "more and smaller forwards; the result is the same",
        ),
        (
            at_once > 4,
            {"micro_batch_size": 1},
            "many small forwards, prompts computed for each; the result is the same",
        ),
    ]


def _lighter_state(c: GRPOConfig, device_kind: str) -> list[Candidate]:
    """Less to keep from step to step: the optimizer's moments, the reference, the base."""
    base_can_halve = (
        c.lora_rank > 0
        and c.quantization == "none"
        and c.dtype in ("auto", "float32")
        and device_kind == "cpu"
    )
    return [
        (c.optim == "adamw", {"optim": "adamw_8bit"}, "moments in 8 bits"),
        (c.beta > 0 and c.lora_rank == 0, {"beta": 0.0}, "no reference, so no KL term"),
        (base_can_halve, {"dtype": "bfloat16"}, "base in 16 bits"),
    ]


def _smaller_batches(c: GRPOConfig) -> list[Candidate]:
    """Fewer or shorter completions: these train on something else."""
    longest_prompt = c.max_prompt_length or 0
    return [
        (
            c.num_generations >= 4,
            {"num_generations": c.num_generations // 2},
            "groups half as large",
        ),
        (
            c.max_completion_length >= 32,
            {"max_completion_length": c.max_completion_length // 2},
            "longer answers are cut off",
        ),
        (
            longest_prompt >= 64,
            {"max_prompt_length": longest_prompt // 2},
            "longer prompts are refused",
        ),
        (
            c.prompts_per_step > 1,
            {"prompts_per_step": c.prompts_per_step // 2},
            "half the prompts in a step",
        ),
    ]


def _engine_candidates(
    c: GRPOConfig, device_kind: str, least_share: float | None
) -> list[tuple[dict[str, Any], str]]:
    """The changes that the engine offers: another share of the GPU, sleep, a lighter engine."""
    found: list[tuple[dict[str, Any], str]] = []
    engine, own = facts_of(c), beside_trainer(c)
    if own is not None and device_kind == "cuda":
        sleep = {own.sleep_field: True}
        slower = f"seconds a step to put {engine.title} to sleep and wake it"
        if least_share is not None and least_share != own.share(c):
            share = {own.share_field: least_share}
            if least_share > own.share(c):
                said = f"more of the GPU for {engine.title}"
            else:
                said = f"less room for {engine.title}'s keys and values: fewer rows at a time"
            found.append((share, said))
            if not own.sleeps(c):
                found += [(sleep, slower), (share | sleep, f"{said}; {slower}")]
        elif not own.sleeps(c):
            found.append((sleep, slower))
    if engine.lighter is not None:
        name, cost = engine.lighter
        found.append(({"rollout_engine": name}, cost))
    return found
