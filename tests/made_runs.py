"""Run records made without a model, for the tests of the widgets and of the doctor: numpy only, no
torch.

    run = make_run(tmp_path / "a")                             # 30 steps of a policy that learns
    run = make_run(tmp_path / "b", metrics={"kl": lambda step: step})  # the same with another KL
    run = make_run(tmp_path / "c", truncation=0.6, texts=lambda step: ["<script>"] * 16)
    live = growing_run(tmp_path / "d"); live.add(3); live.run.last_step()

What is made hangs together: the metrics are those of the samples and of the token arrays of the
same step, a completion is the text of its tokens (unless `texts` says otherwise), advantages follow
from the rewards, and `old_logp`, `logp` and
`ref_logp` give the ratio, the clip shares and the KL (k3) that the metrics name. The first of two
updates is on-policy, so the first half of the groups has a ratio of exactly 1. The same arguments
give the same record, but for its id and start time.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.config import GRPOConfig
from workbench.runs import (
    Evaluation,
    Event,
    KnobChange,
    Run,
    RunWriter,
    Samples,
    StepRecord,
    TokenArrays,
)

REWARD_NAMES = ("format_reward", "answer_reward")
END, THINK, THINK_END, ANSWER, ANSWER_END, DIGIT, WORD = 1, 2, 3, 4, 5, 6, 16
PIECES = (
    "<|pad|>",
    "<|end|>",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    *"0123456789",
    " so",
    " add",
    " +",
    " carry",
    " then",
    "\n",
    " is",
    " é",
)
FRAME = 6
"""Tokens around the thinking: <think> </think> <answer> digit </answer> <|end|>."""
START = 1_700_000_000.0
SECONDS_PER_STEP = 10.0
Column = float | Sequence[float] | Callable[[int], float] | None


def make_run(path: str | Path, **how: Any) -> Run:
    """A stored run at `path`; the keywords, with their defaults, are the fields of `How`."""
    growing = growing_run(path, **how)
    growing.add(growing.how.steps)
    growing.end()
    return growing.run


def growing_run(path: str | Path, **how: Any) -> GrowingRun:
    """A live run at `path` with no step yet (the evaluation of step 0 is there). `add` writes
    steps, `end` ends it."""
    made = How(**how)
    writer = RunWriter.create(
        path,
        config=made.full_config,
        name=made.name,
        policy="made",
        task="addition",
        reward_names=made.reward_names,
        pieces=lambda ids: [PIECES[i] if i < len(PIECES) else f"<{i}>" for i in ids],
    )
    writer._connection().execute(
        "PRAGMA synchronous = OFF"
    )  # a test need not outlive a power cut; three times as fast
    for evaluation in made.evaluations_at(0):
        writer.write_evaluation(0, evaluation)
    return GrowingRun(Run.open(path), writer, made)


@dataclass
class GrowingRun:
    """A run that a test writes step by step while a view looks on."""

    run: Run
    writer: RunWriter
    how: How

    def add(self, steps: int = 1) -> None:
        """Write the next steps."""
        for _ in range(steps):
            self.writer.write_step(self.how.step(self.writer.last_step + 1))

    def end(self) -> None:
        """End as `status` says: 'running' keeps the writer open, 'interrupted' closes it without a
        word."""
        if self.how.status == "interrupted":
            self.writer.close()
        elif self.how.status != "running":
            self.writer.finish(self.how.status, self.how.reason)
        else:
            _open_writers.append(self.writer)  # a run lives as long as its writer does


_open_writers: list[RunWriter] = []


@dataclass(frozen=True, kw_only=True)
class How:
    """What a made run is like. B = prompts x group completions a step, K reward functions, T =
    tokens.

    steps, prompts, group   size of the run; of a step
    tokens        longest completion; `max_completion_length`
    seed          of everything drawn
    config        fields of `GRPOConfig` that differ (not validated: a test may want nonsense)
    metrics       column -> number, a value per step, a function of the step, or None (no such
                  column); new names are added
    rewards       function of the step: the (B, K) rewards, NaN = not scored (one dimension: a
                  single function)
    texts         function of the step: the B completions, whatever the tokens say
    truncation    share of the completions without an end token: a number, or a function of the step
    logps         function of (step, {name: flat float arrays, "lengths": of the rows}): the arrays
                  to keep instead, by name (a None leaves one out)
    samples       False = not kept; or a function of (step, Samples): what to keep instead
    keep_tokens   False = no token arrays
    evaluations   step -> (correct, n) or an `Evaluation`; None = every `eval_steps` and at both
                  ends, rising from 30 % to 70 %
    knobs         step -> {field: new value}
    events        step -> `Event`s
    status        finished, stopped, failed, interrupted (no end was written), or running (its
                  writer stays open)
    reason        why it stopped or failed
    """

    steps: int = 30
    prompts: int = 4
    group: int = 4
    tokens: int = 8
    seed: int = 0
    name: str = "made"
    reward_names: Sequence[str] = REWARD_NAMES
    config: Mapping[str, Any] | None = None
    metrics: Mapping[str, Column] | None = None
    rewards: Callable[[int], Any] | None = None
    texts: Callable[[int], Sequence[str]] | None = None
    truncation: float | Callable[[int], float] = 0.0
    logps: Callable[[int, dict[str, np.ndarray]], Mapping[str, Any]] | None = None
    samples: bool | Callable[[int, Samples], Samples] = True
    keep_tokens: bool = True
    evaluations: Mapping[int, tuple[int, int] | Evaluation] | None = None
    knobs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    events: Mapping[int, Iterable[Event]] = field(default_factory=dict)
    status: str = "finished"
    reason: str = ""

    @property
    def rows(self) -> int:
        """B."""
        return self.prompts * self.group

    @functools.cached_property
    def full_config(self) -> dict[str, Any]:
        """The settings that the run began with."""
        base = GRPOConfig(  # a group of 2 warns, so it is put in afterwards
            prompts_per_step=self.prompts,
            num_generations=max(self.group, 3),
            max_steps=self.steps or 1,
            seed=self.seed,
            max_completion_length=self.tokens,
            eval_steps=10,
            num_eval_problems=200,
            updates_per_rollout=2 if self.prompts % 2 == 0 else 1,
        )
        return base.to_dict() | {"num_generations": self.group} | dict(self.config or {})

    def config_at(self, step: int) -> dict[str, Any]:
        """The settings in force at `step`."""
        changes = [self.knobs[s] for s in sorted(self.knobs) if s <= step]
        return {
            name: value for change in [self.full_config, *changes] for name, value in change.items()
        }

    def progress(self, step: int) -> float:
        """0 at the start, 1 at the last step."""
        return step / max(self.steps, 1)

    def step(self, step: int) -> StepRecord:
        """All of one step."""
        rng = np.random.default_rng([self.seed, step])
        config, truncated_B, lengths_B, samples = self.config_at(step), *self._samples(step, rng)
        ids = _ids(rng, lengths_B, truncated_B, samples)
        if self.texts is None:
            samples = replace(samples, completions=_texts(ids, lengths_B))
        else:
            samples = replace(samples, completions=list(self.texts(step)))
        if callable(self.samples):
            samples = self.samples(step, samples)
        floats = self._floats(step, rng, ids, samples, config)
        return StepRecord(
            step=step,
            time=START + step * SECONDS_PER_STEP,
            metrics=self._metrics(step, rng, samples, floats, config),
            samples=samples if self.samples else None,
            tokens=TokenArrays(lengths_B, ids, floats) if self.keep_tokens else None,
            knobs=[
                KnobChange(
                    n, self.config_at(step - 1).get(n), new, "user", START + step * SECONDS_PER_STEP
                )
                for n, new in self.knobs.get(step, {}).items()
            ],
            evaluations=self.evaluations_at(step),
            events=list(self.events.get(step, ())),
        )

    def evaluations_at(self, step: int) -> list[Evaluation]:
        """The held-out evaluation after `step`, if there is one."""
        if self.evaluations is not None:
            given = self.evaluations.get(step)
            return (
                []
                if given is None
                else [given if isinstance(given, Evaluation) else evaluation_of(*given, step=step)]
            )
        config = self.full_config
        every, n = config["eval_steps"], config["num_eval_problems"]
        due = step in (0, self.steps) or (every and step % every == 0)
        return (
            [evaluation_of(round(n * (0.3 + 0.4 * self.progress(step))), n, step=step)]
            if due
            else []
        )

    def _samples(
        self, step: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, Samples]:
        share = self.truncation(step) if callable(self.truncation) else self.truncation
        truncated_B = np.arange(self.rows) * 7 % self.rows < round(share * self.rows)
        shortest = min(FRAME, self.tokens)
        lengths_B = np.where(
            truncated_B, self.tokens, rng.integers(shortest, self.tokens + 1, self.rows)
        ).astype(np.int32)
        if self.rewards is None:
            rewards_BK = self._rewards(step, rng, truncated_B)
        else:
            rewards_BK = np.asarray(self.rewards(step), float).reshape(self.rows, -1)
        facts = [(rng.integers(0, 5), rng.integers(0, 5)) for _ in range(self.prompts)]
        reward_B, baseline_B, advantage_B, dead_N = _advantages(
            rewards_BK, self.group, self.config_at(step)
        )
        return (
            truncated_B,
            lengths_B,
            Samples(
                num_generations=self.group,
                problem_ids=[f"train/{(step - 1) * self.prompts + i}" for i in range(self.prompts)],
                prompts=[f"What is {a} + {b}?" for a, b in facts],
                gold_answers=[str(a + b) for a, b in facts],
                completions=[""] * self.rows,
                rewards_BK=rewards_BK,
                reward_B=reward_B,
                advantage_B=advantage_B,
                baseline_B=baseline_B,
                length_B=lengths_B,
                truncated_B=truncated_B,
                dead_N=dead_N,
            ),
        )

    def _rewards(self, step: int, rng: np.random.Generator, truncated_B: np.ndarray) -> np.ndarray:
        """0 or 1 per function; both get better with the steps, the first one is the easier; nothing
        for a truncated one."""
        columns = []
        for k in range(len(self.reward_names)):
            chance = (0.6 if k == 0 else 0.25) + (0.35 if k == 0 else 0.45) * self.progress(step)
            columns.append((rng.random(self.rows) < chance) & ~truncated_B)
        for k in range(1, len(columns)):
            columns[k] &= columns[0]  # an answer in the wrong form is not found
        return np.array(columns, float).T.reshape(self.rows, -1)

    def _floats(
        self,
        step: int,
        rng: np.random.Generator,
        ids: np.ndarray,
        samples: Samples,
        config: Mapping[str, Any],
    ) -> dict[str, np.ndarray]:
        """The log-probabilities and entropies of every token, and the coefficient that they make of
        its advantage."""
        groups = np.repeat(np.arange(self.rows) // self.group, samples.length_B)
        old = -rng.exponential(0.6, len(ids)) - 1e-3
        second = (
            groups >= self.prompts / 2
            if config.get("updates_per_rollout") == 2
            else np.zeros(len(ids), bool)
        )
        made = {
            "sampler_logp": old + rng.normal(0, 3e-7, len(ids)),
            "old_logp": old,
            "ref_logp": old + rng.normal(0, np.sqrt(0.08 * self.progress(step)), len(ids)),
            "logp": old + np.where(second, rng.normal(0, 0.08, len(ids)), 0.0),
            "entropy": rng.gamma(4, (1.6 - 0.4 * self.progress(step)) / 4, len(ids)),
        }
        if not config.get("beta"):
            made.pop("ref_logp")
        made["coefficient"] = _coefficients(made, samples, config)
        made = {name: values.astype(np.float32) for name, values in made.items()}
        given = made | {"lengths": samples.length_B}
        changed = made | dict(self.logps(step, given) if self.logps else {})
        return {
            name: np.asarray(values, np.float32)
            for name, values in changed.items()
            if values is not None
        }

    def _metrics(
        self,
        step: int,
        rng: np.random.Generator,
        samples: Samples,
        floats: Mapping[str, np.ndarray],
        config: Mapping[str, Any],
    ) -> dict[str, float]:
        lengths_B, seconds = (
            samples.length_B,
            {"rollout": 1.0, "reward": 0.05, "logprobs": 0.5, "update": 1.2},
        )
        timed = {name: base * (1 + 0.1 * rng.random()) for name, base in seconds.items()}
        values = (
            _reward_metrics(samples, self.reward_names)
            | _token_metrics(samples, floats, config)
            | {
                "completion_length": float(lengths_B.mean()),
                "completion_length_max": float(lengths_B.max()),
                "sequences": float(len(lengths_B)),
                "truncated_share": float(samples.truncated_B.mean()),
                "tokens": float(lengths_B.sum()),
                "loss": float(rng.normal(0, 0.01)),
                "grad_norm": float(0.5 * np.exp(rng.normal(0, 0.25))),
                "learning_rate": float(config["learning_rate"]),
                "updates": float(config["updates_per_rollout"] * config["num_iterations"]),
            }
            | {f"seconds/{name}": s for name, s in timed.items()}
            | {"seconds/step": sum(timed.values())}
        )
        given = {name: _at(column, step) for name, column in (self.metrics or {}).items()}
        return {name: value for name, value in (values | given).items() if value is not None}


def evaluation_of(correct: int, n: int, *, step: int = 0, split: str = "held_out") -> Evaluation:
    """An evaluation with its 95 % Wilson interval."""
    p, z = correct / n, 1.959964
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    kinds = {"add": [correct // 2, n // 2], "carry": [correct - correct // 2, n - n // 2]}
    return Evaluation(
        split,
        n,
        correct,
        max(low, 0.0),
        min(high, 1.0),
        {"by_kind": kinds},
        START + step * SECONDS_PER_STEP,
    )


def _at(column: Column, step: int) -> float | None:
    if callable(column):
        return column(step)
    return column[step - 1] if isinstance(column, Sequence | np.ndarray) else column


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without numpy's warning on groups where nothing is scored: their NaN is meant."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Mean of empty slice|Degrees of freedom|All-NaN", RuntimeWarning
            )
            return function(*args)

    return call


@_quiet
def _advantages(
    rewards_BK: np.ndarray, group: int, config: Mapping[str, Any]
) -> tuple[np.ndarray, ...]:
    """Total reward, baseline, advantage (group mean; group std with G-1, or none), dead groups."""
    weights = config.get("reward_weights") or [1.0] * rewards_BK.shape[1]
    reward_NG = np.where(
        np.isnan(rewards_BK).all(1), np.nan, np.nansum(rewards_BK * weights, axis=1)
    ).reshape(-1, group)
    mean_N1 = np.nanmean(reward_NG, axis=1, keepdims=True)
    std_N1 = np.nanstd(
        reward_NG, axis=1, keepdims=True, ddof=0 if config["advantage_std"] == "population" else 1
    )
    dead_N = np.nanmax(reward_NG, axis=1) - np.nanmin(reward_NG, axis=1) < 1e-9
    centred_NG = np.nan_to_num(reward_NG - mean_N1)
    scaled_NG = centred_NG if config["scale_rewards"] == "none" else centred_NG / (std_N1 + 1e-4)
    advantage_NG = np.where(dead_N[:, None], 0.0, scaled_NG)
    return reward_NG.ravel(), np.repeat(mean_N1, group), advantage_NG.ravel(), dead_N


def _ids(
    rng: np.random.Generator, lengths_B: np.ndarray, truncated_B: np.ndarray, samples: Samples
) -> np.ndarray:
    """The flat ids: thinking words, then the answer's last digit, right where the last reward
    function paid, then <|end|>.

    Where the first of two functions paid nothing, </think> is missing.
    """
    formed_B, right_B = (np.nan_to_num(samples.rewards_BK[:, k]) > 0 for k in (0, -1))
    rows = []
    for row, (length, truncated, formed, right) in enumerate(
        zip(lengths_B, truncated_B, formed_B, right_B, strict=True)
    ):
        words = rng.integers(WORD, len(PIECES), length)
        if length >= FRAME:
            gold = int(samples.gold_answers[row // samples.num_generations] or 0) % 10
            digit = DIGIT + (gold if right else (gold + 1) % 10)
            closing = THINK_END if formed or right else WORD
            words = np.concatenate(
                [[THINK], words[: length - FRAME], [closing, ANSWER, digit, ANSWER_END, END]]
            )
        if truncated:
            words[-FRAME + 1 :] = WORD
        elif length:
            words[-1] = END
        rows.append(words)
    return np.concatenate(rows).astype(np.int32)


def _texts(ids: np.ndarray, lengths_B: np.ndarray) -> list[str]:
    rows = np.split(ids, np.cumsum(lengths_B)[:-1])
    return ["".join(PIECES[i] for i in row if i != END) for row in rows]


def _coefficients(
    floats: Mapping[str, np.ndarray], samples: Samples, config: Mapping[str, Any]
) -> np.ndarray:
    """Minus the derivative of the DAPO loss with k3 at each token's log-probability."""
    advantage = np.repeat(np.nan_to_num(samples.advantage_B), samples.length_B)
    ratio = np.exp(floats["logp"] - floats["old_logp"])
    high = config["epsilon"] if config["epsilon_high"] is None else config["epsilon_high"]
    clipped = np.where(advantage > 0, ratio > 1 + high, ratio < 1 - config["epsilon"])
    pull = 0.0
    if "ref_logp" in floats:
        pull = config["beta"] * ratio * (floats["ref_logp"] - floats["logp"])
    tokens = max(len(advantage), 1) / config["updates_per_rollout"]
    return (np.where(clipped, 0.0, advantage * ratio) + pull) / tokens


@_quiet
def _reward_metrics(samples: Samples, names: Sequence[str]) -> dict[str, float]:
    reward_NG = samples.reward_B.reshape(-1, samples.num_generations)
    by_function = {
        f"rewards/{n}": float(np.nanmean(column))
        for n, column in zip(names, samples.rewards_BK.T, strict=True)
    }
    return {
        "reward": float(np.nanmean(reward_NG)),
        "reward_std": float(np.nanstd(reward_NG, axis=1, ddof=1).mean()),
        "dead_group_share": float(samples.dead_N.mean()),
    } | by_function


def _token_metrics(
    samples: Samples, floats: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> dict[str, float]:
    """What follows from the log-probabilities that are there."""
    advantage = np.repeat(samples.advantage_B, samples.length_B)
    found: dict[str, float] = {}
    if "old_logp" in floats and "logp" in floats:
        ratio = np.exp(floats["logp"].astype(float) - floats["old_logp"])
        high = config["epsilon"] if config["epsilon_high"] is None else config["epsilon_high"]
        low_share = float(((ratio < 1 - config["epsilon"]) & (advantage < 0)).mean())
        high_share = float(((ratio > 1 + high) & (advantage > 0)).mean())
        found |= {
            "ratio_mean": ratio.mean(),
            "ratio_min": ratio.min(),
            "ratio_max": ratio.max(),
            "clip_ratio_low": low_share,
            "clip_ratio_high": high_share,
            "clip_ratio_region": low_share + high_share,
            "policy_weight": 1.0,
        }
    if {"ref_logp", "old_logp", "logp"} <= set(floats):
        difference = floats["ref_logp"].astype(float) - floats["logp"]
        ratio = np.exp(floats["logp"].astype(float) - floats["old_logp"])
        weight = ratio if config.get("use_bias_correction_kl") else 1.0
        found["kl"] = (weight * (np.exp(difference) - difference - 1)).mean()
    if "entropy" in floats:
        found["entropy"] = floats["entropy"].mean()
    if "sampler_logp" in floats and "old_logp" in floats:
        gap = floats["old_logp"].astype(float) - floats["sampler_logp"]
        found |= {
            "sampler_logp_difference": abs(gap).mean(),
            "sampler_logp_difference_max": abs(gap).max(),
            "sampler_ratio_mean": np.exp(gap).mean(),
            "sampler_ratio_max": np.exp(gap).max(),
        }
    return {name: float(value) for name, value in found.items()}
