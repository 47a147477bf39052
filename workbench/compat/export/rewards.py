"""The reward functions of an exported folder: `rewards.py`, which imports ours and the user's by
name, and copies of the user's files.

A spec of a person's own becomes code only as a checked name, or between quotes as Python writes
them.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.compat.export.source import ExportFolderError
from workbench.rewards.parameters import REWARD
from workbench.rewards.resolve import MODEL, REWARDS, WITH_PARAMETERS, resolve_reward

OWN = "own"
"""The folder that copies of the user's files go to."""

HEAD = '''"""The reward functions, in TRL's signature: f(prompts, completions, **columns) gives a
number for each completion, or None where it is not scored.
"""

'''

OF_FILE = f'''

def own_function(file, name):
    """The function `name` of a file in the folder {OWN}/."""
    folder = Path(__file__).resolve().parent / "{OWN}"
    # So that the file finds those beside it.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location(f"{OWN}_{{Path(file).stem}}", folder / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)

'''


@dataclass
class _Source:
    """What `rewards.py` is put together from."""

    ours: set[str] = field(default_factory=set)
    modules: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Name of the copy -> the user's file."""
    calls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_rewards(specs: Sequence[str], folder: Path, weights: Sequence[float] = ()) -> list[str]:
    """Write `rewards.py` and the copies into `folder`; returns what a reader should know, a
    sentence each. Raises `ExportFolderError`, and `RewardSpecError` for what is not found."""
    source = _Source()
    for spec in specs:
        # What cannot be found is said here, and not on another machine.
        if not spec.startswith(MODEL):
            resolve_reward(spec)
        source.calls.append(_call(spec, source))
    for name, file in source.files.items():
        _copy(file, folder / OWN / name, source)
    (folder / "rewards.py").write_text(_text(source, weights))
    return source.notes


def needs_workbench(specs: Sequence[str]) -> bool:
    """Whether one of the functions is ours."""
    return any(_kind(spec) == "ours" for spec in specs)


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


def _call(spec: str, source: _Source) -> str:
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
    return f"own_function({name!r}, {function!r})"


def _of_ours(spec: str, source: _Source) -> str:
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
    return f"resolve_reward({before + inner + last!r})"


def _copy(file: Path, to: Path, source: _Source) -> None:
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


def _text(source: _Source, weights: Sequence[float]) -> str:
    lines = []
    if source.files:
        lines += ["import importlib.util", "import sys", "from pathlib import Path", ""]
    if source.ours:
        lines.append(f"from workbench.rewards import {', '.join(sorted(source.ours))}")
    for place, names in source.modules.items():
        lines.append(f"from {place} import {', '.join(sorted(names))}")
    body = "\n".join(lines) + ("\n" if lines else "")
    if source.files:
        body += OF_FILE
    body += "\n" + _listed("REWARDS", source.calls)
    if weights:
        body += "\n" + _listed("WEIGHTS", [repr(float(weight)) for weight in weights])
    return HEAD + body


def _listed(name: str, entries: Sequence[str]) -> str:
    return f"{name} = [\n" + "".join(f"    {entry},\n" for entry in entries) + "]\n"
