"""The mass of a step as arrays, and as a file beside the record: `RUN/mass/step-NUMBER.npz`. Needs
no torch and no model."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from workbench.influence.files import MOST_BYTES, fingerprint
from workbench.influence.result import InfluenceError, InfluenceWarning
from workbench.runs import Run

FOLDER = "mass"
FORMAT = 1
ARRAYS = ("lengths_B", "logp_UK", "likely_ids_SKA", "likely_logp_SKA")


@dataclass(frozen=True)
class Mass:
    """See `workbench.influence.mass`, which also says what the suffixes mean."""

    step: int
    num_generations: int
    temperature: float
    lengths_B: np.ndarray
    """int32: tokens of each completion."""
    logp_UK: np.ndarray
    """float64, nats: of each token before the step and after each of its updates."""
    likely_ids_SKA: np.ndarray
    """int32: the likeliest tokens at each place, the likeliest first, before and after."""
    likely_logp_SKA: np.ndarray
    """float32, nats."""
    texts: dict[int, str]
    """The text of each of those tokens."""

    @property
    def updates(self) -> int:
        """How many updates the step had."""
        return len(self.logp_UK) - 1

    @cached_property
    def starts_B(self) -> np.ndarray:
        """Where in K each completion begins."""
        starts_B: np.ndarray = np.cumsum(self.lengths_B) - self.lengths_B
        return starts_B

    @cached_property
    def logp_UB(self) -> np.ndarray:
        """float64, nats: of each completion as a whole."""
        ends_B = np.cumsum(self.lengths_B)
        total = np.concatenate(
            [np.zeros((len(self.logp_UK), 1)), np.cumsum(self.logp_UK, axis=1)], axis=1
        )
        logp_UB: np.ndarray = total[:, ends_B] - total[:, self.starts_B]
        return logp_UB

    def tokens_of(self, row: int) -> slice:
        """Where in K the tokens of a completion stand."""
        start = int(self.starts_B[row])
        return slice(start, start + int(self.lengths_B[row]))


def place_of_mass(run: Run, step: int) -> Path:
    """Where the mass of a step is kept."""
    return run.path.parent / FOLDER / f"step-{step:06d}.npz"


def keep_mass(found: Mass, run: Run, step_digest: str) -> None:
    """Write it beside the record, whole or not at all; where that cannot be, a warning says so."""
    path = place_of_mass(run, found.step)
    facts = {
        "format": FORMAT,
        "step_digest": step_digest,
        "step": found.step,
        "num_generations": found.num_generations,
        "temperature": found.temperature,
        "texts": {str(i): text for i, text in found.texts.items()},
    }
    arrays = {name: getattr(found, name) for name in ARRAYS}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first, so that a reader never finds half of it.
        draft = path.with_name(f".writing-{os.getpid()}-{path.name}")
        try:
            np.savez_compressed(draft, facts=np.array(json.dumps(facts)), **arrays)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        # The result is there all the same: it took long, and the caller has it.
        warnings.warn(
            f"the mass of step {found.step} could not be kept in {path.parent} "
            f"({error.strerror}); it will be computed again the next time.",
            InfluenceWarning,
            stacklevel=3,
        )


def stored_mass(run: Run | str | Path, step: int) -> Mass | None:
    """What was computed before for this making of the step; None where nothing was. Raises
    `InfluenceError` for a file that is none of ours."""
    record = run if isinstance(run, Run) else Run.open(run)
    path = place_of_mass(record, step)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        digest, found = _read(path)
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise InfluenceError(
            f"{path} is no stored mass of a step ({error}). Delete it, and compute it again."
        ) from error
    return found if digest == fingerprint(record.batch(step)) else None


def _read(path: Path) -> tuple[str, Mass]:
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        arrays = {name: file[name] for name in ARRAYS}
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    found = Mass(
        step=int(facts["step"]),
        num_generations=int(facts["num_generations"]),
        temperature=float(facts["temperature"]),
        texts={int(i): str(text) for i, text in facts["texts"].items()},
        **arrays,
    )
    tokens = int(found.lengths_B.sum())
    fits = (
        found.logp_UK.ndim == 2
        and found.logp_UK.shape[1] == tokens
        and found.likely_ids_SKA.shape == found.likely_logp_SKA.shape
        and found.likely_ids_SKA.shape[:2] == (2, tokens)
        and found.num_generations >= 1
        and len(found.lengths_B) % found.num_generations == 0
    )
    if not fits:
        raise ValueError("its arrays do not fit together")
    return str(facts["step_digest"]), found
