"""The reward functions of an exported folder: `rewards.py`, which imports ours and the user's by
name, and copies of the user's files.

A spec of a person's own becomes code only as a checked name, or between quotes as Python writes
them.
"""

from __future__ import annotations

import ast
import inspect
import shutil
from collections.abc import Sequence
from pathlib import Path

from workbench.compat.export.rewards_text import OWN, Source, quoted, text_of
from workbench.compat.export.source import ExportFolderError
from workbench.rewards.batch import is_async
from workbench.rewards.parameters import REWARD
from workbench.rewards.resolve import MODEL, REWARDS, WITH_PARAMETERS, resolve_reward


def write_rewards(specs: Sequence[str], folder: Path, weights: Sequence[float] = ()) -> list[str]:
    """Write `rewards.py` and the copies into `folder`; returns what a reader should know, a
    sentence each. Raises `ExportFolderError`, and `RewardSpecError` for what is not found."""
    source = Source()
    for spec in specs:
        call = _call(spec, source)
        # What cannot be found is said here, and not on another machine.
        wants_all = spec.startswith(MODEL) or _takes_all_columns(spec)
        source.calls.append(call if wants_all else f"by_name({call})")
    for name, file in source.files.items():
        _copy(file, folder / OWN / name, source)
    (folder / "rewards.py").write_text(text_of(source, weights))
    return source.notes


def needs_workbench(specs: Sequence[str]) -> bool:
    """Whether one of the functions is ours."""
    return any(_kind(spec) == "ours" for spec in specs)


def _takes_all_columns(spec: str) -> bool:
    """Whether a function can be called as TRL does, with every column. Raises
    `ExportFolderError` for an async one that cannot."""
    function = resolve_reward(spec)
    kinds = [each.kind for each in inspect.signature(function).parameters.values()]
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds
    if is_async(function) and not takes_all:
        raise ExportFolderError(
            f"reward {spec!r} is async and names its columns. Give it a last parameter **columns."
        )
    return takes_all


def _kind(spec: str) -> str:
    """Whose a function is: "ours", a "file" of the user's, or a "module"."""
    name = spec.partition(":")[0]
    if spec in REWARDS or name in WITH_PARAMETERS or spec.startswith(MODEL):
        return "ours"
    place, _, function = spec.rpartition(":")
    names = [function] if place.endswith(".py") else [function, *place.split(".")]
    if not place or not all(part.isidentifier() for part in names):
        raise ExportFolderError(
            f"reward {spec!r}: expected a name of ours, 'file.py:function' or "
            "'package.module:function'. `workbench reward list` shows ours."
        )
    return "file" if place.endswith(".py") else "module"


def _call(spec: str, source: Source) -> str:
    """The expression that gives the function in `rewards.py`."""
    kind = _kind(spec)
    place, _, function = spec.rpartition(":")
    if kind == "ours":
        return _of_ours(spec, source)
    if kind == "module":
        source.notes.append(f"The module {place} is imported by name: it must be installed there.")
        taken = source.ours.union(*(n for m, n in source.modules.items() if m != place))
        if function in taken:
            raise ExportFolderError(f"two rewards are called {function!r}. Rename one of them.")
        source.modules.setdefault(place, set()).add(function)
        return function
    file = Path(place).expanduser().absolute()
    name = file.name
    while source.files.get(name, file) != file:
        name = f"{Path(name).stem}_2.py"
    source.files[name] = file
    return f"own_function({quoted(name)}, {quoted(function)})"


def _of_ours(spec: str, source: Source) -> str:
    if spec in REWARDS:
        name = str(REWARDS[spec].__name__)
        source.ours.add(name)
        return name
    source.ours.add("resolve_reward")
    before, inner, last = spec.rpartition(f"{REWARD}=")
    place = last.removeprefix(MODEL) if last.startswith(MODEL) else last.rpartition(":")[0]
    if last.startswith(MODEL) or place.endswith(".py"):
        # From another working directory it would lead nowhere.
        last = last.replace(place, str(Path(place).expanduser().absolute()), 1)
        source.notes.append(f"The reward {spec} is read from {place} on this machine.")
    return f"resolve_reward({quoted(before + inner + last)})"


def _copy(file: Path, to: Path, source: Source) -> None:
    """Copy a user's file, and those beside it that it imports."""
    if to.exists():
        return
    try:
        tree = ast.parse(file.read_text())
    except (OSError, ValueError, SyntaxError) as error:
        raise ExportFolderError(
            f"reward file {file}: {error}. Name one that can be read."
        ) from error
    to.parent.mkdir(exist_ok=True)
    shutil.copyfile(file, to)
    for name in sorted(_imported(tree)):
        beside = file.with_name(f"{name}.py")
        if beside.is_file():
            _copy(beside, to.with_name(beside.name), source)
        elif (file.parent / name / "__init__.py").is_file():
            source.notes.append(
                f"{file.name} imports the package {name} beside it, which was not copied: put it "
                f"into {OWN}/."
            )


def _imported(tree: ast.Module) -> set[str]:
    """The first part of each module that a file imports."""
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    names += [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    ]
    return {name.partition(".")[0] for name in names}
