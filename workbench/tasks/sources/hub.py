"""Data sets of the Hugging Face Hub, by name: `hf:owner/name[/config][@split]`. Needs a network or
the cache of an earlier load, so only who names one reaches this.

A folder that holds a data set (files, or what `save_to_disk` wrote) stands in place of owner and
name: `hf:FOLDER[/config][@split]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.tasks.sources.kinds import HELD_OUT_SPLITS, Source, source_of
from workbench.tasks.types import TaskError

PREFIX = "hf:"
TRAIN = "train"
_PART = re.compile(r"[\w.+ -]+")
_HELD_OUT = re.compile(r"(?:test|val|validation|dev|eval|evaluation)(?![a-z]).*", re.IGNORECASE)
"""How the name of a split begins that is there to be asked, not to be trained on."""

_SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` writes beside its tables."""


@dataclass(frozen=True)
class HubName:
    """What `hf:…` names."""

    text: str
    """As it was given."""

    path: str
    """Owner and name, or a folder."""

    configs: tuple[str | None, ...] = (None,)
    """One behind the other; `a+b` names two. None: the data set's own."""

    split: str | None = None
    """None: its train split, and what is held out beside it."""


def is_hub_name(source: Any) -> bool:
    """Whether `source` is written as a data set of the Hub."""
    return isinstance(source, str) and source.startswith(PREFIX)


def hub_name(text: str) -> HubName:
    """`text` taken apart. Raises `TaskError` where it is no such name."""
    path, at, split = text.removeprefix(PREFIX).partition("@")
    place, config = _folder_in(path)
    if place is None:
        parts = path.split("/")
        if len(parts) in (2, 3) and all(_PART.fullmatch(part) for part in parts):
            place = "/".join(parts[:2])
            config = "".join(parts[2:]) or None
    if place is None or (at and not split):
        raise TaskError(
            f"the task {text!r:.120} names no data set. Expected hf:owner/name, with /config "
            "behind it where it has several and @split where one is meant, as in "
            "hf:openai/gsm8k/main@test; or hf:FOLDER, a folder that holds a data set."
        )
    configs = (None,) if config is None else tuple(config.split("+"))
    return HubName(text, place, configs, split or None)


def _folder_in(path: str) -> tuple[str | None, str | None]:
    """The folder that `path` is, and the config behind it; none where it is owner and name."""
    folder = Path(path).expanduser()
    if path and folder.is_dir():
        return str(folder), None
    if path.startswith(("/", "./", "../", "~")) and folder.parent.is_dir():
        return str(folder.parent), folder.name
    return None, None


def splits_of_hub(name: HubName) -> tuple[Source | None, Source | None]:
    """What to train on, and what is held out; None for what it has not.

    A split whose name begins like "test" or "validation" is there to be asked: where it is named,
    or there is no "train" beside it, nothing is to train on. Raises `TaskError` for what cannot be
    loaded.
    """
    data = [_loaded(name, config) for config in name.configs]
    if not isinstance(data[0], Mapping):
        rows = _joined(name, data, name.split or TRAIN)
        if _HELD_OUT.match(name.split or TRAIN):
            return None, rows
        return rows, None
    splits = list(data[0])
    held_out = next((split for split in HELD_OUT_SPLITS if split in splits), None)
    if held_out is None and len(splits) == 1 and _HELD_OUT.match(splits[0]):
        held_out = splits[0]
    train = TRAIN if TRAIN in splits else None
    if train is None and held_out is None:
        if len(splits) > 1:
            raise TaskError(
                f"{name.text!r:.120} has the splits {splits!r:.200}, and none of them is 'train' "
                "or 'test'. Name the one that is meant behind an @."
            )
        train = splits[0]
    sources = []
    for split in (train, held_out):
        tables = [part[split] for part in data if split in part]
        sources.append(None if split is None else _joined(name, tables, split))
    return sources[0], sources[1]


def rows_of_hub(name: HubName) -> Source:
    """One table: the split that was named, else what is held out, else what there is."""
    train, held_out = splits_of_hub(name)
    source = held_out or train
    assert source is not None, "a data set that was loaded has at least one split"
    return source


def _loaded(name: HubName, config: str | None) -> Any:
    """A `datasets.Dataset` where a split was named, else all splits by their names."""
    import datasets
    from datasets.exceptions import DatasetsError

    named = {} if name.split is None else {"split": name.split}
    try:
        if any((Path(name.path) / file).is_file() for file in _SAVED):
            return _of_saved(datasets.load_from_disk(name.path), name)
        return datasets.load_dataset(name.path, config, **named)
    # No network, no such data set, config or split, a script in place of data, a broken file.
    except (OSError, ValueError, RuntimeError, NotImplementedError, DatasetsError) as error:
        where = "from its folder" if Path(name.path).is_dir() else "from the Hub"
        raise TaskError(
            f"{name.path!r:.120} could not be loaded {where} ({error!s:.400}). A config is named "
            "behind a slash, a split behind an @: hf:owner/name/CONFIG@SPLIT. Without a network, "
            "give the path of a local copy: folder/train.jsonl, or hf:FOLDER for one that "
            "`datasets` has saved."
        ) from error


def _of_saved(data: Any, name: HubName) -> Any:
    if name.split is None or not isinstance(data, Mapping):
        return data
    if name.split not in data:
        raise ValueError(f"it has the splits {list(data)}, and {name.split!r} is none of them")
    return data[name.split]


def _joined(name: HubName, tables: list[Any], split: str) -> Source:
    """The rows of all configs, one behind the other."""
    label = name.text if name.split is not None else f"{name.text}@{split}"
    sources = [source_of(table) for table in tables]
    rows = (row for source in sources for _, row in source.rows)
    return replace(sources[0], label=label, rows=enumerate(rows), name=name.text)
