"""What the tasks call the kinds of completions."""

from __future__ import annotations

import pytest

from workbench.tasks import TASKS
from workbench.tasks.behaviours import BEHAVIOURS, arithmetic_kind


def tagged(answer: str) -> str:
    return f"<think>so</think><answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("prompt", "gold", "completion", "kind"),
    [
        ("What is 47 + 85?", "132", tagged("132"), "right, tagged"),
        ("What is 47 + 85?", "132", "7+5=12 so 132", "right, untagged"),
        ("What is 47 + 85?", "132", "132 <answer>132</answer>", "right, untagged"),
        ("What is 47 + 85?", "132", tagged("122"), "dropped carry"),
        ("What is 47 + 85?", "132", "so 32", "dropped carry"),
        ("What is 82 - 47?", "35", tagged("45"), "dropped carry"),
        ("What is 2 + 3 * 4?", "14", tagged("20"), "precedence ignored"),
        ("Solve (2 + 3) * 4.", "20", tagged("14"), "precedence ignored"),
        ("What is 2 + 3 * 4?", "14", tagged("13"), "wrong"),
        ("What is 47 + 85?", "132", tagged("none"), "no answer"),
        ("What is 47 + 85?", "132", "", "no answer"),
        ("What is 47 + 85?", "132", tagged("9" * 5000), "wrong"),
        ("<script>", "x", tagged("7"), "wrong"),
    ],
)
def test_the_kinds_of_arithmetic(prompt: str, gold: str, completion: str, kind: str) -> None:
    assert arithmetic_kind(prompt, gold, completion) == kind


def test_every_row_is_of_a_task_and_names_its_right_kinds() -> None:
    assert set(BEHAVIOURS) <= set(TASKS)
    for named in BEHAVIOURS.values():
        assert set(named.right) <= set(named.kinds)
        assert named.kind_of("", "", "") in named.kinds
