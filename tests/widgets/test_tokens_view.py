"""The token microscope as a person uses it, and what hostile tokens can do to it: nothing."""

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

from workbench.config import GRPOConfig
from workbench.runs import Run, RunWriter, Samples, StepRecord, TokenArrays
from workbench.widgets.source import RunSource
from workbench.widgets.token_html import attribute_text, piece_of
from workbench.widgets.token_row import QUANTITIES, token_row
from workbench.widgets.tokens import PAGE, TABLE_PAGE, TokensView


@pytest.fixture
def source(tmp_path) -> RunSource:
    return RunSource(make_run(tmp_path / "a", steps=3))


def view_of(source: RunSource, step: int | None = None) -> TokensView:
    view = TokensView()
    view.show([source], step)
    assert view.message.value == ""
    return view


def tokens_in(html: str) -> list[dict[str, str | None]]:
    """The attributes of each token."""
    return [attributes for tag, attributes in read_html(html).tags if tag == "span" and attributes.get("tabindex") == "0"]


def test_a_token_has_its_exact_values_for_pointer_keyboard_and_reader(source: RunSource) -> None:
    view = view_of(source, 2)
    view.pick(9)
    tokens, batch = tokens_in(view.body.value), source.run.batch(2)
    assert len(tokens) == batch["lengths_B"][9]
    values = token_row(batch, 9).values
    for place, token in enumerate(tokens):
        label = token["aria-label"] or ""
        assert f"position {place}, id {batch['ids_BT'][9, place]}" in label
        for name in ("ratio", "kl", "entropy", "logp"):
            assert f"{QUANTITIES[name].label} {values[name][place]:.6g}" in label
        assert token["role"] == "img"
    css = view.widget.children[0].value
    assert ":hover::after" in css
    assert ":focus::after { content: attr(aria-label)" in css


@pytest.mark.parametrize("name", QUANTITIES)
def test_every_quantity_is_drawn_with_a_legend(source: RunSource, name: str) -> None:
    view = view_of(source)
    view.pick(10)
    view.quantity_menu.value = name
    assert view.message.value == ""
    assert_inert(view.body.value)
    assert_inert(view.legend.value)
    legend = text_of(view.legend.value)
    assert QUANTITIES[name].meaning in legend
    assert "when its row was last used in an update" in legend
    first = tokens_in(view.body.value)[0]["aria-label"] or ""
    parts = first.split(" · ")
    assert parts[2].startswith(QUANTITIES[name].label if name != "clipped" else ("clipped", "not clipped")), "the chosen one comes first"


def test_clipped_tokens_are_marked_by_a_line_and_a_word(tmp_path) -> None:
    def apart(step, floats):
        change = np.tile([0.5, -0.5, 0.0], len(floats["old_logp"]))[: len(floats["old_logp"])]
        return {"logp": floats["old_logp"] + change}

    source = RunSource(make_run(tmp_path / "a", steps=1, logps=apart))
    view, batch = view_of(source), source.run.batch(1)
    seen = set()
    for row in range(16):
        view.pick(row)
        sides = token_row(batch, row).values["clipped"].tolist()
        for token, side in zip(tokens_in(view.body.value), sides, strict=True):
            classes, label = (token["class"] or "").split(), token["aria-label"] or ""
            assert ("lo" in classes, "hi" in classes) == (side < 0, side > 0)
            assert {-1: "clipped low", 0: "not clipped", 1: "clipped high"}[int(side)] in label
            seen.add(side)
    assert seen == {-1, 0, 1}
    view.quantity_menu.value = "clipped"
    assert "clipped low" in text_of(view.body.value)


def test_values_that_are_not_known_are_words(tmp_path) -> None:
    def holes(step, floats):
        entropy = floats["entropy"].copy()
        entropy[::2] = np.nan
        return {"entropy": entropy, "sampler_logp": None}

    view = view_of(RunSource(make_run(tmp_path / "a", steps=1, logps=holes)))
    view.table_box.value = True
    for name in ("entropy", "mismatch"):
        view.quantity_menu.value = name
        text = text_of(view.body.value) + " ".join(t["aria-label"] or "" for t in tokens_in(view.body.value))
        assert f"{QUANTITIES[name].label} not known" in text
        assert not re.search(r"\bnan\b", text)
        assert ["na" in (t["class"] or "").split() for t in tokens_in(view.body.value)][:2] == [True, name == "mismatch"]
    assert "sampler_logp was not recorded" in text


def test_white_space_and_special_tokens_are_visible() -> None:
    assert "·" in piece_of(1, " so").shown
    assert "⏎" in piece_of(1, "\n").shown
    assert "<br>" in piece_of(1, "\n").shown
    assert "⇥" in piece_of(1, "\t").shown
    assert piece_of(1, "<|end|>").css == "sp"
    assert piece_of(1, "word").css == ""
    assert "id 7" in piece_of(7, None).shown
    assert "empty" in piece_of(7, "").shown
    assert piece_of(1, "\n").spoken == "[U+000A]"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_piece_is_inert_in_text_and_attribute(text: str) -> None:
    piece = piece_of(3, text)
    assert_inert(f'<span class="t" aria-label="{piece.spoken}">{piece.shown}</span>')
    assert len(attribute_text(text)) < 600


def hostile_run(path) -> Run:
    """Tokens, prompts, answers, ids and reward names are all hostile; row i has every piece, beginning with piece i."""
    n, config = len(HOSTILE), GRPOConfig(prompts_per_step=4, num_generations=3, updates_per_rollout=2)
    writer = RunWriter.create(path, config=config.to_dict(), name=HOSTILE[0], reward_names=[HOSTILE[1], HOSTILE[2]],
                              pieces=lambda ids: [HOSTILE[i] for i in ids])
    ids = np.concatenate([np.roll(np.arange(n), -row) for row in range(12)])
    floats = {name: -np.ones(len(ids)) for name in ("logp", "old_logp", "ref_logp", "sampler_logp", "entropy")}
    samples = Samples(
        num_generations=3, problem_ids=HOSTILE[:4], prompts=HOSTILE[2:6], gold_answers=[*HOSTILE[6:9], None],
        completions=HOSTILE, rewards_BK=np.full((12, 2), np.nan), reward_B=np.full(12, np.nan), advantage_B=np.arange(12) - 5.5,
        baseline_B=np.full(12, np.nan), length_B=np.full(12, n), truncated_B=np.arange(12) % 2 == 0, dead_N=np.arange(4) % 2 == 0)
    writer.write_step(StepRecord(step=1, metrics={}, samples=samples, tokens=TokenArrays(np.full(12, n), ids, floats)))
    writer.finish()
    return Run(path)


def test_hostile_completions_are_inert(tmp_path) -> None:
    view = view_of(RunSource(hostile_run(tmp_path / "h")))
    view.table_box.value = True
    view.beside_menu.value = 5
    for row in range(12):
        view.pick(row)
        assert view.message.value == ""
        assert_inert(view.body.value)
        assert len(tokens_in(view.body.value)) == 2 * len(HOSTILE)
    assert "not scored" in text_of(view.body.value)
    assert all("nan" not in label for label, _ in view.row_menu.options)


def test_hostile_words_stay_legible(tmp_path) -> None:
    view = view_of(RunSource(hostile_run(tmp_path / "h")))
    shown = text_of(view.body.value)
    assert "<script>alert(1)</script>" in shown
    assert "U+202E" in shown
    assert "U+D800" in shown
    assert "U+0000" in shown


def test_two_side_by_side_share_a_scale(tmp_path) -> None:
    source = RunSource(make_run(tmp_path / "a", steps=1, prompts=2))
    view, batch = view_of(source), source.run.batch(1)
    view.quantity_menu.value = "change"
    view.pick(6)
    alone = view.legend.value
    view.beside_menu.value = 0  # of the first update: no change at all
    assert view.legend.value == alone
    assert read_html(view.body.value).tags.count(("div", {"class": "wb-pane"})) == 2
    assert len(tokens_in(view.body.value)) == batch["lengths_B"][6] + batch["lengths_B"][0]
    view.beside_menu.value = -1
    assert read_html(view.body.value).tags.count(("div", {"class": "wb-pane"})) == 1


def test_previous_and_next_stop_at_the_ends(source: RunSource) -> None:
    view = view_of(source)
    assert view.row == 0
    assert view.previous.disabled
    view.next.click()
    assert view.row == 1
    assert not view.previous.disabled
    view.pick(15)
    assert view.next.disabled
    view.next.click()
    assert view.row == 15
    assert view.message.value == ""
    view.previous.click()
    assert "row 14" in text_of(view.body.value)


def test_the_menu_says_what_each_row_got(source: RunSource) -> None:
    label = view_of(source, 2).row_menu.options[5][0]
    sample = source.run.samples(2).iloc[5]
    assert label.startswith(f"row 5 · group 1 · reward {sample['reward']:.4g} · advantage {sample['advantage']:+.3f}")


def test_the_table_has_the_exact_values(source: RunSource) -> None:
    view = view_of(source, 1)
    view.pick(9)
    view.table_box.value = True
    batch = source.run.batch(1)
    values, length = token_row(batch, 9).values, int(batch["lengths_B"][9])
    reader = read_html(view.body.value)
    assert reader.wrong == []
    assert sum(tag == "tr" for tag, _ in reader.tags) == length + 1
    cells = text_of(view.body.value)
    for name in ("ratio", "entropy", "logp"):
        assert f"{values[name][length - 1]:.6g}" in cells


def test_long_completions_come_in_pages(tmp_path) -> None:
    source = RunSource(make_run(tmp_path / "a", steps=1, prompts=2, group=3, tokens=PAGE + 10, truncation=1.0))
    view = view_of(source)
    assert len(tokens_in(view.body.value)) == PAGE
    assert view.later.layout.display is None
    view.later.click()
    assert len(tokens_in(view.body.value)) == 10
    assert f"tokens {PAGE} to {PAGE + 9} of {PAGE + 10}" in text_of(view.range.value)
    assert view.later.disabled
    view.table_box.value = True
    assert len(tokens_in(view.body.value)) == TABLE_PAGE
    view.earlier.click()
    assert "position 0," in (tokens_in(view.body.value)[0]["aria-label"] or "")


# --------------------------------------------------------------------------------------------------- where it stands

def test_nothing_to_show_is_said() -> None:
    view = TokensView()
    assert "No run" in text_of(view.body.value)
    view.show([], None)
    view.next.click()
    view.later.click()
    view.quantity_menu.value = "ratio"
    assert view.message.value == ""


def test_no_step_yet_then_the_first(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    source = RunSource(live.run)
    view = view_of(source)
    assert "No step yet" in text_of(view.body.value)
    live.add()
    source.refresh()
    view.show([source], None)
    assert "Step 1, row 0" in text_of(view.body.value)
    live.end()


@pytest.mark.parametrize("how", [{"samples": False}, {"keep_tokens": False}], ids=str)
def test_a_step_that_was_not_kept_is_said(tmp_path, how) -> None:
    view = view_of(RunSource(make_run(tmp_path / "a", steps=1, **how)))
    assert "were not kept" in text_of(view.body.value)


def test_it_follows_the_dashboard_until_a_step_is_chosen(source: RunSource) -> None:
    view = view_of(source, 2)
    assert "Step 2" in text_of(view.body.value)
    view.pick(4)
    view.show([source], 3)
    assert "Step 3, row 4" in text_of(view.body.value)
    view.steps.older.click()
    assert "Step 2, row 4" in text_of(view.body.value)
    view.show([source], 3)
    assert "Step 2" in text_of(view.body.value)
    view.steps.box.value = 1
    assert "Step 1" in text_of(view.body.value)
    assert not view.steps.follow.value
    view.steps.follow.value = True
    assert "Step 3" in text_of(view.body.value)


def test_a_pick_with_a_step_stays_there(source: RunSource) -> None:
    view = TokensView()
    view.pick(7, 2)  # before it was ever shown
    view.show([source], None)
    view.show([source], 3)
    assert "Step 2, row 7" in text_of(view.body.value)
    assert view.step == 2
    assert view.row == 7


def test_a_pick_beyond_what_the_view_has_seen(tmp_path) -> None:
    """The tab was hidden while the run went on."""
    live = growing_run(tmp_path / "a")
    live.add()
    source = RunSource(live.run)
    view = view_of(source)
    live.add(4)
    source.refresh()
    view.pick(3, 5)
    assert "Step 5, row 3" in text_of(view.body.value)
    live.end()


def test_a_wrong_row_is_an_error_in_words_and_heals(source: RunSource) -> None:
    view = view_of(source)
    view.pick(99)
    assert "row 99 is not in step 3, which has rows 0 to 15" in text_of(view.message.value)
    assert_inert(view.message.value)
    view.show([source], None)  # nothing is new, yet it draws again
    assert view.message.value == ""
    assert view.row == 0


def test_errors_are_shown_in_place(source: RunSource, monkeypatch) -> None:
    view = view_of(source)
    monkeypatch.setattr("workbench.widgets.tokens.token_row", lambda *a: 1 / 0)
    view.next.click()
    assert "ZeroDivisionError" in text_of(view.message.value)
    assert "role" in dict(read_html(view.message.value).tags[2][1])
    assert_inert(view.message.value)


def test_an_unchanged_step_is_not_drawn_again(source: RunSource, monkeypatch) -> None:
    view = view_of(source)
    monkeypatch.setattr("workbench.widgets.tokens.token_row", lambda *a: 1 / 0)
    view.show([source], None)
    assert view.message.value == ""


def test_a_rewritten_step_is_drawn_again(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    live.add(2)
    source = RunSource(live.run)
    view = view_of(source)
    before = view.body.value
    live.writer.close()
    with RunWriter.resume(tmp_path / "a", 1) as writer:
        writer.write_step(replace(live.how, seed=99).step(2))
        source.refresh()
        view.show([source], None)
    assert "Step 2, row 0" in text_of(view.body.value)
    assert view.body.value != before


def test_smaller_steps_keep_the_menus_right(tmp_path) -> None:
    big, small = (RunSource(make_run(tmp_path / str(n), steps=1, prompts=n)) for n in (4, 2))
    view = view_of(big)
    view.pick(15)
    view.beside_menu.value = 14
    view.show([small], None)
    assert view.message.value == ""
    assert view.row == 7
    assert view.beside_menu.value == -1


def test_many_threads_at_once(source: RunSource) -> None:
    view = view_of(source)

    def use(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(15):
            view.show([source], int(rng.integers(1, 4)))
            view.pick(int(rng.integers(16)))
            view.quantity_menu.value = str(rng.choice(list(QUANTITIES)))
            view.next.click()

    threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert view.message.value == ""
    assert_inert(view.body.value)


def test_4000_tokens_are_drawn_quickly(tmp_path) -> None:
    source = RunSource(make_run(tmp_path / "a", steps=1, prompts=2, group=3, tokens=4000, truncation=1.0))
    view, seconds = view_of(source), []
    for name in ("ratio", "kl", "entropy", "term", "change"):
        start = time.process_time()
        view.quantity_menu.value = name
        json.dumps(view.body.value)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05, seconds
