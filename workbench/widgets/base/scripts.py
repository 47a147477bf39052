"""The scripts of our own widgets: one file each, behind what several of them share."""

from __future__ import annotations

from pathlib import Path

LIT = Path(__file__).with_name("lit.js").read_text(encoding="utf-8")


def script_beside(file: str) -> str:
    """The script beside a Python file, behind the functions that it shares with others: a widget's
    module cannot import another one."""
    return LIT + Path(file).with_suffix(".js").read_text(encoding="utf-8")
