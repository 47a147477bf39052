"""The text of an exported folder's `rewards.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OWN = "own"
"""The folder that copies of the user's files go to."""

HEAD = '''"""The reward functions, in TRL's signature: f(prompts, completions, **columns) gives a
number for each completion, or None where it is not scored.
"""

'''

OF_FILE = f'''def own_function(file, name):
    """The function `name` of a file in the folder {OWN}/."""
    folder = Path(__file__).resolve().parent / "{OWN}"
    # So that the file finds those beside it.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location(f"{OWN}_{{Path(file).stem}}", folder / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)
'''


BY_NAME = '''def by_name(function):
    """`function`, given those columns alone that it names."""
    taken = inspect.signature(function).parameters

    def named(**columns):
        return function(**{name: value for name, value in columns.items() if name in taken})

    named.__name__ = getattr(function, "__name__", type(function).__name__)
    return named
'''


@dataclass
class Source:
    """What `rewards.py` is put together from."""

    ours: set[str] = field(default_factory=set)
    modules: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Name of the copy -> the user's file."""
    calls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def text_of(source: Source, weights: Sequence[float]) -> str:
    """`rewards.py` as text."""
    names_columns = any(call.startswith("by_name(") for call in source.calls)
    lines = ["import importlib.util"] if source.files else []
    lines += ["import inspect"] if names_columns else []
    lines += ["import sys", "from pathlib import Path"] if source.files else []
    lines += [""] if lines else []
    if source.ours:
        lines.append(f"from workbench.rewards import {', '.join(sorted(source.ours))}")
    for place, names in source.modules.items():
        lines.append(f"from {place} import {', '.join(sorted(names))}")
    parts = ["\n".join(lines) + "\n"] if lines else []
    parts += [OF_FILE] if source.files else []
    parts += [BY_NAME] if names_columns else []
    # Two empty lines round a function.
    body = "\n\n".join(parts) + ("\n\n" if len(parts) > 1 else "\n" if parts else "")
    body += _listed("REWARDS", source.calls)
    if weights:
        body += "\n" + _listed("WEIGHTS", [repr(float(weight)) for weight in weights])
    return HEAD + body


def quoted(text: str) -> str:
    """A text as Python writes it; what is not plain ASCII is spelled out, so that no character can
    look like code."""
    is_plain = text.isascii() and text.isprintable() and not {'"', "\\"} & set(text)
    return f'"{text}"' if is_plain else ascii(text)


def _listed(name: str, entries: Sequence[str]) -> str:
    return f"{name} = [\n" + "".join(f"    {entry},\n" for entry in entries) + "]\n"
