"""Is what stands there what the undisturbed run left, to the last bit?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trust.lives import STEPS, End

from workbench.errors import WorkbenchError
from workbench.runs import Run
from workbench.runs.integrity.exact import compare_exactly
from workbench.training import checkpoints

LEFTOVERS = (".writing-", ".replaced-", ".deleting-", ".run.sqlite")


def digests(folder: Path, files: Iterable[Path] | None = None) -> dict[str, str]:
    """SHA-256 of the files below a folder, by name."""
    found = folder.rglob("*") if files is None else files
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(found)
        if path.is_file()
    }


@dataclass(frozen=True)
class Undisturbed:
    """The run as it is when nothing befalls it."""

    run: Path

    def differs(self, other: Path, tidy: bool = True) -> str:
        """What of a run is not as in this one, "" where all is: record, last checkpoint, adapter,
        policy; and, where it has to be `tidy`, that nothing else lies about."""
        try:
            found = compare_exactly(self.run, other)
            if found.first is not None:
                return f"the records part at {found.first}"
            if damage := Run.open(other).damage():
                return f"the record {damage[0]}"
            checkpoints.load(other / "checkpoints", STEPS)
        except WorkbenchError as error:
            return f"{type(error).__name__}: {error}"
        for part in ("adapter", "policy"):
            if digests(self.run / part) != digests(other / part):
                return f"{part} is another"
        if self.weights() != self.weights(other):
            return "the last checkpoint has other tensors"
        left = leftovers(other) if tidy else []
        return f"{left} lie about" if left else ""

    def weights(self, other: Path | None = None) -> dict[str, str]:
        """Digests of the tensors of the last checkpoint."""
        folder = checkpoints.folder_of((other or self.run) / "checkpoints", STEPS)
        return digests(folder, folder.glob("*.safetensors"))


def leftovers(run: Path) -> list[str]:
    """What a writer that was broken off has left."""
    return [
        str(path.relative_to(run)) for path in run.rglob(".*") if path.name.startswith(LEFTOVERS)
    ]


def told_badly(end: End) -> str:
    """What is wrong with how a life that was not killed ended, "" where nothing is: one clear
    error, or none."""
    if end.killed:
        return ""
    if end.code == 71:
        return "it hung"
    if "Traceback" in end.said:
        return f"a traceback: {end.said[-600:]}"
    if end.code == 0 and not end.errors:
        return ""
    if end.code != 2 or len(end.errors) != 1:
        return f"exit status {end.code} and {len(end.errors)} errors: {end.said[-300:]}"
    return ""
