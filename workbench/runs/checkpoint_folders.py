"""Where a run's checkpoints lie, and which there are: what needs no torch to be known."""

from __future__ import annotations

from pathlib import Path


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint after `step` lies."""
    return root / f"step-{step:06d}"


def steps_in(root: Path) -> list[int]:
    """The steps that have a checkpoint folder, ascending; unfinished ones do not count."""
    names = [p.name.removeprefix("step-") for p in root.glob("step-*") if p.is_dir()]
    return sorted(int(n) for n in names if n.isdigit())
