"""Training methods beside GRPO, each one short file over the same policy.

`METHODS` names them. One more is three things: a file here whose docstring says which paper and
equation it is and where it deviates; a function of its name that trains a `Policy` in place; its
line in the table, with a test that holds its loss against a value computed by hand.
"""

from importlib import import_module
from typing import Any

METHODS = {"sft": "workbench.methods.sft"}
"""Method -> the file in which the function of that name stands."""


def method_named(name: str) -> Any:
    """The function of a method, loaded when it is first asked for. Raises KeyError."""
    return getattr(import_module(METHODS[name]), name)
