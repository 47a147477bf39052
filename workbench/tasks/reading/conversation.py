"""A prompt that is a list of messages, as chat data sets write it, taken apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.tasks.types import Message, TaskError

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
"""What data sets call the speakers, and what chat templates do."""

CALLS = ("tool_calls", "function_call")
TOOL_ROLES = ("tool", "function", "observation", "function_call", "tool_call", "ipython")
"""How data sets write a turn that calls a tool, and one that holds what it returned."""


@dataclass(frozen=True)
class Conversation:
    """The parts of one message list."""

    system: str | None
    """The system message at its head."""

    before: tuple[Message, ...]
    """Turns between the system message and the question: worked examples, an earlier exchange."""

    question: str
    """The last turn of the user."""

    reply: str | None
    """The assistant's turn behind the question, where there is one."""


def messages_in(value: Any) -> Sequence[Any] | None:
    """The message list that `value` is, or spells as JSON (a cell of a CSV file); None for anything
    else. Raises `TaskError` for a list in Python's spelling, which is not evaluated."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            if "'role'" in value or "'content'" in value:
                raise TaskError(
                    "the prompt is a message list in Python's spelling, which is not evaluated. "
                    "Write it as JSON, or the whole as JSONL or parquet."
                ) from error
            return None
    if isinstance(value, Mapping) and ("role" in value or "from" in value):
        value = [value]
    is_list = isinstance(value, (list, tuple)) and value
    if not is_list or not all(isinstance(turn, Mapping) for turn in value):
        return None
    return value if any("role" in turn or "from" in turn for turn in value) else None


def taken_apart(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """System message, earlier turns, question and reply. Raises `TaskError` where there is no
    question at the end."""
    turns = [_turn(message) for message in messages]
    system = None
    if turns[0]["role"] == "system":
        system = turns.pop(0)["content"]
    reply = None
    if turns and turns[-1]["role"] == "assistant":
        reply = turns.pop()["content"]
    if not turns or turns[-1]["role"] != "user":
        raise TaskError("the message list has no turn of the user at its end. Let it end in one.")
    if any(turn["role"] == "system" for turn in turns):
        raise TaskError(
            "the message list has a system message behind its first turn, where no chat template "
            "takes one. Put it first, or leave it out."
        )
    return Conversation(system, tuple(turns[:-1]), turns[-1]["content"], reply)


def last_reply(messages: Sequence[Mapping[str, Any]]) -> str:
    """The assistant's turn at the end, where a message list stands for an answer. Raises
    `TaskError` for another speaker's."""
    turn = _turn(messages[-1])
    if turn["role"] != "assistant":
        raise TaskError("the answer is a message list that does not end in the assistant's turn.")
    return turn["content"]


def _turn(message: Mapping[str, Any]) -> Message:
    role = message.get("role", message.get("from"))
    _check_without_tools(message, role)
    if role not in ROLES:
        raise TaskError(
            f"a message has the role {role!r:.40}, expected one of {', '.join(ROLES)}. Rename it, "
            "or leave the row out."
        )
    content = message.get("content", message.get("value"))
    return {"role": ROLES[role], "content": _text(content)}


def _check_without_tools(message: Mapping[str, Any], role: Any) -> None:
    """Raises `TaskError` for a turn that calls a tool or holds what one returned."""
    calls = next((key for key in CALLS if message.get(key) not in (None, [], {}, "")), None)
    if calls is None and role not in TOOL_ROLES:
        return
    what = f"calls tools (key {calls!r})"
    if calls is None:
        what = f"has the role {role!r} of a tool"
    raise TaskError(
        f"a message {what}, and the policy answers in text alone, without tools. Leave such rows "
        "out."
    )


def _text(content: Any) -> str:
    """The text of a content, given as such or as parts. Raises `TaskError` for other parts."""
    parts = content if isinstance(content, (list, tuple)) else [content]
    texts = []
    for part in parts:
        text = part
        if isinstance(part, Mapping):
            kind = part.get("type", "text")
            if kind != "text":
                raise TaskError(
                    f"a message has a part of type {kind!r:.40}, and the policy reads text alone. "
                    "Leave such rows out."
                )
            text = part.get("text")
        if not isinstance(text, str):
            raise TaskError(f"the content of a message is {text!r:.60}, expected text.")
        texts.append(text)
    return "\n".join(texts).strip()
