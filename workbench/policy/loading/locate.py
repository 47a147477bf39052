"""Where a policy lies: from the name that a person gives to what transformers can open. No weights
are touched here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.policy.loading.hub import find_on_hub
from workbench.policy.policy import PolicyError

EMBEDDED = Path(__file__).parents[2] / "assets" / "embedded"


@dataclass(frozen=True)
class Place:
    """What a name stands for."""

    name: str
    """As it was given, for messages."""
    where: str
    """Folder or model id, transformers' first argument."""
    options: dict[str, Any]
    """Its further arguments: local_files_only, gguf_file."""
    adapter: Path | None = None
    """Folder of a saved LoRA adapter that goes on top, or None."""
    download_bytes: int = 0
    """Of weights still to be downloaded."""

    @property
    def is_gguf(self) -> bool:
        """True for a .gguf file, which transformers turns back into floating point."""
        return "gguf_file" in self.options

    @property
    def lasting_name(self) -> str:
        """The name, made absolute where it is a path: what a record keeps leads here from any
        working directory."""
        path = Path(self.name).expanduser()
        is_known = self.name == "embedded" or not path.exists()
        return self.name if is_known else str(path.absolute())

    @property
    def folder(self) -> Path | None:
        """The local folder, or None for a model of the Hub."""
        return Path(self.where) if Path(self.where).is_dir() else None


def locate(name: str | Path) -> Place:
    """The place called `name`: "embedded", a folder, a folder with an adapter alone, a .gguf file,
    or a Hub id.

    The Hub is asked only for the last one. Raises `PolicyError` when the name leads nowhere.
    """
    text, path = str(name), Path(name).expanduser()
    if text == "embedded":
        return Place(text, str(EMBEDDED), {"local_files_only": True})
    if path.suffix == ".gguf":
        return _gguf(text, path)
    if path.is_dir():
        return _folder(text, path)
    if path.is_file():
        raise PolicyError(
            f"policy {text!r} is a file. Give the folder that it lies in, or a .gguf file."
        )
    if path.is_absolute() or text.startswith(".") or text.count("/") > 1:
        raise PolicyError(f"policy {text!r}: there is no such folder. Check the path.")
    found = find_on_hub(text)
    return Place(
        text,
        text,
        {"local_files_only": True} if found.cached_only else {},
        download_bytes=found.download_bytes,
    )


def _gguf(name: str, path: Path) -> Place:
    from importlib.util import find_spec

    if not path.is_file():
        raise PolicyError(
            f"policy {name!r}: there is no such file. Give the path of an existing .gguf file."
        )
    with path.open("rb") as f:
        if f.read(4) != b"GGUF":
            raise PolicyError(
                f"policy {name!r} does not begin like a .gguf file. Fetch it again, or give "
                "another one."
            )
    if find_spec("gguf") is None:
        raise PolicyError(
            f"policy {name!r}: reading a .gguf file needs the package gguf. Run: pip install "
            "gguf (or pip install 'grpo-workbench[gguf]')"
        )
    return Place(
        name, str(path.parent.resolve()), {"gguf_file": path.name, "local_files_only": True}
    )


def _folder(name: str, path: Path) -> Place:
    if (path / "config.json").is_file():
        return Place(name, str(path), {"local_files_only": True})
    if adapter_folder(path) is not None:
        return _adapter(name, path)
    raise PolicyError(
        f"policy {name!r}: the folder holds no config.json. Give the folder that "
        "save_pretrained wrote; a run keeps it as "
        "RUN/policy."
    )


def adapter_folder(name: str | Path) -> Path | None:
    """The folder called `name` when it holds a saved adapter without its base, else None."""
    path = Path(name).expanduser()
    return (
        path
        if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file()
        else None
    )


def adapter_settings(folder: Path) -> dict[str, Any]:
    """What adapter_config.json says. Raises `PolicyError`."""
    return json_file(folder / "adapter_config.json")


def json_file(file: Path) -> dict[str, Any]:
    """The settings in a JSON file of a policy. Raises `PolicyError`."""
    try:
        found = json.loads(file.read_text())
    # A text of brackets alone ends Python's reader by its depth.
    except (OSError, ValueError, RecursionError) as e:
        raise PolicyError(f"{file} cannot be read: {e}. Save the policy again.") from e
    if not isinstance(found, dict):
        raise PolicyError(f"{file} holds {found!r:.40}, not settings. Save the policy again.")
    return found


def _adapter(name: str, path: Path) -> Place:
    """The place of the adapter's base model, with the adapter on top."""
    if not (path / "adapter_model.safetensors").is_file():
        raise PolicyError(
            f"policy {name!r}: the adapter has no adapter_model.safetensors. Save it again with "
            "save_policy(..., adapter_only=True)."
        )
    base = adapter_settings(path).get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise PolicyError(
            f"policy {name!r}: its adapter_config.json names no base model. Put its name into "
            "base_model_name_or_path."
        )
    # Before it is located: one that names itself, or two that name each other, lead round.
    below = adapter_folder(base)
    if below is not None and os.path.realpath(below) == os.path.realpath(path):
        raise PolicyError(
            f"policy {name!r}: its adapter_config.json names the adapter itself as its base. Put "
            "the name of the base model into base_model_name_or_path."
        )
    if below is not None:
        raise PolicyError(
            f"policy {name!r} is an adapter for another adapter, {base!r}. Merge that one "
            f"first: save_policy(load_policy({base!r}), FOLDER)."
        )
    try:
        found = locate(base)
    except PolicyError as e:
        raise PolicyError(
            f"policy {name!r} is an adapter for {base!r}, which is needed too: {e}"
        ) from e
    return Place(name, found.where, found.options, path, found.download_bytes)
