"""The group view as a person uses it; hostile texts stay inert; 1,024 completions stay quick."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from inert_html import HOSTILE, assert_inert, read_html, text_of
from made_runs import growing_run, make_run

from workbench.rewards.answers import math_process
from workbench.runs import RunWriter
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.groups.answer import reason_of
from workbench.widgets.groups.shown_text import marked
from workbench.widgets.groups.table import FILTERS, SORTS
from workbench.widgets.groups.view import GROUPS_AT_ONCE, STRIP_CHARACTERS, GroupsView


@pytest.fixture
def source(tmp_path) -> RunSource:
    return RunSource(make_run(tmp_path / "a", steps=3, truncation=0.25))


def view_of(source: RunSource, step: int | None = None) -> GroupsView:
    """In the order of the record, so that a test can name a group by its place."""
    view = GroupsView()
    view.sort.value = "original order"
    view.show([source], step)
    assert view.message.value == ""
    return view


def shown(view: GroupsView) -> list[str]:
    """The HTML of each group that is drawn in full."""
    whole = view.box.html.partition('<div class="wb-dead">')[0]
    return re.split(r'(?=<div class="wb-group" )', whole)[1:]


def rows_of(html: str) -> list[int]:
    """The row numbers in a card's table."""
    folded = re.findall(r'<tr data-row="\d+" data-rows="([\d ]+)">', html)
    return [int(row) for rows in folded for row in rows.split()]


def first_rows(html: str) -> list[int]:
    """The rows that stand for all that are equal to them."""
    return [int(row) for row in re.findall(r'<tr data-row="(\d+)"', html)]


def flags_of(html: str) -> list[str]:
    return re.findall(r'<span class="wb-flag">([^<]*)</span>', html)


def click(view: GroupsView, row: int) -> None:
    """As the front end sends it."""
    view.box.set_state({"picked": [row, view.box.picked[1] + 1]})


def test_a_card_has_all_of_a_group(source: RunSource) -> None:
    view, samples = view_of(source, 2), source.run.samples(2)
    assert [sorted(rows_of(card)) for card in shown(view)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
    ]
    for card, (_, group) in zip(shown(view), samples.groupby("group"), strict=True):
        text = text_of(card)
        assert group["prompt"].iloc[0] in text
        assert f"gold answer: {group['gold_answer'].iloc[0]}" in text
        for sample in group.itertuples():
            assert sample.completion in text
            assert number_text(sample.advantage, "+.4g") in text
            assert f'title="{sample.advantage!r}"' in card
        assert ("dead" in text) == bool(group["dead"].iloc[0])
        drawn = group.loc[group["row"].isin(first_rows(card))]
        flags = flags_of(card)
        assert flags.count("truncated") == drawn["truncated"].sum()
        assert flags.count("right") == (drawn["rewards/answer_reward"] > 0).sum()
        assert flags.count("wrong") == (drawn["rewards/answer_reward"] <= 0).sum()
    head = text_of(shown(view)[0])
    assert all(
        title in head
        for title in ("format_reward", "answer_reward", "baseline", "advantage", "tokens")
    )


@pytest.mark.parametrize(
    ("text", "gold", "remark"),
    [
        ("it is 42", "42", "right, untagged"),
        ("it is 41", "42", "wrong"),
        ("\\boxed{Paris}", "Paris", "right, untagged"),
        ("<answer>41</answer> or 42", "42", "wrong"),
        ("\\boxed{x^2}", "x^2", "wrong"),
        ("42", None, "wrong"),
    ],
)
def test_a_right_answer_without_its_tag_is_not_called_wrong(
    tmp_path, monkeypatch, text: str, gold: str | None, remark: str
) -> None:
    monkeypatch.setattr(
        math_process, "equal", lambda *_: pytest.fail("a view compares no expressions")
    )
    monkeypatch.setattr(
        math_process, "readable", lambda *_: pytest.fail("a view reads no expressions")
    )
    made = make_run(
        tmp_path / "a",
        steps=1,
        rewards=lambda step: np.zeros((16, 2)),
        texts=lambda step: [text] * 16,
        samples=lambda step, s: replace(s, gold_answers=[gold] * 4),
    )
    card = shown(view_of(RunSource(made)))[0]
    assert set(flags_of(card)) == {"dead", remark}
    assert len(rows_of(card)) == 4


def test_the_bar_shows_sign_and_size(source: RunSource) -> None:
    view, samples = view_of(source, 3), source.run.samples(3)
    largest = samples["advantage"].abs().max()
    bars = [
        (tag[1]["class"], tag[1]["style"])
        for card in shown(view)
        for tag in read_html(card).tags
        if tag[1].get("class") in ("wb-up", "wb-down")
    ]
    wanted = [
        ("wb-up" if a > 0 else "wb-down", f"width:{abs(a) / largest * 50:.0f}%")
        for a in samples["advantage"][[row for card in shown(view) for row in first_rows(card)]]
        if a != 0
    ]
    assert bars == wanted != []


def test_a_dead_group_is_explained(tmp_path) -> None:
    view = view_of(
        RunSource(make_run(tmp_path / "a", steps=1, rewards=lambda step: np.ones((16, 2))))
    )
    assert all(
        "every advantage is 0, so the group teaches nothing" in text_of(card)
        for card in shown(view)
    )


def test_not_scored_and_no_gold_answer_are_words(tmp_path) -> None:
    rewards = np.ones((16, 2))
    rewards[0] = [0, np.nan]
    source = RunSource(
        make_run(
            tmp_path / "a",
            steps=1,
            rewards=lambda step: rewards,
            samples=lambda step, s: replace(s, gold_answers=[None] * 4),
        )
    )
    text = text_of(shown(view_of(source))[0])
    assert "not scored" in text
    assert "gold answer: none" in text
    assert "nan" not in text


def test_another_baseline_is_said(tmp_path) -> None:
    view = view_of(
        RunSource(make_run(tmp_path / "a", steps=1, config={"advantage_baseline": "leave_one_out"}))
    )
    assert "leave_one_out" in text_of(view.summary.value)


def test_equal_completions_stand_once_with_their_number(tmp_path) -> None:
    texts = ["same", "same", "other", "same"]
    rewards = np.array([[1.0, 0], [1, 0], [0, 0], [0, 0]])
    made = make_run(
        tmp_path / "a",
        steps=1,
        prompts=1,
        group=4,
        texts=lambda step: texts,
        rewards=lambda step: rewards,
        samples=lambda step, s: replace(s, truncated_B=np.zeros(4, bool)),
        tokens=3,
        truncation=1.0,
    )
    (card,) = shown(view_of(RunSource(made)))
    rows = re.findall(r'<tr data-row="\d+" data-rows="([\d ]+)">', card)
    # The last one has the text of the first two, and another reward.
    assert rows == ["0 1", "2", "3"]
    assert text_of(card).count("×2") == 1
    assert "rows 0, 1 are the same" in card


def test_dead_groups_stand_in_one_line_and_open_there(tmp_path) -> None:
    rewards = np.repeat([[0.0, 0], [1, 1], [0, 0], [0, 0]], 4, axis=0)
    rewards[2] = 1
    made = make_run(tmp_path / "a", steps=1, rewards=lambda step: rewards)
    view = view_of(RunSource(made))
    assert [rows_of(card)[0] // 4 for card in shown(view)] == [0]
    strip = view.box.html.partition('<div class="wb-dead">')[2]
    assert re.findall(r'class="wb-dead-one" data-group="(\d)"', strip) == ["1", "2", "3"]
    assert "3 dead" in text_of(strip)
    assert "1 all 2" in text_of(strip)
    assert sorted(rows_of(strip)) == list(range(4, 16)), "all of it is there to be opened"
    assert "and 3 in one line" in text_of(view.summary.value)
    view.keep.value = "dead groups only"
    assert [rows_of(card)[0] // 4 for card in shown(view)] == [1, 2, 3]
    assert "wb-dead" not in view.box.html


def test_a_dead_group_with_an_advantage_is_no_strip(tmp_path) -> None:
    """As with a baseline of the batch: it is learnt from."""
    made = make_run(
        tmp_path / "a",
        steps=1,
        rewards=lambda step: np.ones((16, 2)),
        samples=lambda step, s: replace(s, advantage_B=np.repeat([1.0, 0, 0, 0], 4)),
    )
    assert [rows_of(card)[0] // 4 for card in shown(view_of(RunSource(made)))] == [0]


def test_a_strip_of_many_groups_says_how_many_it_leaves_out(tmp_path) -> None:
    rewards = np.ones((800, 2))
    rewards[0] = 0
    made = make_run(tmp_path / "a", steps=1, prompts=100, group=8, rewards=lambda step: rewards)
    strip = view_of(RunSource(made)).box.html.partition('<div class="wb-dead">')[2]
    chips = strip.count('class="wb-dead-one"')
    assert 1 <= chips < 99
    assert f"and {99 - chips} more" in text_of(strip)
    assert len(strip) < 1.5 * STRIP_CHARACTERS


@pytest.mark.parametrize(
    ("text", "gold", "given", "why"),
    [
        (
            "<think>a</think><answer>42</answer>",
            "42",
            "in its tag",
            "format 1: both tags, nothing around them · answer 1: 42 is right",
        ),
        (
            "x <think>a</think><answer>41</answer>",
            "42",
            "in its tag",
            "format 0: text before <think> · answer 0: 41, not 42",
        ),
        ("it is 42", "42", "in no tag", "format 0: no <think> · answer 0: no <answer>"),
        (
            "<answer>1</answer> or <answer>42</answer>",
            "42",
            "",
            "format 0: no <think> · answer 0: 2 <answer> tags",
        ),
        ("<answer>x</answer>", "x^2", "in its tag", "format 0: no <think>"),
    ],
)
def test_the_answer_is_underlined_and_each_reward_says_why(
    tmp_path, text: str, gold: str, given: str, why: str
) -> None:
    paid = [[float("format 1" in why), float("answer 1" in why)]] * 16
    made = make_run(
        tmp_path / "a",
        steps=1,
        rewards=lambda step: np.array(paid),
        texts=lambda step: [text] * 16,
        samples=lambda step, s: replace(s, gold_answers=[gold] * 4),
    )
    card = shown(view_of(RunSource(made)))[0]
    assert why in text_of(card)
    underlined = re.findall(r'<span class="wb-given[^"]*" title="([^"]*)">([^<]*)</span>', card)
    assert all(given in title for title, _ in underlined) if given else not underlined
    assert all(answer in text for _, answer in underlined)
    assert bool(underlined) == bool(given)


def test_a_reason_that_would_contradict_the_pay_is_not_given() -> None:
    """A shuffled reward, or one of another name, pays for something else."""
    text = "<think>a</think><answer>42</answer>"
    assert reason_of("answer_reward", 1.0, text, "42") == "42 is right"
    assert reason_of("answer_reward", 0.0, text, "42") == ""
    assert reason_of("shuffled_answer_reward", 1.0, text, "42") == ""
    assert reason_of("answer_reward", float("nan"), text, "42") == ""


# -------------------------------------------------- picking a completion


def test_a_click_on_a_row_calls_back_with_it_each_time(source: RunSource) -> None:
    picked: list[int] = []
    view = GroupsView(on_pick=picked.append)
    view.show([source], 2)
    click(view, 9)
    click(view, 9)
    assert picked == [9, 9]
    assert view.step == 2
    buttons = [a for tag, a in read_html(view.box.html).tags if tag == "button"]
    assert all(a["aria-label"].endswith("open its tokens") for a in buttons)
    assert len(buttons) == view.box.html.count("<tr data-row=")


def test_drawing_picks_nothing(source: RunSource) -> None:
    picked: list[int] = []
    view = GroupsView(on_pick=picked.append)
    view.sort.value = "original order"
    for step in (1, 2, 3):
        view.show([source], step)
    view.sort.value, view.keep.value = "mean reward", "with a right completion"
    assert picked == []


def test_the_row_that_the_dashboard_shows_is_marked(source: RunSource) -> None:
    view = view_of(source, 2)
    assert view.box.selected == -1
    view.selection.row = 9
    assert view.box.selected == 9


def test_an_error_of_the_listener_is_shown(source: RunSource) -> None:
    def listener(row: int) -> None:
        raise ValueError(f"row {row}: " + "".join(HOSTILE))

    view = GroupsView(on_pick=listener)
    view.sort.value = "original order"
    view.show([source], None)
    click(view, 1)
    assert "ValueError: row 1: <script>" in text_of(view.message.value)
    assert_inert(view.message.value)


def test_the_listener_may_be_waited_for_by_another_drawing(source: RunSource) -> None:
    """The dashboard holds its own lock while it draws this view, and takes it in the callback: no
    deadlock."""
    outer, entered = threading.Lock(), threading.Event()

    def listener(row: int) -> None:
        entered.set()
        with outer:
            pass

    view = GroupsView(on_pick=listener)
    view.sort.value = "original order"
    view.show([source], 1)
    with outer:
        clicks = threading.Thread(target=lambda: click(view, 2), daemon=True)
        clicks.start()
        assert entered.wait(10)
        view.show([source], 2)
    clicks.join(10)
    assert not clicks.is_alive()


# ---------------------------------------- sorting, filters, search, pages


def test_it_opens_with_the_group_that_teaches_most(source: RunSource) -> None:
    view = GroupsView()
    view.show([source], 3)
    groups = source.run.groups(3)
    order = [rows_of(card)[0] // 4 for card in shown(view)]
    assert order[0] == groups["std"].argmax()
    assert not groups["dead"][order[0]]
    spread = groups["std"][order].tolist()
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("keep", FILTERS)
def test_every_order_and_filter_holds_with_rewards_that_are_not_scored(
    tmp_path, sort: str, keep: str
) -> None:
    rewards = np.random.default_rng(0).random((16, 4)).round(1)
    rewards[rewards < 0.3] = np.nan
    rewards[4:8] = np.nan
    source = RunSource(
        make_run(
            tmp_path / "a",
            steps=1,
            reward_names=("a", "b", "c", "answer"),
            rewards=lambda step: rewards,
        )
    )
    view = view_of(source)
    view.sort.value, view.keep.value = sort, keep
    for by in view.by.options:
        view.by.value = by
        assert view.message.value == ""
        for card in shown(view):
            assert_inert(card)
            assert not re.search(r"\bnan\b", card)


@pytest.mark.parametrize("group", [1, 256])
def test_a_group_of_one_and_a_group_of_many(tmp_path, group: int) -> None:
    rewards = np.random.default_rng(0).random((2 * group, 2))
    view = view_of(
        RunSource(
            make_run(tmp_path / "a", steps=1, prompts=2, group=group, rewards=lambda step: rewards)
        )
    )
    assert len(rows_of(shown(view)[0])) == group


def test_matching_completions_only(source: RunSource) -> None:
    view = view_of(source, 3)
    view.keep.value = "with a truncated completion"
    assert all(len(rows_of(card)) == 4 for card in shown(view))
    view.matching_only.value = True
    truncated = np.flatnonzero(source.run.samples(3)["truncated"]).tolist()
    assert sorted(row for card in shown(view) for row in rows_of(card)) == truncated != []
    assert "other completions of this group do not match" in text_of(shown(view)[0])


def test_sort_and_search_change_what_is_shown(source: RunSource) -> None:
    view, groups = view_of(source, 2), source.run.groups(2)
    view.sort.value = "mean reward"
    assert rows_of(shown(view)[0])[0] // 4 == groups["mean"].argmax()
    view.smallest_first.value = True
    assert rows_of(shown(view)[0])[0] // 4 == groups["mean"].argmin()
    view.search.value = groups["problem_id"][2]
    assert [rows_of(card)[0] // 4 for card in shown(view)] == [2]
    view.search.value = "no such text"
    assert shown(view) == []
    assert "0 groups" in text_of(view.summary.value)
    assert "Change the search" in text_of(view.summary.value)


def test_pages(tmp_path) -> None:
    view = view_of(RunSource(make_run(tmp_path / "a", steps=1, prompts=20, group=4)))
    assert len(shown(view)) == GROUPS_AT_ONCE
    assert view.previous.disabled
    assert "shown are 1 to 8" in text_of(view.summary.value)
    view.next.click()
    view.next.click()
    assert [rows_of(card)[0] // 4 for card in shown(view)] == [17, 19], "two of the last are dead"
    assert view.box.html.count('class="wb-dead-one"') == int(
        view.source.run.groups(1)["dead"].sum()
    )
    assert view.next.disabled
    view.sort.value = "length"
    assert len(shown(view)) == GROUPS_AT_ONCE, "another order begins at its first page"


@pytest.mark.parametrize(
    ("prompts", "group", "cards"), [(16, 8, 8), (8, 16, 4), (16, 64, 1), (4, 100, 1)]
)
def test_large_groups_come_in_smaller_pages(tmp_path, prompts: int, group: int, cards: int) -> None:
    view = view_of(RunSource(make_run(tmp_path / "a", steps=1, prompts=prompts, group=group)))
    assert len(shown(view)) == cards
    assert len(rows_of(shown(view)[0])) == group


def test_long_texts_come_in_smaller_pages(tmp_path) -> None:
    view = view_of(
        RunSource(
            make_run(
                tmp_path / "a",
                steps=1,
                prompts=8,
                group=8,
                texts=lambda step: ["word " * 2000] * 64,
            )
        )
    )
    assert len(shown(view)) == 8
    assert "characters left out" in text_of(shown(view)[0])
    view.length.value = 4000
    assert len(shown(view)) == 2


# ------------------------------------------------------- where it stands


def test_nothing_to_show_is_said() -> None:
    view = GroupsView()
    assert "No run" in text_of(view.summary.value)
    view.show([], None)
    view.search.value = "x"
    view.next.click()
    view.steps.newer.click()
    assert view.message.value == ""
    assert shown(view) == []


def test_no_step_yet_then_the_first(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    source = RunSource(live.run)
    view = view_of(source)
    assert "No step yet" in text_of(view.summary.value)
    live.add()
    source.refresh()
    view.show([source], None)
    assert len(shown(view)) == 4
    live.end()


def test_samples_that_were_not_kept_are_said(tmp_path) -> None:
    view = view_of(RunSource(make_run(tmp_path / "a", steps=2, samples=False)))
    assert "were not kept" in text_of(view.summary.value)
    assert shown(view) == []


def test_it_shows_the_step_that_is_chosen_on_any_page(source: RunSource) -> None:
    view = view_of(source)
    assert "Step 3" in text_of(view.summary.value)
    view.show([source], 1)
    assert "Step 1" in text_of(view.summary.value)
    view.steps.newer.click()
    assert view.selection.step == 2
    view.show([source], 1)
    assert "Step 2" in text_of(view.summary.value)
    view.selection.step = None
    view.show([source], 1)
    assert "Step 1" in text_of(view.summary.value)


def test_a_step_that_was_cut_away_is_left(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    live.add(5)
    source = RunSource(live.run)
    view = view_of(source, 5)
    view.steps.box.value = 4
    live.writer.close()
    with RunWriter.resume(tmp_path / "a", 2):
        source.refresh()
        view.show([source], None)
    assert "Step 2" in text_of(view.summary.value)
    assert view.message.value == ""
    with RunWriter.resume(tmp_path / "a", 0):
        source.refresh()
        view.show([source], None)
    assert "No step yet" in text_of(view.summary.value)


def test_errors_are_shown_in_place_and_heal(source: RunSource, monkeypatch) -> None:
    view = view_of(source)
    with monkeypatch.context() as patch:
        patch.setattr("workbench.widgets.groups.view.group_html", lambda *a: 1 / 0)
        view.sort.value = "length"
    assert "ZeroDivisionError" in text_of(view.message.value)
    view.sort.value = "mean reward"
    assert view.message.value == ""


# ----------------------------------------------------- hostile and large


def hostile_source(tmp_path) -> RunSource:
    return RunSource(
        make_run(
            tmp_path / "h",
            steps=1,
            prompts=4,
            group=3,
            texts=lambda step: HOSTILE,
            reward_names=HOSTILE[:2],
            samples=lambda step, s: replace(
                s, prompts=HOSTILE[2:6], gold_answers=HOSTILE[6:10], problem_ids=HOSTILE[8:12]
            ),
        )
    )


@pytest.mark.parametrize(
    "query", ["", "x", "<", "script>", "\u202e", "%s", "\x00", "&", "lt", "\\", "(", "span"]
)
@pytest.mark.parametrize("length", [300, 4000])
def test_hostile_texts_are_inert(tmp_path, query: str, length: int) -> None:
    view = view_of(hostile_source(tmp_path))
    view.length.value = length
    view.search.value = query
    view.by.value = HOSTILE[0]
    assert view.message.value == ""
    assert_inert(view.box.html)
    assert_inert(view.summary.value)


def test_hostile_texts_stay_legible(tmp_path) -> None:
    text = text_of(view_of(hostile_source(tmp_path)).box.html)
    assert "<script>alert(1)</script>" in text
    assert "U+202E" in text
    assert "U+0000" in text
    assert "U+D800" in text
    assert "99,700 characters left out" in text


@pytest.mark.parametrize("place", [0, 500, 49_990, 99_990])
def test_what_was_found_is_in_sight_in_a_long_text(place: int) -> None:
    text = "a" * place + "NEEDLE" + "b" * (100_000 - place - 6)
    html = marked(text, "needle", 300)
    assert "<mark>NEEDLE</mark>" in html
    assert_inert(html)
    assert len(text_of(html)) < 400


def test_every_place_is_marked_and_nothing_else_changes() -> None:
    text = "one <ONE> onerous\nbone"
    html = marked(text, "one", 300)
    assert text_of(html) == text
    assert html.count("<mark>") == 4


def test_1024_completions_are_drawn_quickly(tmp_path) -> None:
    texts = ["The sum of 12 and 30 is 42, so <answer>42</answer>.\n" * 20] * 1024
    source = RunSource(
        make_run(tmp_path / "a", steps=2, prompts=128, group=8, texts=lambda step: texts)
    )
    view = GroupsView()

    def seconds(act) -> float:
        start = time.process_time()
        act()
        json.dumps(view.box.html)
        return time.process_time() - start

    assert min(seconds(lambda step=step: view.show([source], step)) for step in (1, 2, 1, 2)) < 0.05
    assert (
        min(
            seconds(lambda name=name: setattr(view.sort, "value", name))
            for name in ("length", "mean reward", "truncated")
        )
        < 0.05
    )
    assert (
        min(
            seconds(lambda text=text: setattr(view.search, "value", text))
            for text in ("sum", "answer", "42")
        )
        < 0.05
    )
    assert min(seconds(view.next.click) for _ in range(3)) < 0.05
