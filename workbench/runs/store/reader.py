"""`Run`: reading a run record, live or stored, as pandas frames and numpy arrays. Needs no torch
and never writes.

Each call opens the file, reads one consistent state and closes it again, so that a `Run` may be
used from any thread, holds nothing open, and sees each new step of a live run.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from workbench.runs.step_record import RESERVED
from workbench.runs.store import queries
from workbench.runs.store.arrays import pad, prefix_mask
from workbench.runs.store.best_paid import best_paid
from workbench.runs.store.checked import fact_of
from workbench.runs.store.files import RunRecordError, RunWarning, read, record_path
from workbench.runs.store.queries import RunMeta
from workbench.runs.store.rows import last_step

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

KEPT = {
    "steps": "SELECT step FROM steps ORDER BY step",
    "samples": "SELECT DISTINCT step FROM groups ORDER BY step",
    "tokens": "SELECT step FROM arrays WHERE name = 'ids' AND step IN (SELECT step FROM groups) "
    "ORDER BY step",
}
"""What may be kept of a step -> the steps that have it."""


class Run:
    """A record that `Run.open` found. Steps count from 1; step 0 is what came before the first."""

    path: Path
    """The .sqlite file."""

    def __init__(self, *_: object) -> None:
        raise TypeError("a record is opened with Run.open(path), not with Run(path).")

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The record at `path`, a run's folder or its .sqlite file.

        Raises `RunNotFoundError` when there is none, `RunRecordError` when the file is something
        else, damaged, or of a newer format.
        """
        run = cls.__new__(cls)
        run.path = record_path(path)
        run._read(lambda db: None)
        return run

    def __repr__(self) -> str:
        meta, last = self._read(lambda db: (queries.meta(db), last_step(db)))
        return (
            f"Run({meta.name!r}, {meta.status}, {last} steps, policy={meta.policy!r}, "
            f"task={meta.task!r})"
        )

    @property
    def meta(self) -> RunMeta:
        """The facts of the run; the status is that of this moment."""
        return self._read(queries.meta)

    @property
    def config(self) -> dict[str, Any]:
        """The settings that the run began with, as `GRPOConfig.to_dict` gave them."""
        return self.meta.config

    def config_at(self, step: int) -> dict[str, Any]:
        """The settings in force at `step`: those of the start with the knob changes up to there."""
        return self._read(lambda db: queries.config_at(db, step))

    def last_step(self) -> int:
        """The last step recorded; 0 when there is none."""
        return self._read(last_step)

    def kept_steps(self, of: str = "tokens") -> list[int]:
        """The steps of which something was kept, ascending: "samples" (completions), "tokens"
        (`batch` has them), or "steps" (all). Raises ValueError for another word."""
        if of not in KEPT:
            raise ValueError(f"kept_steps({of!r}): choose one of {', '.join(map(repr, KEPT))}.")
        return self._read(lambda db: [int(step) for (step,) in db.execute(KEPT[of])])

    def position(self) -> tuple[int, int]:
        """(revision, last step): cheap to poll. A new revision says that the record was cut back:
        read it all again."""
        return self._read(lambda db: (fact_of(db, "revision"), last_step(db)))

    def is_live(self) -> bool:
        """True while the process that writes this run is there; on another machine: has written in
        ten minutes."""
        return self.meta.status == "running"

    def steps(self, since: int = 0, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The steps after `since`, a row each: step, time and each metric (or those of `columns`),
        NaN where absent. A damaged step is NaN throughout; `attrs["damaged"]` of the frame, as of
        the other tables, says what is wrong with it, and a `RunWarning` names the first."""
        return self._marked(lambda db: queries.steps(db, since, columns))

    def knobs(self) -> pd.DataFrame:
        """The knob changes: step (the first with the new value), name, old, new, who, time."""
        return self._marked(lambda db: queries.table(db, "knobs"))

    def evaluations(self) -> pd.DataFrame:
        """The evaluations: step, split, n, correct, accuracy with its interval [low, high], extra,
        time."""
        return self._marked(lambda db: queries.table(db, "evaluations"))

    def sampled_evaluations(self) -> pd.DataFrame:
        """The evaluations with samples, a row for each figure: step, split, judge ('strict',
        'lenient'), grouping ('all', 'kind', 'subject', 'level'), label, figure ('greedy', 'mean@8',
        'maj@4', 'pass@8' …), value with its interval [low, high], n, asked, time. Empty where none
        was made."""
        return self._marked(lambda db: queries.table(db, "sampled_evaluations"))

    def sampled_answers(self, step: int | None = None) -> pd.DataFrame:
        """What those evaluations (or that of `step`) were counted from, a row for each problem:
        step, split, problem, question, answer (gold), kind, greedy, samples (a list), subject,
        level."""
        return self._marked(lambda db: queries.table(db, "sampled_answers", step))

    def events(self) -> pd.DataFrame:
        """The events: step, time, kind, text, data."""
        return self._marked(lambda db: queries.table(db, "events"))

    def samples(self, step: int) -> pd.DataFrame:
        """The completions of a step, a row each: step, row, group, problem_id, prompt, gold_answer,
        completion, reward, advantage, baseline, length, truncated, dead, and `rewards/<name>` per
        reward function (NaN = not scored).

        Empty when the step's samples were not kept. Raises `RunRecordError` for a step that is not
        there.
        """
        return self._frame(lambda db: self._samples(db, step))

    def problem(self, problem_id: str) -> pd.DataFrame:
        """All completions that one problem ever got, as `samples` gives them."""
        return self._marked(lambda db: queries.problem(db, problem_id))

    def best_paid(
        self,
        step: int | None = None,
        count: int = 10,
        by: str | None = None,
        ties: str = "most often",
    ) -> pd.DataFrame:
        """The `count` best-paid distinct completions up to `step` (None = the last), the best
        first: each as `samples` gives it, where it was first paid so much, and beside it how often
        it came (`times`), to how many `problems`, how many different gold answers it was paid so
        much for (`golds`), and what it was paid on average (`mean_pay`). Where a reward is hacked,
        the hack stands among them.

        Ranked by the reward function `by` (None = the total); `ties` says which of equally paid
        ones come first: "most often", "shortest", "longest" or "newest". Steps that are damaged
        are passed over and named, as by `steps`. Raises `RunRecordError`.
        """
        last = self.last_step() if step is None else step
        return self._marked(lambda db: best_paid(db, last, count, by, ties))

    def groups(self, step: int) -> pd.DataFrame:
        """The groups of a step, a row each: group, problem_id, prompt, gold_answer, n, mean, std,
        min and max of the reward, dead, truncated (share), length (mean). The std is the one that
        the run divides by (`advantage_std`)."""
        samples = self.samples(step)
        config = self.config_at(step)
        by = samples.groupby("group", sort=True)
        ddof = 0 if config.get("advantage_std") == "population" else 1
        frame = (
            by[["problem_id", "prompt", "gold_answer", "dead"]]
            .first()
            .assign(
                n=by["reward"].size(),
                mean=by["reward"].mean(),
                std=by["reward"].std(ddof=ddof),
                min=by["reward"].min(),
                max=by["reward"].max(),
                truncated=by["truncated"].mean(),
                length=by["length"].mean(),
            )
        )
        return frame.reset_index()

    def tokens(self, step: int, row: int | None = None) -> pd.DataFrame:
        """The sampled tokens of a step, or of one completion: row, position, id, piece (its text,
        None where unknown) and a column per recorded array (`old_logp`, `logp`, …). Empty when not
        kept. Raises `RunRecordError`."""
        return self._frame(lambda db: queries.tokens(db, step, row))

    def token_arrays(self, step: int) -> dict[str, np.ndarray]:
        """The token arrays of a step as they are kept, without its texts: `lengths` of the
        completions, `ids`, and each recorded float array, rows one after another. Empty when not
        kept. Raises `RunRecordError`."""
        return self._read(lambda db: queries.arrays(db, int(step)))

    def batch(self, step: int) -> dict[str, Any]:
        """The kept batch of a step as padded numpy arrays, ready for a what-if without a model.

        ids_BT (int32), mask_BT (bool, every sampled token), `<name>_BT` (float32, 0 on padding) per
        recorded array, rewards_BK, reward_B, advantages_B, baseline_B (float64, NaN = not scored),
        truncated_B, lengths_B, num_generations, reward_names, and `config`: the settings in force
        at that step. Raises `RunRecordError` when the step is not there or its samples or tokens
        were not kept.
        """
        flat, samples, meta, config = self._read(
            lambda db: (
                queries.arrays(db, step),
                self._samples(db, step),
                queries.meta(db),
                queries.config_at(db, step),
            )
        )
        if not flat or not len(samples["row"]):
            raise RunRecordError(
                f"step {step} of {meta.name!r}: its {'samples' if flat else 'tokens'} were not "
                "kept."
            )
        lengths_B = flat["lengths"]
        return {
            "ids_BT": pad(flat["ids"], lengths_B),
            "mask_BT": prefix_mask(lengths_B),
            "lengths_B": lengths_B,
            **{f"{name}_BT": pad(flat[name], lengths_B) for name in flat if name not in RESERVED},
            "rewards_BK": np.array([samples[f"rewards/{n}"] for n in meta.reward_names])
            .reshape(-1, len(lengths_B))
            .T,
            "reward_B": samples["reward"],
            "advantages_B": samples["advantage"],
            "baseline_B": samples["baseline"],
            "truncated_B": samples["truncated"],
            "num_generations": int((samples["group"] == 0).sum()),
            "reward_names": meta.reward_names,
            "config": config,
        }

    def vocab(self) -> dict[int, str]:
        """The text of every token id that occurred, where the writer could tell it."""
        return self._read(lambda db: queries.vocab(db)[0])

    def damage(self) -> list[str]:
        """All that is damaged in the record, a sentence each; empty for one that is whole. Reads
        all of it."""
        return self._read(queries.damage)

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return read(self.path, query)

    def _frame(self, query: Callable[[sqlite3.Connection], queries.Columns]) -> pd.DataFrame:
        return _frame_of(self._read(query))

    def _marked(self, query: Callable[[sqlite3.Connection], queries.Marked]) -> pd.DataFrame:
        """The frame, with what is damaged in it."""
        columns, damaged = self._read(query)
        frame = _frame_of(columns)
        if damaged:
            frame.attrs["damaged"] = damaged
            first, *others = damaged.values()
            more = f" So are {len(others)} steps more." if others else ""
            warnings.warn(f"{self.path} {first}{more}", RunWarning, stacklevel=3)
        return frame

    def _samples(self, db: sqlite3.Connection, step: int) -> queries.Columns:
        queries.require_step(db, step)
        return queries.samples(db, int(step))


def _frame_of(columns: queries.Columns) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()}
    )
