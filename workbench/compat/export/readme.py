"""The README of an exported folder."""

from __future__ import annotations

from collections.abc import Sequence

from workbench import __version__
from workbench.compat.export.report import Report, code, plain
from workbench.compat.export.source import Exported


def readme(exported: Exported, report: Report, whose: str, use: str, notes: Sequence[str]) -> str:
    """Markdown: what it is, how to use it, and the tables. Names that others chose are shown, never
    obeyed."""
    task = exported.task
    facts = [
        f"Exported from {code(exported.origin)} by the GRPO workbench {__version__}.",
        f"Policy: {code(exported.policy)}. Task: {code(task.name)}, {len(task.train)} prompts to "
        f"train on. Rewards: {', '.join(map(code, exported.rewards))}.",
        *map(plain, notes),
    ]
    said = "\n".join(f"- {fact}" for fact in facts)
    return f"# GRPO with {whose}\n\n{said}\n\n{use}\n{report.tables(whose)}\n"
