"""The public API stands still: names and signatures of all that `workbench` exports.

A change on purpose: `python tests/test_public_api.py` writes public_api.txt anew, and the change is
then seen in the diff.
"""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import workbench

PINNED = Path(__file__).with_name("public_api.txt")
SOURCES = sorted(Path(workbench.__file__).parent.rglob("*.py"))


def signature(what: object) -> str:
    """Parameters and defaults, without annotations, whose spelling differs between versions, and
    without the addresses of functions."""
    shown = inspect.signature(what)  # type: ignore[arg-type]
    bare = [p.replace(annotation=p.empty) for p in shown.parameters.values()]
    text = str(shown.replace(parameters=bare, return_annotation=shown.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def described(name: str) -> list[str]:
    """The lines of one public name: itself, and for a class its public members."""
    what = getattr(import_module(workbench._HOMES[name]), name)
    if not inspect.isclass(what):
        return [f"{name}{signature(what)}"]
    if issubclass(what, Exception):
        return [f"{name}({', '.join(base.__name__ for base in what.__bases__)})"]
    lines = [f"{name}{signature(what)}"]
    for member, kind in sorted(vars(what).items()):
        if member.startswith("_"):
            continue
        if isinstance(kind, property):
            lines.append(f"    .{member}")
        elif callable(getattr(what, member)):
            lines.append(f"    .{member}{signature(getattr(what, member))}")
    return lines


def public_api() -> str:
    """All public names with their signatures, as text."""
    names = sorted(workbench._HOMES)
    return "\n".join(line for name in names for line in described(name)) + "\n"


def test_names_and_signatures_are_the_pinned_ones() -> None:
    assert public_api() == PINNED.read_text(), "on purpose? python tests/test_public_api.py"


def test_plan_can_be_called_before_and_after_its_room_was_imported() -> None:
    from workbench.plan import PlanError
    from workbench.plan import plan as function

    assert callable(workbench.plan)
    with pytest.raises(TypeError, match="missing"):
        function()
    with pytest.raises(TypeError, match="missing"):
        workbench.plan()
    assert issubclass(PlanError, workbench.WorkbenchError)


def test_a_record_is_opened_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"Run\.open\(path\)"):
        workbench.Run(tmp_path)


def bases_by_name() -> dict[str, set[str]]:
    """Every class of the package, with the names of its bases."""
    found = {}
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name] = {ast.unparse(base).split(".")[-1] for base in node.bases}
    return found


def test_every_error_of_ours_says_so_and_is_a_workbench_error() -> None:
    classes = bases_by_name()

    def ancestors(name: str) -> set[str]:
        return {name}.union(*(ancestors(base) for base in classes.get(name, ())))

    builtin_errors = {
        name
        for name, value in vars(__import__("builtins")).items()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and not issubclass(value, Warning)
    }
    errors = [name for name in classes if ancestors(name) & builtin_errors]
    assert len(errors) > 20
    assert [name for name in errors if not name.endswith("Error")] == []
    # One that begins with an underscore is a jump within its file, and no user sees it.
    public = [name for name in errors if not name.startswith("_")]
    assert [name for name in public if "WorkbenchError" not in ancestors(name)] == []


if __name__ == "__main__":
    PINNED.write_text(public_api())
