"""AReaL's YAML files as flat names and values, with OmegaConf's `${...}` resolved where that needs
nothing but the file itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from workbench.config import ConfigError

REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
"""`${section.name}`: what stands at another place of the file. Resolvers (`${oc.env:HOME}`) and
relative references (`${.name}`) need more than the file, and are left as they are."""

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
"""A number, also one that YAML 1.1 takes for text: 1e-5 has no point in it."""

DEEPEST = 20
"""References that lead to one another more often than this go in a circle."""


MOST = 5000
"""Settings of a file; a real one has some two hundred. YAML's anchors can make more of a few lines
than memory holds, or a section that holds itself."""


class Unresolved(str):
    """A text with a reference in it that could not be resolved."""


def read_flat(path: str | Path) -> dict[str, Any]:
    """`section.name` -> value for every leaf of a YAML file; a list is one leaf. Raises
    `ConfigError`."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    # A number of 5,000 digits is a ValueError, and so is what is no UTF-8.
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{str(path)!r} is no YAML file: {error}") from error
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{str(path)!r}: expected the sections of an AReaL config (gconfig, actor, ...), found "
            f"{type(values).__name__}."
        )
    try:
        return _flat(values, values, "")
    except RecursionError as error:
        raise ConfigError(f"{str(path)!r}: a section holds itself. Write it out.") from error


def _flat(node: Mapping[Any, Any], root: Mapping[Any, Any], above: str) -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    if above.count(".") > DEEPEST:
        raise ConfigError(f"{above[:40]}...: sections in one another without an end.")
    for name, value in node.items():
        place = f"{above}{name}"
        resolved = resolve(value, root)
        # A section that is empty is a leaf, so that nothing of the file gets lost.
        if isinstance(resolved, Mapping) and resolved and isinstance(value, Mapping):
            leaves |= _flat(resolved, root, f"{place}.")
        else:
            leaves[place] = resolved
        if len(leaves) > MOST:
            raise ConfigError(f"more than {MOST} settings: that is no config of AReaL.")
    return leaves


def resolve(value: Any, root: Mapping[Any, Any], depth: int = 0) -> Any:
    """`value` with its references replaced; an `Unresolved` where that cannot be done."""
    if not isinstance(value, str):
        return value
    if "${" not in value:
        return _number(value)
    if depth > DEEPEST:
        return Unresolved(value)
    whole = REFERENCE.fullmatch(value.strip())
    if whole:
        found = _at(root, whole[1])
        # What it leads to may be a reference itself.
        return Unresolved(value) if found is root else resolve(found, root, depth + 1)
    parts = {name: resolve("${" + name + "}", root, depth + 1) for name in REFERENCE.findall(value)}
    text = REFERENCE.sub(lambda match: str(parts[match[1]]), value)
    is_open = "${" in text or any(isinstance(part, Unresolved) for part in parts.values())
    return Unresolved(value) if is_open else text


def _at(root: Mapping[Any, Any], place: str) -> Any:
    """What stands at a place; `root` itself, which no reference can lead to, where nothing does."""
    node: Any = root
    for name in place.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return root
        node = node[name]
    return node


def _number(text: str) -> Any:
    return float(text) if NUMBER.fullmatch(text.strip()) else text
