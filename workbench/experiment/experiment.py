"""`Experiment`: variants over seeds, with controls, made side by side and answered in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.config import GRPOConfig
from workbench.experiment.progress import Progress
from workbench.experiment.result import Result, result_of
from workbench.experiment.room import how_many
from workbench.experiment.runner import Runner
from workbench.experiment.statistics import INTERVALS
from workbench.experiment.store import Plan, check_made_of, read_experiment, write_experiment
from workbench.experiment.variants import (
    ExperimentError,
    Variant,
    all_variants,
    as_rewards,
    run_folder,
)
from workbench.rewards import CONTROLS, DEFAULT_REWARDS

POLL = 1.0
"""Seconds between two calls of `run`'s `progress`."""


class Experiment:
    """Variants x seeds, and controls that must not learn; each seed's runs are paired.

        experiment = Experiment(
            {"eps.2": {}, "eps.05": {"epsilon": 0.05}}, seeds=8, out="runs/clip"
        )
        experiment.run()        # goes on where an earlier sitting was broken off
        experiment.result()     # eps.2 is better than eps.05 by 6.1 points (2.0 to 10.3, 8 seeds)

    `variants`: name -> a dict of settings (and `policy`, `rewards`, `method`, `preset`), a
    `GRPOConfig`, the name of a method, or None; what it leaves out is as in `config`, `policy`,
    `task` and `rewards` (what `config` says otherwise than the defaults holds over a preset, too).
    `seeds`: how many, from 0, or which. `controls`: keys of `workbench.rewards.CONTROLS`, of the
    first variant unless `control_of` names another or "each".

    A seed gives all variants the same problems, the same order of prompts and the same held-out
    problems, so that what differs is the variant and chance alone. In the folder `out` lies each
    run as a normal run, which opens in the dashboard. The folder may be added to: more seeds, more
    variants. Raises `ExperimentError`, `ConfigError`.
    """

    out: Path
    """Its folder."""

    plan: Plan
    """What it compares."""

    def __init__(
        self,
        variants: Mapping[str, Any],
        seeds: int | Sequence[int] = 8,
        controls: Sequence[str] = tuple(CONTROLS),
        *,
        out: str | Path | None = None,
        config: GRPOConfig | None = None,
        policy: str = "embedded",
        task: str = "arithmetic",
        rewards: Any = DEFAULT_REWARDS,
        control_of: str | None = None,
        metric: str = "accuracy",
        interval: str = "t",
        level: float = 0.95,
    ) -> None:
        base = Variant(
            name="base",
            config=config or GRPOConfig(),
            policy=policy,
            task=task,
            rewards=as_rewards(rewards),
        )
        _check_interval(interval)
        if not 0.5 <= level < 1:
            raise ExperimentError(f"level={level!r:.40}: must be at least 0.5 and below 1.")
        plan = Plan(
            variants=tuple(all_variants(variants, base, list(controls), control_of)),
            seeds=_seeds(seeds),
            metric=metric,
            interval=interval,
            level=level,
        )
        folder = out or Path("runs") / datetime.now().strftime("compare-%Y%m%d-%H%M%S")
        self._take(Path(folder).absolute(), plan)

    @classmethod
    def open(
        cls, folder: str | Path, *, metric: str | None = None, interval: str | None = None
    ) -> Experiment:
        """The experiment that lies in a folder, whole or not, looked at by its own `metric` and
        `interval` or by others. Nothing is made until `run`. Raises `ExperimentError` where there
        is none."""
        experiment = cls.__new__(cls)
        out = Path(folder).absolute()
        plan = read_experiment(out)
        _check_interval(interval or plan.interval)
        looked_at = replace(plan, metric=metric or plan.metric, interval=interval or plan.interval)
        experiment._take(out, looked_at)
        return experiment

    def _take(self, out: Path, plan: Plan) -> None:
        self.out = out
        self.plan = plan
        self._listeners: list[Callable[[], None]] = []
        self._starting = threading.Lock()
        jobs = [(variant, seed) for variant in plan.variants for seed in plan.seeds]
        self._runner = Runner(out, jobs, self._tell)

    def __repr__(self) -> str:
        names = ", ".join(variant.name for variant in self.plan.variants)
        return f"Experiment({names}; {len(self.plan.seeds)} seeds; {self.progress()})"

    # ------------------------------------------------------------ making

    def run(
        self,
        processes: int | None = None,
        progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Result:
        """Make what is missing and wait for it; the result. Ctrl-C (or ■) stops all runs after the
        step that they are in, with a checkpoint each, and returns what is there; a second one ends
        them at once. Called again it goes on. `progress` is told each second how far it is.

        `processes`: runs at once, each with one thread; None = as many as cores and memory allow
        (by `workbench plan`), on a GPU one. With 1 they are made in this process, one after
        another. Raises `ExperimentError` naming the runs that failed, when all others are made.
        """
        self.start(processes)
        return self.wait(progress)

    def start(self, processes: int | None = None) -> Experiment:
        """Begin, or go on, in the background; returns at once. While it goes on already, nothing.
        Raises `ExperimentError`."""
        with self._starting:
            if not self._runner.ended.is_set():
                return self
            for variant in self.plan.variants:
                for seed in self.plan.seeds:
                    check_made_of(run_folder(self.out, variant, seed), variant)
            write_experiment(self.out, self.plan)
            # Looked up anew: a run's folder may have been deleted since.
            missing = self._runner.missing(anew=True)
            left = list(dict.fromkeys(variant for variant, _ in missing))
            if left:
                count, words = how_many(left, processes, len(missing))
                self._runner.start(missing, count, words)
            return self

    def wait(self, progress: Callable[[Progress], None] = lambda progress: None) -> Result:
        """Wait for the runs that are being made; see `run`."""
        from workbench.training.session.pump import pumped_wait

        done = 0
        try:
            while not pumped_wait(self._runner.ended, POLL):
                now = self.progress()
                progress(now)
                # A metric that no run records is said after the first of them, not after the last.
                if now.done > done:
                    done = now.done
                    self.result()
        except ExperimentError:
            self.stop()
            pumped_wait(self._runner.ended, None)
            raise
        except KeyboardInterrupt:
            self.stop()
            try:
                pumped_wait(self._runner.ended, None)
            except KeyboardInterrupt:
                self._runner.kill()
                raise
        progress(self.progress())
        self._raise_failed()
        return self.result()

    def stop(self) -> None:
        """Stop all runs after the step that they are in; returns at once. `run` goes on."""
        self._runner.stop()

    def _raise_failed(self) -> None:
        failed = self._runner.failed
        if not failed:
            return
        shown = "; ".join(
            f"{name}: {words.rstrip('.')}" for name, words in list(failed.items())[:3]
        )
        raise ExperimentError(
            f"{len(failed)} of {len(self._runner.jobs)} runs failed. {shown}. The others are made: "
            "result() shows them, run() tries the failed ones again."
        )

    # ------------------------------------------------------------ looking

    @property
    def status(self) -> str:
        """One of ready, running, stopping, stopped, failed, finished."""
        return self._runner.status

    @property
    def is_running(self) -> bool:
        """Whether runs are being made, or end the step that they are in."""
        return not self._runner.ended.is_set()

    @property
    def failed(self) -> dict[str, str]:
        """Folder of a run that failed in this sitting -> what it raised."""
        return dict(self._runner.failed)

    def progress(self) -> Progress:
        """How far it is, and how long it will take."""
        return self._runner.progress()

    def result(self) -> Result:
        """What the finished runs say, read from their records; those that are not finished are
        left out of every comparison, and counted."""
        return result_of(self.out, self.plan)

    def with_seeds(self, seeds: int | Sequence[int]) -> Experiment:
        """The same experiment with other seeds, in the same folder: more of them go on with what is
        there."""
        experiment = type(self).__new__(type(self))
        experiment._take(self.out, replace(self.plan, seeds=_seeds(seeds)))
        return experiment

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` whenever a run has begun or ended (from any thread; be quick). Returns
        the way to unsubscribe."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


def _check_interval(interval: str) -> None:
    if interval not in INTERVALS:
        raise ExperimentError(
            f"interval={interval!r:.40} is unknown. Choose one of {', '.join(INTERVALS)}."
        )


def _seeds(given: int | Sequence[int]) -> tuple[int, ...]:
    seeds = tuple(range(given)) if isinstance(given, int) else tuple(given)
    bad = [
        seed for seed in seeds if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0
    ]
    if not seeds or bad or len(set(seeds)) < len(seeds):
        raise ExperimentError(
            f"seeds={given!r:.60}: expected how many (at least 1), or whole numbers from 0 on, "
            "each once."
        )
    return seeds
