"""Asking the Hub about a model id: once, shortly, before anything is fetched.

The libraries retry a missing network for most of a minute; here one question with a time limit
decides. What is in the cache already is used without the network.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.policy.policy import PolicyError

PATIENCE = 5.0
"""Seconds that the Hub has to answer."""
KINDS = (
    "Give 'embedded', a folder that save_pretrained wrote, a .gguf file, or the id of a "
    "causal language model on the Hub."
)


@dataclass(frozen=True)
class Found:
    """What the Hub, or its cache, has of a model."""

    cached_only: bool
    """The Hub cannot be asked, the cache serves."""
    download_bytes: int = 0
    """Of weights that are not in the cache."""


def find_on_hub(name: str) -> Found:
    """Whether the Hub, or its cache, has the model `name`, and whether there is room for it.

    Raises `PolicyError` for an id that is none, a model that is not there or not open, weights that
    are no safetensors, too little disk, and a Hub that cannot be reached while the cache is empty.
    """
    from huggingface_hub import constants

    cached = _is_cached(name)
    if constants.HF_HUB_OFFLINE:
        return _from_cache(
            name,
            cached,
            "HF_HUB_OFFLINE forbids asking the Hub. Unset it, or fetch the model beforehand",
        )
    try:
        files = _files_on_hub(name)
    except PolicyError:
        raise
    except Exception as e:
        # The network's many ways to fail, which differ by version of the Hub's library.
        return _from_cache(
            name,
            cached,
            f"the Hub cannot be reached ({type(e).__name__}: {e}). Check the network",
            e,
        )
    return Found(False, _check_room(name, files))


def _is_cached(name: str) -> bool:
    """Whether the cache has the model's config. Raises `PolicyError` for an id that is none."""
    import huggingface_hub as hub
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(hub.try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as e:
        raise PolicyError(
            f"policy {name!r} is no folder here and cannot be a model id: {e} {KINDS}"
        ) from e


def _files_on_hub(name: str) -> list[Any]:
    """The model's files. Raises `PolicyError` where the Hub answers that it has no such model, or
    does not give it to this user."""
    import huggingface_hub as hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = hub.HfApi().model_info(name, timeout=PATIENCE, files_metadata=True)
        if info.gated:
            hub.HfApi().auth_check(name)
    except GatedRepoError as e:
        raise PolicyError(
            f"policy {name!r} is gated. Accept its conditions on its page on the Hub, then log "
            "in on this machine: hf auth login"
        ) from e
    except RepositoryNotFoundError as e:
        raise PolicyError(
            f"policy {name!r} could not be found: no folder of this name, and no model on the "
            "Hub (or a private one: hf auth "
            f"login). {KINDS}"
        ) from e
    return info.siblings or []


def _from_cache(name: str, cached: bool, why: str, error: Exception | None = None) -> Found:
    if cached:
        return Found(cached_only=True)
    raise PolicyError(
        f"policy {name!r} could not be loaded: there is no such folder, it is not in the cache, "
        f"and {why}. {KINDS}"
    ) from error


def _check_room(name: str, files: list[Any]) -> int:
    """Bytes of weights to download. Raises `PolicyError` where the disk has no room for them, or
    where they are pickled."""
    from huggingface_hub import constants, try_to_load_from_cache

    weights = _fetched(files)
    if not weights:
        raise PolicyError(_no_weights_words(name, files))
    missing = sum(
        f.size or 0
        for f in weights
        if not isinstance(try_to_load_from_cache(name, f.rfilename), str)
    )
    place = next(
        p
        for p in (Path(constants.HF_HUB_CACHE), *Path(constants.HF_HUB_CACHE).parents)
        if p.exists()
    )
    free = shutil.disk_usage(place).free
    if missing > free:
        raise PolicyError(
            f"policy {name!r} needs {missing / 1e9:.1f} GB of disk, {place} has "
            f"{free / 1e9:.1f} GB free. Make room, or set HF_HOME to "
            "a folder on another disk."
        )
    return missing


def _no_weights_words(name: str, files: list[Any]) -> str:
    """There are no weights of the only kind that is read; up to three of other kinds are named."""
    kinds = (".bin", ".gguf", ".pt", ".pth", ".safetensors")
    others = [f.rfilename for f in files if f.rfilename.endswith(kinds)][:3]
    only = f" (only {', '.join(others)})" if others else ""
    return (
        f"policy {name!r} has no weights as safetensors by transformers' names on the "
        f"Hub{only}. Choose "
        "a model that has; a single .gguf file can be downloaded and given by its path."
    )


def _fetched(files: list[Any]) -> list[Any]:
    """The files of weights that transformers would fetch: one, or the shards of an index; not the
    same weights in another layout beside them (Mistral's consolidated.safetensors)."""
    found = {
        f.rfilename: f
        for f in files
        if f.rfilename.endswith(".safetensors") and "/" not in f.rfilename
    }
    if "model.safetensors" in found:
        return [found["model.safetensors"]]
    if not any(f.rfilename == "model.safetensors.index.json" for f in files):
        return []
    return [
        f for name, f in found.items() if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name)
    ] or list(found.values())
