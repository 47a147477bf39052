"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `step-000050` with tensors in safetensors files and the rest in
`state.json`; nothing is pickled. `manifest.json` holds the SHA-256 of every file. It appears whole
(`workbench.runs.whole_folder`), so a folder with the right name is whole unless the disk harmed it,
and then the hashes tell. Checkpoints are made between steps only, so there is no rollout buffer to
save: each rollout batch is used up inside its step.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.runs.checkpoint_folders import FACTS as FACTS
from workbench.runs.checkpoint_folders import MARK as MARK
from workbench.runs.checkpoint_folders import CheckpointError as CheckpointError
from workbench.runs.checkpoint_folders import SaveError as SaveError
from workbench.runs.checkpoint_folders import check_mark as check_mark
from workbench.runs.checkpoint_folders import copy as copy
from workbench.runs.checkpoint_folders import folder_of as folder_of
from workbench.runs.checkpoint_folders import sha256, state_of, whole_files
from workbench.runs.checkpoint_folders import steps_in as steps_in
from workbench.runs.whole_folder import (
    clear_leftovers,
    delete_folder,
    whole_folder,
    why_not_written,
)

TensorFiles = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after `step`: tensors by file name, and plain values."""

    step: int
    tensors: TensorFiles
    state: dict[str, Any]


def save(
    root: Path, checkpoint: Checkpoint, before_it_stands: Callable[[], None] = lambda: None
) -> Path:
    """Write the checkpoint atomically; returns its folder. One that exists for the step is
    replaced.

    `before_it_stands` is called when all is written, and may still refuse by raising. Raises
    `SaveError` where there is no room or no permission; nothing is left of the attempt then.
    """
    final = folder_of(root, checkpoint.step)
    with _as_save_error(root, checkpoint), whole_folder(final, before_it_stands) as draft:
        for name, tensors in checkpoint.tensors.items():
            # safetensors takes contiguous tensors only.
            contiguous = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            save_file(contiguous, draft / f"{name}.safetensors")
        (draft / "state.json").write_text(json.dumps(checkpoint.state))
        # When all other files are there, since it holds the hash of each.
        hashes = {path.name: sha256(path) for path in sorted(draft.iterdir())}
        manifest = {"step": checkpoint.step, "sha256": hashes}
        (draft / "manifest.json").write_text(json.dumps(manifest))
    return final


@contextmanager
def _as_save_error(root: Path, checkpoint: Checkpoint) -> Iterator[None]:
    """Turns what the disk refuses into a `SaveError` that says what is whole all the same."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        tensors = [t for file in checkpoint.tensors.values() for t in file.values()]
        reason = why_not_written(error, root, sum(tensor.nbytes for tensor in tensors))
        newest = max(steps_in(root), default=None)
        there = "none is there" if newest is None else f"the newest there is that of step {newest}"
        raise SaveError(
            f"{reason}: the checkpoint of step {checkpoint.step} was not written, {there}. The "
            f"run is whole up to step {checkpoint.step}. Make room there and go on, or write the "
            "run to another disk: save_copy(FOLDER) of its session or trainer."
        ) from error


def load(root: Path, step: int) -> Checkpoint:
    """Read the checkpoint after `step`. Raises `CheckpointError` when a file is missing, cut short
    or altered."""
    folder = folder_of(root, step)
    # Before anything is loaded: a damaged file must not reach the model.
    names = whole_files(root, step)
    try:
        files = [name for name in names if name.endswith(".safetensors")]
        tensors = {Path(name).stem: load_file(folder / name) for name in files}
    except SafetensorError as e:
        raise CheckpointError(f"checkpoint {folder}: its tensors cannot be read ({e}).") from e
    return Checkpoint(step, tensors, state_of(root, step))


def load_latest(root: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None when there is none; every damaged one is named
    in a warning."""
    clear_leftovers(root)
    for step in reversed(steps_in(root)):
        try:
            return load(root, step)
        except CheckpointError as e:
            warnings.warn(f"{e} The one before it is used.", stacklevel=2)
    return None


def prune(root: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints and the first, which holds the reference's
    weights."""
    for step in steps_in(root)[:-keep]:
        if step > 0:
            _delete(folder_of(root, step))


def drop_after(root: Path, step: int) -> None:
    """Delete the checkpoints of later steps: they are damaged, or of a future that will not come
    again."""
    for later in steps_in(root):
        if later > step:
            _delete(folder_of(root, later))


def _delete(folder: Path) -> None:
    try:
        delete_folder(folder)
    except OSError as error:
        raise SaveError(
            f"the checkpoint {folder} is no longer needed and could not be deleted "
            f"({error.strerror}). Allow writing in {folder.parent}, or delete it by hand."
        ) from error
