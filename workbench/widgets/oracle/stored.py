"""Stored results: trees, worlds and turned gradients, on disk and as they ship with the package.

They open without a policy and without computing anything anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.widgets.oracle.snapshots import Snapshots
from workbench.widgets.oracle.turning import Row
from workbench.widgets.oracle.world import (
    StoredResultError,
    World,
    load_arrays,
    save_arrays,
    world_as_parts,
    world_of_parts,
)


def shipped(name: str) -> Path:
    """Where a stored result of the package lies."""
    return Path(str(files("workbench.assets.oracle").joinpath(name)))


def save_trees(path: str | Path, trees: Sequence[Snapshots]) -> None:
    """The completions of some prompts, in one file."""
    parts: dict[str, Any] = {"trees": len(trees)}
    for i, tree in enumerate(trees):
        plain = {
            "question": tree.question,
            "answer": tree.answer,
            "moments": list(tree.moments),
            "pieces": [list(pieces) for pieces in tree.pieces],
            "ids": [list(ids) for ids in tree.ids],
        }
        parts |= {f"{i}/plain": plain, f"{i}/reward_C": tree.reward_C}
        parts[f"{i}/probability_SC"] = tree.probability_SC
    save_arrays(Path(path), parts)


def load_trees(path: str | Path | None = None) -> list[Snapshots]:
    """What `save_trees` wrote; None = the trees that ship with the package. Raises
    `StoredResultError`."""
    file = shipped("trees.npz") if path is None else Path(path)
    parts = load_arrays(file)
    try:
        return [_tree(parts, i) for i in range(parts["trees"])]
    except (KeyError, TypeError, ValueError) as error:
        raise StoredResultError(f"{file} does not hold trees ({error!r}).") from error


def _tree(parts: dict[str, Any], i: int) -> Snapshots:
    plain = parts[f"{i}/plain"]
    return Snapshots(
        question=plain["question"],
        answer=plain["answer"],
        moments=tuple(plain["moments"]),
        pieces=tuple(tuple(pieces) for pieces in plain["pieces"]),
        ids=tuple(tuple(ids) for ids in plain["ids"]),
        reward_C=parts[f"{i}/reward_C"],
        probability_SC=parts[f"{i}/probability_SC"],
    )


def save_worlds(path: str | Path, worlds: Sequence[World]) -> None:
    """Some worlds, in one file."""
    parts: dict[str, Any] = {"worlds": len(worlds)}
    for i, world in enumerate(worlds):
        parts |= world_as_parts(world, f"{i}/")
    save_arrays(Path(path), parts)


def load_worlds(path: str | Path | None = None) -> list[World]:
    """What `save_worlds` wrote; None = the worlds that ship with the package. Raises
    `StoredResultError`."""
    file = shipped("worlds.npz") if path is None else Path(path)
    parts = load_arrays(file)
    try:
        return [world_of_parts(parts, f"{i}/") for i in range(parts["worlds"])]
    except (KeyError, TypeError, ValueError) as error:
        raise StoredResultError(f"{file} does not hold worlds ({error!r}).") from error


def save_turned(path: str | Path, rows: Sequence[Row]) -> None:
    """Turned gradients as a table: the names once, then a list for each row."""
    names = [f.name for f in fields(Row)]
    lines = [json.dumps([getattr(row, name) for name in names]) for row in rows]
    inner = ",\n".join(lines)
    Path(path).write_text(f'{{"columns": {json.dumps(names)},\n"rows": [\n{inner}\n]}}\n')


def load_turned(path: str | Path | None = None) -> list[Row]:
    """The gradients under stale samplers, of every seed, policy and clip; None = those that ship
    with the package. Raises `StoredResultError`."""
    file = shipped("turning.json") if path is None else Path(path)
    try:
        table = json.loads(file.read_text())
        return [Row(**dict(zip(table["columns"], row, strict=True))) for row in table["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoredResultError(
            f"{file} cannot be read as turned gradients ({error!r}). Make it anew: "
            "python -m workbench.assets.oracle.make_oracle"
        ) from error
