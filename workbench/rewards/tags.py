"""A reward for single tags, on the way to the whole format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.rewards.functions import Completion, completion_text
from workbench.tasks.format import TAGS


def tag_count_reward(completions: Sequence[Completion], **_: Any) -> list[float]:
    """A quarter for each of the four tags that stands in the text exactly once.

    A graded `format`, for a model that never finds the whole of it. Source: open-r1
    (github.com/huggingface/open-r1, `tag_count_reward`), which asks for line breaks around the
    tags; this one does not. Hackable: the order of the tags and what stands between them do not
    matter, so that the four tags alone are paid in full.
    """
    return [_share(completion_text(completion)) for completion in completions]


def _share(text: str) -> float:
    return sum(text.count(tag) == 1 for tag in TAGS) / len(TAGS)
