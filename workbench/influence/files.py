"""Results beside the record, in `RUN/influence/`: a JSON file each, written whole or not at all.

What a file says belongs to one making of a step. After a rewind the same step may be another one,
so each file has the digest of the step's tokens and coefficients, and is passed over where the
record's differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from workbench.influence.result import OPTIMIZERS, Influence, InfluenceError
from workbench.runs import Run

FOLDER = "influence"
FORMAT = 1
MOST_BYTES = 64 * 2**20
"""A file beyond this is none of ours."""

INTEGERS = ("source_S", "target_M", "position_M")


@dataclass(frozen=True)
class Question:
    """What was asked of a step."""

    step: int

    rows: tuple[int, ...] | None = None
    """The completions; None = those that moved most."""

    tokens: bool = False
    """Their tokens that moved most, in place of the completions themselves."""

    count: int = 8
    """How many, where they are chosen by how far they moved."""

    optimizer: str = "run"
    path_points: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise InfluenceError(
                f"optimizer={self.optimizer!r}: choose one of {', '.join(map(repr, OPTIMIZERS))}."
            )
        for name, lowest in (("step", 1), ("count", 1), ("path_points", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise InfluenceError(
                    f"{name}={value!r}: it must be a whole number from {lowest} on."
                )

    @property
    def file_name(self) -> str:
        """The same question has the same name, another one another."""
        asked = json.dumps([self.rows, self.tokens, self.count, self.optimizer, self.path_points])
        digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
        kind = "tokens" if self.tokens else "completions"
        return f"step-{self.step:06d}-{kind}-{self.optimizer}-{digest}.json"


def fingerprint(batch: Mapping[str, Any]) -> str:
    """Tells one making of a step from another, by its tokens, advantages and coefficients as
    `Run.batch` gives them."""
    digest = hashlib.sha256()
    for name in ("ids_BT", "lengths_B", "advantages_B", "coefficient_BT"):
        if name in batch:
            digest.update(np.ascontiguousarray(batch[name]).tobytes())
    return digest.hexdigest()


def place_of(run: Run, question: Question) -> Path:
    """Where the answer to a question is kept."""
    return run.path.parent / FOLDER / question.file_name


def save(result: Influence, path: Path, step_digest: str) -> None:
    """Write it; a file of that name is replaced. Raises OSError."""
    values: dict[str, Any] = {"format": FORMAT, "step_digest": step_digest}
    for field in fields(result):
        value = getattr(result, field.name)
        values[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first, so that a reader never finds half of it.
    draft = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        draft.write_text(json.dumps(values), encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def load(path: Path, step_digest: str | None = None) -> Influence | None:
    """The result in a file; None where it is of another making of the step. Raises
    `InfluenceError` for a file that is none of ours."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        made_of = values.pop("step_digest", None)
        result = _result_of(values)
    # A text of brackets alone ends Python's reader by its depth.
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InfluenceError(
            f"{path} is no stored influence ({error}). Delete it, and compute it again."
        ) from error
    return result if step_digest in (None, made_of) else None


def _result_of(values: Mapping[str, Any]) -> Influence:
    made: dict[str, Any] = {}
    for field in fields(Influence):
        value = values[field.name]
        if field.type == "np.ndarray":
            made[field.name] = np.array(value, np.int64 if field.name in INTEGERS else np.float64)
        elif field.type == "str":
            made[field.name] = str(value)
        else:
            made[field.name] = float(value) if field.type == "float" else int(value)
    S = len(made["source_S"])
    M = len(made["target_M"])
    made["influence_SM"] = made["influence_SM"].reshape(S, M)
    sizes = {"S": S, "M": M, "B": len(made["moved_B"])}
    for name, value in made.items():
        suffix = name.rsplit("_", 1)[-1]
        if suffix in sizes and value.shape != (sizes[suffix],):
            raise ValueError(f"{name} has shape {value.shape}")
    rows = np.concatenate([made["source_S"], made["target_M"]])
    if made["num_generations"] < 1 or not ((rows >= 0) & (rows < sizes["B"])).all():
        raise ValueError("it names completions that the step does not have")
    if made["optimizer"] not in OPTIMIZERS:
        raise ValueError(f"optimizer {made['optimizer']!r:.40}")
    return Influence(**made)


def stored_influence(run: Run | str | Path, question: Question) -> Influence | None:
    """What was computed before for this question and this making of the step; None where nothing
    was. Needs no torch and no model."""
    record = run if isinstance(run, Run) else Run.open(run)
    path = place_of(record, question)
    if not path.is_file():
        return None
    return load(path, fingerprint(record.batch(question.step)))


def has_checkpoint_before(run: Run, step: int) -> bool:
    """Whether the run's folder has a checkpoint from before this step. Asked by pages, which do
    without torch."""
    folders = (run.path.parent / "checkpoints").glob("step-*")
    numbers = [folder.name.removeprefix("step-") for folder in folders if folder.is_dir()]
    return any(number.isdecimal() and int(number) < step for number in numbers)


def rows_of(completion: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """The completions that are asked about, in one form."""
    if completion is None:
        return None
    if isinstance(completion, (int, np.integer)):
        return (int(completion),)
    return tuple(int(row) for row in completion)
