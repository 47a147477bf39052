"""Where the commands `workbench` and `grpo-workbench` begin: a module of its own, outside of the
package, because the distribution `workbench` of PyPI (a toolkit for SageMaker) installs a package
of the same import name, and pip says nothing.

Each then overwrites files of the other: `workbench/__init__.py`, `workbench/training/__init__.py`
and the command `workbench` belong to the one that came last, and go with the first that is
uninstalled.
"""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

NAMESAKE = "workbench"
REMEDY = (
    "Keep them in two environments, or take this one alone: pip uninstall -y workbench "
    "grpo-workbench && pip install grpo-workbench"
)
CLASH = (
    "the distribution 'workbench' (a toolkit for SageMaker) is installed here, too, and installs "
    "a package of the same name: each overwrites files of the other"
)
BROKEN = (
    "the package 'workbench' that Python finds here is not the GRPO workbench, or is no longer "
    "whole: the distribution 'workbench' (a toolkit for SageMaker) was installed or uninstalled "
    "beside it. " + REMEDY
)


def lies_beside(package: str) -> bool:
    """True where the namesake was installed into the folder that `package` (a path) lies in. Looks
    at names alone, since it is asked at each import."""
    return next(Path(package).parent.glob(f"{NAMESAKE}-*.dist-info"), None) is not None


def is_ours() -> bool:
    """True where `import workbench` would give the GRPO workbench. Nothing of it is run, and
    nothing of another's."""
    found = find_spec(NAMESAKE)
    if found is None or found.origin is None:
        return False
    return "GRPOConfig" in Path(found.origin).read_text(encoding="utf-8", errors="replace")


def main() -> None:
    """Entry point of the command line."""
    if not is_ours():
        sys.exit(f"error: {BROKEN}")
    with warnings.catch_warnings(record=True) as said:
        import workbench  # noqa: F401  it warns of a namesake beside it, here in one plain line
    for warning in said:
        print(f"note: {warning.message}", file=sys.stderr)
    from workbench.cli import main as command_line

    command_line()
