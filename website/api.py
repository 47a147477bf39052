"""The API reference: a page for the names that `workbench` itself exports, and one for each room
that says what it exports. The words are the docstrings, by mkdocstrings."""

from __future__ import annotations

import ast
import functools
from dataclasses import Field, fields
from pathlib import Path

from website.repository import ROOT, SiteError
from workbench import _HOMES, GRPOConfig
from workbench.config.fields import range_text

LEFT_OUT = {"assets", "commands", "libraries"}
"""Rooms that export nothing of their own."""

# Its signature would be a hundred fields long; the page of settings says what each means.
OPTIONS = {
    "workbench.config.GRPOConfig": (
        "\n    options:\n      merge_init_into_class: false\n\n"
        "[Every setting with its default, meaning, range and source](settings.md)."
    )
}


def api_pages() -> dict[str, str]:
    """Site path -> Markdown."""
    pages = {"api/workbench.md": _page("workbench")}
    pages |= {f"api/{room}.md": _page(f"workbench.{room}") for room in rooms()}
    return pages | {"api/index.md": _index(), "api/settings.md": _settings()}


@functools.cache
def rooms() -> tuple[str, ...]:
    """The rooms with a list of what they export."""
    found = sorted(p.parent.name for p in (ROOT / "workbench").glob("*/__init__.py"))
    return tuple(room for room in found if room not in LEFT_OUT and exported(f"workbench.{room}"))


def exported(package: str) -> dict[str, str]:
    """Public name -> the module that it is read from, without importing anything. Raises
    `SiteError` for an `__all__` in another form than ours."""
    written = _assignments(package)
    if "_HOMES" in written:
        return dict(ast.literal_eval(written["_HOMES"]))
    if "__all__" not in written:
        return {}
    if not isinstance(written["__all__"], ast.List):
        raise SiteError(f"website/api.py cannot read {package}.__all__.")
    return dict.fromkeys(ast.literal_eval(written["__all__"]), package)


def path_of(name: str, home: str) -> str:
    """Where a public name is written, through rooms that fetch it from another module when it is
    first used."""
    while _file(home).exists() and exported(home).get(name, home) != home:
        home = exported(home)[name]
    return f"{home}.{name}"


def _file(package: str) -> Path:
    return ROOT.joinpath(*package.split("."), "__init__.py")


def _assignments(package: str) -> dict[str, ast.expr]:
    body = ast.parse(_file(package).read_text(encoding="utf-8")).body
    return {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _about(package: str) -> str:
    return ast.get_docstring(ast.parse(_file(package).read_text(encoding="utf-8"))) or ""


def _page(package: str) -> str:
    paths = [path_of(name, home) for name, home in exported(package).items()]
    blocks = "\n\n".join(f"::: {path}{OPTIONS.get(path, '')}" for path in paths)
    return f"# `{package}`\n\n{_fenced(_about(package))}\n\n{blocks}\n"


def _fenced(about: str) -> str:
    """A docstring as Markdown: what is indented is code."""
    return about.replace("<", "&lt;")


def _settings() -> str:
    """Every field of the config, as `GRPOConfig.describe()` knows it."""
    return (
        "# Settings\n\nEvery field of `GRPOConfig`, from the same place as "
        "`GRPOConfig.describe()`. *Live*: may be changed between two steps.\n\n"
        + "\n\n".join(map(_setting, fields(GRPOConfig)))
    )


def _setting(entry: Field[object]) -> str:
    facts = entry.metadata
    words = [facts["meaning"], f"Values: {range_text(entry)}."]
    words += [f"Unit: {facts['unit']}."] if facts["unit"] else []
    words += [f"Source: {facts['source']}."] if facts["source"] else []
    live = " · live" if facts["live"] else ""
    return f"## {entry.name}\n\nDefault: `{entry.default!r}`{live}\n\n{_fenced(' '.join(words))}"


def _index() -> str:
    rows = "".join(
        f"| [`workbench.{room}`]({room}.md) | {_fenced(_first_sentence(f'workbench.{room}'))} |\n"
        for room in rooms()
    )
    names = ", ".join(f"`{name}`" for name in _HOMES)
    return (
        "# API reference\n\nMade from the docstrings, which give meaning, shapes, units and what "
        "is raised. Shapes stand in the names: a suffix letter per dimension, such as `logp_BT` "
        "([the letters](../contributing.md#conventions)).\n\n"
        f"[`workbench`](workbench.md) itself exports {names}.\n\n"
        f"| room | what it holds |\n|---|---|\n{rows}"
    )


def _first_sentence(package: str) -> str:
    first = " ".join(_about(package).split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".") + "."
