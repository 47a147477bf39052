"""Where a run's checkpoints lie, which there are, and whether one is whole: what needs no torch to
be known."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.whole_folder import whole_folder, why_not_written

MARK = "recorded"
"""In the state of a checkpoint: the mark that the record has of its step (`RunWriter.mark_of`)."""

FACTS = "run"
"""In the state of a checkpoint: a copy of the facts of the run (`RunWriter.lasting_facts`), for the
record may lose them."""


class CheckpointError(WorkbenchError, RuntimeError):
    """A checkpoint that cannot be used: names the folder and what is wrong with it."""


class SaveError(CheckpointError):
    """A checkpoint that could not be written: the disk is full, or writing is forbidden there."""


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint after `step` lies."""
    return root / f"step-{step:06d}"


def steps_in(root: Path) -> list[int]:
    """The steps that have a checkpoint folder, ascending; unfinished ones do not count."""
    names = [p.name.removeprefix("step-") for p in root.glob("step-*") if p.is_dir()]
    return sorted(int(n) for n in names if n.isdigit())


def whole_files(root: Path, step: int) -> list[str]:
    """The files of the checkpoint after `step`. Raises `CheckpointError` when one is missing, cut
    short or altered."""
    folder = folder_of(root, step)
    manifest = _manifest(folder, step)
    for name, digest in manifest.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"checkpoint {folder}: {name} is missing.")
        if sha256(folder / name) != digest:
            raise CheckpointError(
                f"checkpoint {folder}: {name} is damaged, its SHA-256 is not that of the manifest."
            )
    return list(manifest)


def state_of(root: Path, step: int) -> dict[str, Any]:
    """The plain values of a checkpoint. Raises `CheckpointError`."""
    return _json_object(folder_of(root, step) / "state.json")


def check_mark(root: Path, step: int, state: dict[str, Any], mark: str | None) -> None:
    """Raises `CheckpointError` where the checkpoint after `step` was made after another making of
    that step than the one that the record has, whose `mark` is given: one of the two is an older
    copy, or of another run. Older checkpoints have no mark, older records none to give."""
    own = state.get(MARK)
    if own is not None and own != mark:
        said = "is not there" if mark is None else "is not the one that it was saved after"
        raise CheckpointError(
            f"checkpoint {folder_of(root, step)} does not belong to this record, whose step {step} "
            f"{said}. One of the two is an older copy, or of another run. Put back the one that "
            "belongs to the other; or save what fits together: workbench repair "
            f"{shlex.quote(str(root.parent))}"
        )


def copy(source: Path, target: Path, step: int) -> None:
    """Copy the checkpoint after `step` from one folder of checkpoints to another, whole or not at
    all. Raises `SaveError` where there is no room or no permission."""
    folder = folder_of(source, step)
    try:
        with whole_folder(folder_of(target, step)) as draft:
            shutil.copytree(folder, draft, dirs_exist_ok=True)
    except OSError as error:
        size = sum(file.stat().st_size for file in folder.glob("*"))
        reason = why_not_written(error, target, size)
        raise SaveError(f"{reason}: the checkpoint {folder} was not copied there.") from error


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _manifest(folder: Path, step: int) -> dict[str, str]:
    """SHA-256 of each file by its name, as a checkpoint is saved. Raises `CheckpointError`."""
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
