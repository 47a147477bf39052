"""What supervised fine-tuning imitates: a worked solution in the form that the task asks for."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.helpers import in_one_test
from workbench.rewards import with_readable_golds
from workbench.rewards.functions import (
    answer_reward,
    format_reward,
    lenient_answer_reward,
    strict_correct,
)
from workbench.tasks import TASKS, Problem, Task, TaskError, load_task
from workbench.tasks.arithmetic import KINDS, draw_problems
from workbench.tasks.arithmetic_shifted import LONGER, OPERATORS, THREE_STEPS, WORDING
from workbench.tasks.arithmetic_worked import add, subtract
from workbench.tasks.format import SYSTEM_PROMPT, parse

MATH_SOLUTION = (
    "For the piecewise function to be continuous, $a(2)+3=2-5$. "
    "So $a=-3$, $b=3$ and $a+b=\\boxed{0}$."
)


def _task(row: dict, **options) -> Task:
    answer = "answer" if "answer" in row else "solution"
    return load_task([row, {"question": "1 + 2?", answer: "3"}], held_out=1, **options)


def _problem(task: Task, **row) -> Problem:
    return next(p for p in (*task.train, *task.held_out) if p.question.startswith(row["question"]))


def _demonstration(system_prompt: str | None = SYSTEM_PROMPT, **row) -> str:
    row = {"question": "How much?"} | row
    task = _task(row, system_prompt=system_prompt)
    return task.demonstration(_problem(task, **row))


def test_gsm8ks_reasoning_without_its_annotations_and_its_mark():
    answer = "She sold 48/2 = <<48/2=24>>24 in May.\nThat is 48+24 = <<48+24=72>>72.\n#### 72"
    assert _demonstration(answer=answer) == (
        "<think>She sold 48/2 = 24 in May.\nThat is 48+24 = 72.</think><answer>72</answer>"
    )


def test_maths_solution_and_the_gold_in_its_box():
    message = _demonstration(question="Find a + b.", solution=MATH_SOLUTION, level="Level 5")
    assert message == f"<think>{MATH_SOLUTION}</think><answer>0</answer>"


def test_a_solution_beside_a_short_answer():
    assert _demonstration(answer="0", solution=MATH_SOLUTION).endswith("<answer>0</answer>")
    rationale = {"options": ["A)21", "B)22"], "rationale": "20 + 2 = 22\nAnswer: B"}
    message = _demonstration(answer="B", **rationale)
    assert message == "<think>20 + 2 = 22</think><answer>B</answer>"


def test_the_message_is_in_the_form_that_is_asked_for():
    boxed = "Put the final answer in \\boxed{}."
    asked = {"answer": "2 + 2 = <<2+2=4>>4\n#### 4"}
    assert _demonstration(boxed, **asked) == "2 + 2 = 4\n\nThe answer is \\boxed{4}."
    assert _demonstration("End with #### and the answer.", **asked) == "2 + 2 = 4\n#### 4"
    # A solution that ends in its box already says it once.
    assert _demonstration(boxed, answer="0", solution=MATH_SOLUTION) == MATH_SOLUTION
    # Nothing asks for a form: what the strict rewards pay.
    tagged = _demonstration(None, **asked)
    assert tagged == "<think>2 + 2 = 4</think><answer>4</answer>"
    # The question itself may ask for it.
    assert _demonstration(None, question="2 + 2? Answer in \\boxed{}.", **asked).endswith("{4}.")


def test_tags_within_a_solution_do_not_break_the_form():
    whole = "<think>two and two</think><answer>4</answer>"
    distilled = "<think>\nwell, 2 + 2\n</think>\n\nIt is \\boxed{4}."
    hidden = "<thi<think>nk>2 + 2 = 4"
    assert _demonstration(answer=whole) == whole
    message = _demonstration(answer="4", solution=distilled)
    assert message == "<think>well, 2 + 2\n\n\nIt is \\boxed{4}.</think><answer>4</answer>"
    with pytest.raises(TaskError, match="no worked solution"):
        _demonstration(answer="4", solution=hidden)


NO_SOLUTION = [
    {"answer": "4"},
    {"answer": "1,080"},
    {"answer": "#### 4"},
    {"answer": "\\boxed{4}"},
    {"answer": "$\\boxed{4}$."},
    {"answer": "Final answer: 4"},
    {"answer": "<answer>4</answer>"},
    {"answer": "4", "solution": "$4$"},
    {"answer": "4", "solution": None},
    {"answer": "22", "choices": ["21", "22"]},
]


@in_one_test({"row": row} for row in NO_SOLUTION)
def test_a_row_without_a_worked_solution_is_refused_with_its_place(row):
    with pytest.raises(TaskError, match=r"'How much.*row 0.*no worked solution.*solution_key="):
        _demonstration(**row)


def test_a_gold_that_cannot_be_written_in_the_form_is_refused():
    problem = Problem("q", "a</answer>b", solution="steps")
    task = Task("t", [problem], [Problem("r", "1")], SYSTEM_PROMPT)
    with pytest.raises(TaskError, match="cannot be written in the form"):
        task.demonstration(problem)


def test_a_gold_that_is_compared_as_text_is_shown_without_the_mark_for_that():
    problem = Problem("q", "}}{{", solution="steps")
    task = Task("t", [problem], [Problem("r", "1")], SYSTEM_PROMPT)
    as_text = with_readable_golds(task, "text")
    message = as_text.demonstration(as_text.train[0])
    assert message == "<think>steps</think><answer>}}{{</answer>"
    assert strict_correct(message, as_text.train[0].answer)


# ------------------------------------------------------------ full marks


def _check_full_marks(task: Task) -> None:
    problems = [*task.train, *task.held_out]
    messages = [task.demonstration(problem) for problem in problems]
    golds = [problem.answer for problem in problems]
    for reward in (format_reward, answer_reward, lenient_answer_reward):
        scores = reward(completions=messages, answer=golds)
        unpaid = [m for m, score in zip(messages, scores, strict=True) if score != 1]
        assert not unpaid, (reward.__name__, len(unpaid), unpaid[:3])


@in_one_test({"name": name} for name in TASKS if name.startswith("arithmetic"))
def test_every_demonstration_of_arithmetic_scores_full_marks(name):
    _check_full_marks(load_task(name))


def test_every_demonstration_of_gsm8k_scores_full_marks(shared):
    task = load_task(shared / "data" / "gsm8k" / "train.jsonl")
    assert len(task.train) + len(task.held_out) == 8792
    _check_full_marks(task)
    texts = [task.demonstration(problem) for problem in (*task.train, *task.held_out)]
    assert not [text for text in texts if "<<" in text or "####" in text]
    assert min(len(parse(text).think) for text in texts) > 10


def test_gsm8ks_reasoning_is_its_own_text_but_for_annotations_and_mark(shared):
    rows = [json.loads(line) for line in (shared / "data" / "gsm8k" / "test.jsonl").open()]
    task = load_task(rows, held_out=1)
    solutions = {p.question: p.solution for p in (*task.train, *task.held_out)}
    for row in rows:
        body, _, gold = row["answer"].rpartition("\n#### ")
        # Nothing but the annotations is missing: the two texts agree outside of << and >>.
        outside = "".join(part.partition(">>")[2] or part for part in body.split("<<"))
        assert solutions[row["question"].strip()] == outside.strip(), gold


# ------------------------------------------------------------ arithmetic's workings


def test_sums_and_differences_of_any_length_are_worked_out_digit_by_digit():
    assert add(47, 38) == ("7+8=15 4+3+1=8", 85)
    assert add(985, 47) == ("5+7=12 8+4+1=13 9+0+1=10", 1032)
    assert subtract(83, 47) == ("13-7=6 7-4=3", 36)
    assert subtract(500, 123) == ("10-3=7 9-2=7 4-1=3", 377)


def test_every_working_leads_to_the_answer_of_its_problem():
    for kinds in (KINDS, LONGER, THREE_STEPS, WORDING, OPERATORS):
        for problem in draw_problems(500, np.random.default_rng(0), held_out=True, kinds=kinds):
            steps, result = kinds[problem.kind].work(*problem.columns["numbers"])
            assert (steps, str(result)) == (problem.solution, problem.answer)
            for first, sign, second, written in re.findall(
                r"(?<![+\d])(\d+)([-*])(\d+)=(\d+)", steps
            ):
                calculated = int(first) * int(second)
                if sign == "-":
                    calculated = int(first) - int(second)
                assert calculated == int(written), steps
            for summands, written in re.findall(r"(\d+(?:\+\d+)+)=(\d+)", steps):
                assert sum(map(int, summands.split("+"))) == int(written), steps
