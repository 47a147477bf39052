"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `step-000050` with tensors in safetensors files and the rest in
`state.json`; nothing is pickled. `manifest.json` holds the SHA-256 of every file. It is written
under another name, flushed to disk and renamed, so a folder with the right name is whole unless the
disk harmed it, and then the hashes tell. One that is replaced or deleted is renamed first too, so a
kill never leaves half of it under its name. Checkpoints are made between steps only, so there is no
rollout buffer to save: each rollout batch is used up inside its step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.errors import WorkbenchError

TensorFiles = dict[str, dict[str, Tensor]]
REPLACED = ".replaced-"


class CheckpointError(WorkbenchError, RuntimeError):
    """A checkpoint that cannot be used: names the folder and what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after `step`: tensors by file name, and plain values."""

    step: int
    tensors: TensorFiles
    state: dict[str, Any]


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint after `step` lies."""
    return root / f"step-{step:06d}"


def draft_of(root: Path, step: int) -> Path:
    """Where it lies while it is being written."""
    return root / f".writing-step-{step:06d}"


def steps_in(root: Path) -> list[int]:
    """The steps that have a checkpoint folder, ascending; unfinished ones do not count."""
    names = [p.name.removeprefix("step-") for p in root.glob("step-*") if p.is_dir()]
    return sorted(int(n) for n in names if n.isdigit())


def save(root: Path, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint atomically; returns its folder. One that exists for the step is
    replaced."""
    final = folder_of(root, checkpoint.step)
    draft = draft_of(root, checkpoint.step)
    # An earlier save may have been killed with the only whole folder moved aside.
    mend(root)
    # Left by a save that was killed.
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, tensors in checkpoint.tensors.items():
        # safetensors takes contiguous tensors only.
        save_file(
            {k: t.detach().contiguous() for k, t in tensors.items()}, draft / f"{name}.safetensors"
        )
    (draft / "state.json").write_text(json.dumps(checkpoint.state))
    # When all other files are there, since it holds the hash of each.
    manifest = {p.name: _sha256(p) for p in sorted(draft.iterdir())}
    (draft / "manifest.json").write_text(json.dumps({"step": checkpoint.step, "sha256": manifest}))
    # On the disk before the rename: else a power cut could leave the name without the content.
    for p in [*draft.iterdir(), draft]:
        _flush(p)
    before = root / f"{REPLACED}{final.name}"
    # A full folder cannot be renamed over. Killed between these two renames, `mend` undoes the
    # first.
    if final.exists():
        os.replace(final, before)
    os.replace(draft, final)
    # The rename itself is written in the folder above.
    _flush(root)
    shutil.rmtree(before, ignore_errors=True)
    return final


def mend(root: Path) -> None:
    """After a kill in the middle of `save`: a checkpoint that was moved aside, and not replaced,
    comes back."""
    for before in root.glob(f"{REPLACED}step-*"):
        final = root / before.name.removeprefix(REPLACED)
        if final.exists():
            shutil.rmtree(before)
        else:
            os.replace(before, final)


def load(root: Path, step: int) -> Checkpoint:
    """Read the checkpoint after `step`. Raises `CheckpointError` when a file is missing, cut short
    or altered."""
    folder = folder_of(root, step)
    manifest = _manifest(folder, step)
    # Before anything is loaded: a damaged file must not reach the model.
    for name, digest in manifest.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"checkpoint {folder}: {name} is missing.")
        if _sha256(folder / name) != digest:
            raise CheckpointError(
                f"checkpoint {folder}: {name} is damaged, its SHA-256 is not that of the manifest."
            )
    try:
        files = [name for name in manifest if name.endswith(".safetensors")]
        tensors = {Path(name).stem: load_file(folder / name) for name in files}
    except SafetensorError as e:
        raise CheckpointError(f"checkpoint {folder}: its tensors cannot be read ({e}).") from e
    return Checkpoint(step, tensors, _json_object(folder / "state.json"))


def _manifest(folder: Path, step: int) -> dict[str, str]:
    """SHA-256 of each file by its name, as `save` writes it. Raises `CheckpointError`."""
    says = _json_object(folder / "manifest.json")
    digests: Any = says.get("sha256")
    # A name with a folder in it would lead out of the checkpoint.
    whole = (
        isinstance(digests, dict)
        and "state.json" in digests
        and all(isinstance(d, str) and Path(n).name == n for n, d in digests.items())
    )
    if says.get("step") != step or not whole:
        raise CheckpointError(
            f"checkpoint {folder}: manifest.json cannot be read (it is not one of step {step})."
        )
    found: dict[str, str] = digests
    return found


def _json_object(file: Path) -> dict[str, Any]:
    """What a JSON file of a checkpoint says. Raises `CheckpointError`."""
    try:
        found = json.loads(file.read_text())
    # A text of brackets alone ends Python's reader by its depth.
    except (OSError, ValueError, RecursionError) as e:
        raise CheckpointError(f"checkpoint {file.parent}: {file.name} cannot be read ({e}).") from e
    if not isinstance(found, dict):
        raise CheckpointError(
            f"checkpoint {file.parent}: {file.name} cannot be read (it holds {found!r:.40})."
        )
    return found


def load_latest(root: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None when there is none; every damaged one is named
    in a warning."""
    mend(root)
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
    # Under another name first: a kill in the middle leaves no half of it under its own.
    doomed = folder.with_name(f".deleting-{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(folder, doomed)
    shutil.rmtree(doomed)


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
