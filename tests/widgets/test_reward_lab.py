"""The reward lab: an edited answer against the training's own arithmetic, rewards in every form,
errors in words, the attacks, and hostile text."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from inert_html import HOSTILE
from made_runs import make_run

from workbench.objective import AdvantageRule, group_advantages
from workbench.rewards import answer_reward, check_reward, format_reward
from workbench.runs import Run
from workbench.tasks import Problem, Task, load_task
from workbench.widgets import RewardLab
from workbench.widgets.base.text import menu_text, tail_text

RIGHT = "<think>I add.</think><answer>7</answer>"
WRONG = "<think>I add.</think><answer>8</answer>"


def run_of(folder: Path, written: list[str] | None = None, **how: Any) -> Run:
    """One step of two groups of three."""
    completions = written or [RIGHT, WRONG, "7"] * 2
    given: dict[str, Any] = {
        "steps": 1,
        "prompts": 2,
        "group": 3,
        "texts": lambda step: completions,
        "keep_tokens": False,
    }
    return make_run(folder, **given | how)


def with_golds(run: Run, gold: str) -> Run:
    """The same with this gold answer for all problems."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(run.path)) as db, db:
        db.execute("UPDATE groups SET gold_answer = ?", (gold,))
        db.execute("DELETE FROM checksums WHERE name = 'groups'")
        db.execute("DELETE FROM meta WHERE key = 'sealed_from'")
        db.execute("DROP TABLE checksums")
    return run


def words(markup: str) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", " ", markup))
    return re.sub(r"\s+", " ", text).strip()


def table_of(lab: RewardLab) -> list[str]:
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", lab.output.value, flags=re.S)
    return [words(row) for row in rows]


# ------------------------------------------------------------ before and after


def test_an_edit_moves_rewards_and_the_whole_groups_advantages(tmp_path: Path) -> None:
    lab = RewardLab(with_golds(run_of(tmp_path), "7"), row=4)
    assert lab.problem == ""
    assert lab.boxes.text.value == WRONG
    assert (lab.boxes.group.value, lab.boxes.row.value) == (1, 1)
    before, after = ([[1, 1], [1, 0], [0, 0]], [[1, 1], [1, 1], [0, 0]])
    lab.boxes.text.value = RIGHT
    for paid, rewards in ((lab.before, before), (lab.paid, after)):
        expected = group_advantages(torch.tensor(rewards).double(), AdvantageRule(3))
        np.testing.assert_array_equal(paid.rewards_GK, rewards)
        np.testing.assert_allclose(paid.total_G, expected.total_B)
        np.testing.assert_allclose(paid.advantage_G, expected.advantage_B)
    # By hand: totals 2, 1, 0 have mean 1 and std 1; 2, 2, 0 have 4/3 and 2/sqrt(3).
    assert lab.summary == ("row 4: total 1 → 2 (answer_reward 0 → 1), advantage +0.000 → +0.577.")
    rows = table_of(lab)
    assert rows[2].startswith(f"row 4 {RIGHT} 1 0 → 1 1 → 2 +0.000 → +0.577")
    assert rows[1].startswith(f"row 3 {RIGHT} 1 1 2 +1.000 → +0.577")
    assert rows[3].startswith("row 5 7 0 0 0 -1.000 → -1.155")


def test_as_it_was_and_another_completion(tmp_path: Path) -> None:
    lab = RewardLab(with_golds(run_of(tmp_path), "7"))
    first = lab.output.value
    lab.boxes.text.value = "nothing"
    assert lab.output.value != first
    lab.boxes.restore.click()
    assert lab.boxes.text.value == RIGHT
    assert lab.output.value == first
    assert "as it was: total 2, advantage +1.000" in lab.summary
    lab.boxes.row.value = 2
    assert lab.boxes.text.value == "7"
    lab.boxes.group.value = 1
    assert lab.boxes.text.value == RIGHT
    assert lab.summary.startswith("row 3, as it was")


def test_a_group_that_dies_and_one_that_wakes_are_named(tmp_path: Path) -> None:
    lab = RewardLab(with_golds(run_of(tmp_path, [RIGHT, RIGHT, WRONG] * 2), "7"), row=2)
    lab.boxes.text.value = RIGHT
    assert "a dead group, which teaches nothing" in lab.summary
    assert list(lab.paid.advantage_G) == [0, 0, 0]
    alive = RewardLab(with_golds(run_of(tmp_path / "b", [WRONG] * 6), "7"))
    alive.boxes.text.value = RIGHT
    assert "now it teaches something" in alive.summary


@pytest.mark.parametrize(
    "settings",
    [
        {"scale_rewards": "none"},
        {"advantage_std": "population"},
        {"advantage_baseline": "leave_one_out", "scale_rewards": "none"},
        {"scale_rewards": "batch"},
        {"advantage_baseline": "batch"},
        {"multi_objective_aggregation": "normalize_then_sum"},
        {"reward_weights": [0.5, 2.0]},
    ],
)
def test_the_rule_is_that_of_the_run(settings: dict[str, Any], tmp_path: Path) -> None:
    texts = [RIGHT, WRONG, "7", WRONG, WRONG, RIGHT]
    lab = RewardLab(with_golds(run_of(tmp_path, texts, config=settings), "7"), row=3)
    lab.boxes.text.value = "no form"
    texts[3] = "no form"
    answers = [[{"role": "assistant", "content": text}] for text in texts]
    rewards = np.array([format_reward(answers), answer_reward(answers, answer=["7"] * 6)]).T
    expected = group_advantages(torch.tensor(rewards), AdvantageRule(3, **settings))
    np.testing.assert_allclose(lab.paid.advantage_G, expected.advantage_B[3:], atol=1e-12)
    np.testing.assert_allclose(lab.paid.total_G, expected.total_B[3:])


def test_knob_changes_count_from_their_step_on(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=2, knobs={2: {"scale_rewards": "none"}})
    with_golds(run, "7")
    assert RewardLab(run, step=1).paid.advantage_G[0] == pytest.approx(1 / (1 + 1e-4))
    assert RewardLab(run, step=2).paid.advantage_G[0] == pytest.approx(1)


# ------------------------------------------------------------ reward functions


def loud(completions: Any, **columns: Any) -> list[float]:
    return [float(len(c[0]["content"])) for c in completions]


def test_rewards_by_name_callable_and_file(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    file.write_text("def f(completions, **_):\n    return [0.5 for c in completions]\n")
    lab = RewardLab(rewards=["format", loud, f"{file}:f"])
    assert lab.problem == ""
    assert lab.boxes.rewards.value == f"format, loud, {file}:f"
    lab.boxes.text.value = "abc"
    assert list(lab.paid.rewards_GK[0]) == [0, 3, 0.5]
    lab.boxes.rewards.value = "loud"
    assert list(lab.paid.rewards_GK[0]) == [3]
    assert lab.attacks.reward.options == (("loud", "loud"),)
    lab.boxes.rewards.value = f"{file}:f"
    file.write_text("def f(completions, **_):\n    return [0.25 for c in completions]\n")
    lab.boxes.again.click()
    assert lab.paid.rewards_GK[0, 0] == 0.25, "the file is read again"
    assert RewardLab(rewards=loud).boxes.rewards.value == "loud"


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("", "no reward function is named"),
        ("nonsense", "reward 'nonsense' is unknown. Choose one of format, answer"),
        ("missing.py:f", "there is no file 'missing.py'"),
        ("format, format:", "'format:' is unknown"),
    ],
)
def test_a_reward_that_is_not_there(box: str, said: str, tmp_path: Path) -> None:
    lab = RewardLab()
    before = lab.output.value
    lab.boxes.rewards.value = box
    assert said in lab.problem
    assert "role='alert'" in lab.message.value
    assert lab.output.value == before, "the last picture stays"
    lab.boxes.rewards.value = "answer"
    assert lab.problem == lab.message.value == ""


def test_a_reward_that_raises_is_shown_with_the_sample() -> None:
    def fragile(completions: Any, **_: Any) -> list[float]:
        return [1 / len(c[0]["content"]) for c in completions]

    lab = RewardLab(rewards=[fragile])
    assert "reward function 'fragile' raised ZeroDivisionError" in lab.problem
    assert "Row 3" in lab.problem

    def hates_x(completions: Any, **_: Any) -> list[float]:
        if any("x" in c[0]["content"] for c in completions):
            raise ValueError("<script>x</script> \u202e")
        return [0.0 for _ in completions]

    lab = RewardLab(rewards=[hates_x])
    before = lab.output.value
    lab.boxes.text.value = "x"
    assert "raised ValueError" in lab.problem
    assert "<script>" not in lab.message.value
    assert "\u202e" not in lab.message.value
    assert lab.output.value == before
    lab.boxes.text.value = "y"
    assert lab.problem == ""


def test_faults_that_people_reported_elsewhere_are_said_in_words() -> None:
    def one_for_all(completions: Any, **_: Any) -> list[float]:
        return [1.0]  # trainers have stretched it over the whole batch

    def asks_for_more(completions: Any, assistant: Any, **_: Any) -> list[float]:
        return [0.0 for _ in completions]

    assert "returned 1 reward" in RewardLab(rewards=one_for_all).problem
    said = RewardLab(rewards=asks_for_more).problem
    assert "missing 1 required positional argument: 'assistant'" in said
    assert "The columns of this task are" in said


def test_a_reward_without_an_opinion_is_not_scored() -> None:
    def silent_on_short(completions: Any, **_: Any) -> list[float | None]:
        return [None if len(c[0]["content"]) < 5 else 1.0 for c in completions]

    lab = RewardLab(rewards=[silent_on_short, "format"])
    lab.boxes.text.value = "abc"
    assert np.isnan(lab.paid.rewards_GK[0, 0])
    assert "silent_on_short 1 → not scored" in lab.summary


def test_the_runs_own_function_is_asked_for_by_name(tmp_path: Path) -> None:
    run = run_of(tmp_path, reward_names=("format_reward", "tags_reward"))
    lab = RewardLab(run)
    assert "the run's reward 'tags_reward' is a function of its own" in lab.problem
    assert "RewardLab(run, rewards=[tags_reward, …])" in lab.problem

    def tags_reward(completions: Any, **_: Any) -> list[float]:
        return [1.0 for _ in completions]

    given = RewardLab(run, rewards=["format", tags_reward])
    assert given.problem == ""
    assert "tags_reward: this group is paid otherwise here" in words(given.boxes.remarks.value)


def test_a_record_that_agrees_is_not_remarked_upon(tmp_path: Path) -> None:
    paid = [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]] * 2
    run = with_golds(run_of(tmp_path, rewards=lambda step: paid), "7")
    assert RewardLab(run).boxes.remarks.value == ""
    paid[1] = [1.0, 1.0]
    other = with_golds(run_of(tmp_path / "b", rewards=lambda step: paid), "7")
    assert "answer_reward: this group" in words(RewardLab(other).boxes.remarks.value)


def test_what_a_function_is_given(tmp_path: Path) -> None:
    problems = [Problem(f"Q{i}", str(i), columns={"solution": f"S{i}"}) for i in range(4)]
    task = Task("mine", problems, [Problem("held", "1")], system_prompt="Be brief.")
    seen: dict[str, Any] = {}

    def nosy(prompts: Any, completions: Any, completion_ids: Any, **columns: Any) -> list[float]:
        seen.update(columns, prompts=prompts, ids=completion_ids)
        return [0.0 for _ in completions]

    lab = RewardLab(rewards=nosy, task=task)
    assert seen["solution"] == ["S0"] * 4
    assert seen["prompts"][0][0] == {"role": "system", "content": "Be brief."}
    assert [len(ids) for ids in seen["ids"]][-1] == 0
    assert "one id for each word and sign" in words(lab.boxes.remarks.value)
    counted = RewardLab(rewards=nosy, task=task, encode=lambda text: [1] * len(text))
    counted.boxes.text.value = "abcd"
    assert len(seen["ids"][0]) == 4
    assert counted.boxes.remarks.value == ""


def test_the_tasks_problem_is_found_by_the_record(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    asked = run.samples(1)["prompt"][0]
    task = Task(
        "mine",
        [Problem(asked, "7", columns={"solution": "by hand"}), Problem("other", "1")],
        [Problem("held", "1")],
    )
    seen: list[Any] = []

    def nosy(completions: Any, solution: Any = None, **_: Any) -> list[float]:
        seen.append(solution)
        return [0.0 for _ in completions]

    lab = RewardLab(run, rewards=nosy, task=task)
    assert seen[-1] == ["by hand"] * 3
    lab.boxes.group.value = 1
    assert seen[-1] is None, "the record asked another problem than the task has there"


def test_a_session_brings_its_functions_task_and_tokenizer(tmp_path: Path) -> None:
    run = run_of(tmp_path, reward_names=("loud",))
    trainer = SimpleNamespace(
        rewards=SimpleNamespace(functions=(loud,)),
        task=load_task("arithmetic"),
        policy=SimpleNamespace(tokenizer=SimpleNamespace(encode=lambda text: [0])),
    )
    lab = RewardLab(SimpleNamespace(run=run, trainer=trainer))
    assert lab.problem == ""
    assert lab.paid.rewards_GK[0, 0] == len(RIGHT)
    freed = RewardLab(SimpleNamespace(run=run, trainer=None), rewards="format")
    assert freed.paid.rewards_GK[0, 0] == 1


# ------------------------------------------------------------ steps, slow rewards, text


def test_steps_of_a_run(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=3, texts=lambda step: [f"step {step}"] * 6)
    lab = RewardLab(run)
    assert lab.boxes.text.value == "step 3"
    lab.boxes.step.value = 1
    assert lab.boxes.text.value == "step 1"
    lab.boxes.newest.click()
    assert lab.boxes.text.value == "step 3"


def test_a_step_that_was_not_kept(tmp_path: Path) -> None:
    lab = RewardLab(make_run(tmp_path, steps=2, samples=False, keep_tokens=False))
    assert "the completions of step 2 were not kept" in lab.problem
    assert "step 9 is not in the record" in RewardLab(run_of(tmp_path / "b"), step=9).problem
    assert "step" in RewardLab(make_run(tmp_path / "c", steps=0)).problem


def test_a_slow_reward_answers_when_the_box_is_left(monkeypatch: Any) -> None:
    lab = RewardLab()
    assert lab.boxes.text.continuous_update
    monkeypatch.setattr("workbench.widgets.reward_lab.view.SLOW", 0.0)
    lab.boxes.text.value = "abc"
    assert not lab.boxes.text.continuous_update
    assert "it answers when you leave the box" in words(lab.boxes.remarks.value)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_inert(hostile: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, [hostile] * 6)
    lab = RewardLab(run)
    lab.boxes.row.value = 1
    lab.boxes.text.value = lab.boxes.text.value + "."
    assert lab.problem == ""
    shown = lab.output.value + lab.boxes.asked.value + lab.message.value
    assert "<script" not in shown
    assert "<img" not in shown
    assert not re.search("[\u202e\u2066\x00\ud800-\udfff]", shown)
    for label, _ in lab.boxes.row.options:
        assert label.isprintable()
        assert len(label) < 100
    lab.boxes.text.value.encode()


def test_a_text_that_cannot_travel_is_still_scored_as_it_was(tmp_path: Path) -> None:
    def surrogates(completions: Any, **_: Any) -> list[float]:
        return [float("\ud800" in c[0]["content"]) for c in completions]

    lab = RewardLab(run_of(tmp_path, ["a\ud800"] * 6), rewards=surrogates)
    assert lab.boxes.text.value == "a?"
    assert list(lab.paid.rewards_GK[:, 0]) == [1, 1, 1]
    lab.boxes.text.value = "a"
    assert list(lab.paid.rewards_GK[:, 0]) == [0, 1, 1]


def test_a_text_for_a_menu() -> None:
    assert menu_text("a\n b\t\u202ec", 40) == "a b U+202Ec"
    assert menu_text("<b>", 40) == "<b>", "a menu shows no HTML"
    assert menu_text("x" * 100, 10) == "x" * 9 + "…"


# ------------------------------------------------------------ attacks


def test_the_attacks_are_those_of_the_check() -> None:
    lab = RewardLab(rewards=["format", "answer"])
    lab.attacks.reward.value = "answer_reward"
    lab.attacks.button.click()
    expected = check_reward("answer", "arithmetic")
    assert lab.attacks.result.counts() == expected.counts()
    table = words(lab.attacks.table.value)
    for c in expected.counts():
        assert f"{c.kind} {c.texts} {c.paid} {c.false_positives} {c.false_negatives}" in table, (
            c.kind
        )
    assert f"of {len(expected.rows)} texts {len(expected.false_positives)} false positive" in table
    assert lab.attacks.words.value == ""


def test_texts_that_deceive_a_reward_are_shown_and_inert() -> None:
    def gullible(completions: Any, answer: Any, **_: Any) -> list[float]:
        texts = [c[0]["content"] for c in completions]
        return [float(gold in text) for text, gold in zip(texts, answer, strict=True)]

    lab = RewardLab(rewards=gullible)
    lab.attacks.button.click()
    found = lab.attacks.result
    assert found.false_positives
    table = lab.attacks.table.value
    first = found.false_positives[0]
    assert f"Paid, and should not be: {len(found.false_positives)} texts" in words(table)
    assert first.note in words(table)
    assert not re.search("<(script|img|answer|think)", table)


def test_attacks_that_cannot_be_tried_say_why(tmp_path: Path) -> None:
    lab = RewardLab(run_of(tmp_path))
    lab.attacks.button.click()
    assert "does not hold the problems of the task 'addition'" in words(lab.attacks.words.value)
    assert "RewardLab(run, task=…)" in words(lab.attacks.words.value)

    def picky(completions: Any, **_: Any) -> list[float]:
        if any("work" in c[0]["content"] and "<script>" for c in completions):
            raise ValueError("no <script>")
        return [0.0 for _ in completions]

    lab = RewardLab(rewards=picky)
    lab.boxes.rewards.value = "format"
    lab.boxes.rewards.value = "picky"
    lab.attacks.button.click()
    assert "raised ValueError" in lab.problem or "ValueError" in words(lab.attacks.words.value)
    assert "<script>" not in lab.attacks.words.value + lab.message.value


# ------------------------------------------------------------ as the other labs


def test_it_shows_itself_with_words_for_a_saved_notebook() -> None:
    lab = RewardLab()
    bundle, _ = lab._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.widget.model_id
    assert bundle["text/plain"] == f"{lab.heading}. {lab.summary}"
    sheets = [c.value for c in lab.widget.children if "<style>" in getattr(c, "value", "")]
    assert [sheet.count(".wb {") for sheet in sheets] == [1]
    assert "wb-edited" in sheets[0]


def test_without_torch_it_says_so() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from workbench.widgets import RewardLab\n"
        "lab = RewardLab()\n"
        "assert 'needs torch' in lab.problem, lab.problem\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_end_of_a_text_in_one_line() -> None:
    assert tail_text("a\n b\t\u202ec", 40) == "a b U+202Ec"
    assert tail_text("x" * 100 + "end", 10) == "…xxxxxxend"
    assert tail_text("x" * 100_000 + " \n" * 39 + "end", 10) == "…end", "cut before it is looked at"
