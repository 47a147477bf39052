"""Completions that nobody wishes for: none is executed, none takes longer than it may, none ends a
run, and each comes back from the record as it was."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hostile.many import GOLDS, LIMIT, REWARDS, does_nothing, through_everything
from hostile.texts import FRAMES, HUGE, PIECES, hostile_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import make_run

from workbench.doctor.report import report
from workbench.errors import inert
from workbench.policy import PolicyError
from workbench.policy.load import load_reader
from workbench.rewards import RewardSet, answers_equal, lenient_correct, strict_correct
from workbench.rewards.steps import arithmetic_steps, split_steps
from workbench.widgets import Dashboard
from workbench.widgets.export_html import export_html

ANYTHING = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.characters(categories=["Cs", "Cc", "Cf"]),
        st.sampled_from("\\{}()[]$^_/*,.;:=<>|&%#!0123456789exyi \n"),
    ),
    max_size=80,
)
LATEX = r"""\frac \sqrt \boxed \text \left \right \, \! \( \) $ { } ( ) [ ] ^ _ + - * / = < , . ;
    ! % \cdot \pi \infty \binom \sum \int \lim \cup \begin{pmatrix} \end{pmatrix} \\ & 1 2 8 0.5 x
    y e i and or not is the answer <think> </think> <answer> </answer> #### ** cm"""
TOKENS = st.lists(st.sampled_from([*LATEX.split(), " ", "\n"]), max_size=14).map("".join)


def test_the_same_seed_gives_the_same_texts_and_all_kinds() -> None:
    texts = list(hostile_texts(3_000, 1))
    assert texts == list(hostile_texts(3_000, 1))
    assert texts != list(hostile_texts(3_000, 2))
    whole = "\n".join(texts)
    assert all(any(piece in whole for piece in pieces) for pieces in PIECES.values())


@settings(max_examples=150)
@given(text=st.one_of(ANYTHING, TOKENS), gold=st.sampled_from(GOLDS))
def test_no_text_ends_the_judging(text: str, gold: str) -> None:
    for frame in FRAMES[:4]:
        completion = frame.replace("{}", text)
        assert lenient_correct(completion, gold) in (True, False, None)
        assert strict_correct(completion, gold) in (True, False, None)
    assert answers_equal(text, gold) in (True, False, None)
    arithmetic_steps(prompts=["1 + 1"], completions=[text], answer=[gold])
    assert does_nothing(inert(text))


@pytest.mark.parametrize(
    ("count", "seed"), [(1_000, 0), pytest.param(5_000, 1, marks=pytest.mark.slow)]
)
def test_thousands_go_through_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = through_everything(count, seed, tmp_path)
    assert outcome.completions == count
    # What is executed leaves a file of this name behind.
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert outcome.slowest < LIMIT
    assert outcome.megabytes < 400


@pytest.mark.slow
@pytest.mark.parametrize("gold", ["8", "x+1"])
def test_a_megabyte_is_scored_in_seconds(gold: str) -> None:
    """Anything that takes the square of a text's length would need an hour for these."""
    rewards = RewardSet(REWARDS)
    slow = {}
    for name, make in HUGE.items():
        text = make()
        texts = [frame.replace("{}", text) for frame in FRAMES[:6]]
        began = time.process_time()
        table = rewards.score(
            [text] * len(texts),
            texts,
            step=1,
            completion_ids=[list(range(100))] * len(texts),
            columns={"answer": [gold] * len(texts)},
            timeout=LIMIT,
        )
        seconds = time.process_time() - began
        assert table.rewards_BK.shape == (len(texts), len(REWARDS))
        if seconds > 15:
            slow[name] = seconds
    assert slow == {}


@pytest.mark.slow
def test_long_texts_are_cut_into_steps_in_seconds() -> None:
    slow = {}
    for name, make in HUGE.items():
        text = make()[:100_000]
        began = time.process_time()
        arithmetic_steps(prompts=["1 + 1"], completions=[text], answer=["8"])
        split_steps(text)
        if (seconds := time.process_time() - began) > 5:
            slow[name] = seconds
    assert slow == {}


@pytest.mark.slow
def test_a_step_of_megabytes_is_shown_and_exported_in_seconds(tmp_path: Path) -> None:
    """Its pages are cut where a person's patience is, not the text's."""
    texts = [make() for make in HUGE.values()]
    texts += texts[: -len(texts) % 4]
    run = make_run(
        tmp_path / "run", steps=2, prompts=len(texts) // 4, group=4, texts=lambda step: texts
    )
    began = time.process_time()
    page = export_html(run, tmp_path / "page.html")
    assert page.stat().st_size < 6_500_000
    report(run)
    dashboard = Dashboard(run)
    for i, _ in enumerate(dashboard.views):
        dashboard.tabs.selected_index = i
        dashboard.show_step(2)
        assert "Error" not in dashboard.error.value
    assert time.process_time() - began < 90


def test_half_a_surrogate_pair_in_a_prompt_is_one_sentence() -> None:
    """From a task in Python or a command line that is no UTF-8; data files refuse the row."""
    reader = load_reader("embedded")
    with pytest.raises(PolicyError, match=r"half a surrogate pair \(U\+D800\).*1 \+ .ud800 1"):
        reader.encode_prompt([{"role": "user", "content": "1 + \ud800 1"}])
