"""ipywidgets: a page that was loaded anew is told of all widgets at once, whole.

Held against the installed version by `tests/libraries/test_ipywidgets.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ipywidgets import Widget
from ipywidgets.widgets import widget as insides

TRIES = 20
"""Walks over the widgets, at most, until none was made or closed meanwhile."""
REFERENCE = "IPY_MODEL_"
"""Before the id of a widget, in the state of another."""


def answer_pages_whole() -> None:
    """Let every page that asks for all widgets get them, also while other threads make and close
    some.

    ipywidgets walks over the registry itself. Where that changes it raises, the page hears nothing,
    asks for each widget by itself after some seconds, and shows "model not found" in place of a
    parent whose child came or went meanwhile.
    """
    if Widget._handle_control_comm_msg.__func__ is not _answer:
        Widget._handle_control_comm_msg = classmethod(_answer)


ANSWER = Widget._handle_control_comm_msg.__func__


def _answer(cls: type[Widget], message: Any) -> None:
    if message["content"]["data"]["method"] != "request_states" or cls._control_comm is None:
        ANSWER(cls, message)
        return
    states, buffer_paths, buffers = insides._remove_buffers(_states())
    answer = {"method": "update_states", "states": states, "buffer_paths": buffer_paths}
    cls._control_comm.send(answer, buffers=buffers)


def _states() -> dict[str, Any]:
    """What every open widget is, by its id, with all that it refers to.

    After the first walk only those are read again that have come, gone, or refer to one that is not
    there: however many there are, that is soon done.
    """
    states: dict[str, Any] = {}
    refers_to: dict[str, set[str]] = {}
    for _ in range(TRIES):
        widgets = insides._instances.copy()
        states = {name: state for name, state in states.items() if name in widgets}
        stale = [n for n in widgets if n not in states or not refers_to[n] <= widgets.keys()]
        if not stale:
            break
        for name in stale:
            states[name] = _state(widgets[name])
            refers_to[name] = set(_references(states[name]["state"]))
    return states


def _references(value: Any) -> Iterator[str]:
    """The ids of the widgets that a state names."""
    if isinstance(value, str):
        if value.startswith(REFERENCE):
            yield value.removeprefix(REFERENCE)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _references(inner)


def _state(widget: Widget) -> dict[str, Any]:
    return {
        "model_name": widget._model_name,
        "model_module": widget._model_module,
        "model_module_version": widget._model_module_version,
        "state": widget.get_state(drop_defaults=False),
    }
