"""Torch is imported by the pages that compute with it, when they are first opened: opening a stored
run stays quick, and works where torch is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable

LOADING = "Loading torch, which does the arithmetic: once, for a few seconds."


def needs_torch(who: str) -> str:
    """What a page says where torch is missing."""
    return (
        f"{who} needs torch, which is not installed here (pip install torch). The other views of a "
        "stored run work without it."
    )


def say_when_loading(say: Callable[[str], None]) -> None:
    """Tell a person why the page takes so long, the first time."""
    if "torch" not in sys.modules:
        say(LOADING)


def is_torch_missing(error: ModuleNotFoundError) -> bool:
    """True when it was torch that could not be found; another missing module is a fault."""
    return (error.name or "").split(".")[0] == "torch"
