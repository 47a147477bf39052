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
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.source import RunSource
from workbench.widgets.tokens.pieces import piece_of
from workbench.widgets.tokens.row import QUANTITIES, token_row
from workbench.widgets.tokens.view import OPPOSITE, PAGE, TABLE_PAGE, TokensView


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
    return [
        attributes for tag, attributes in read_html(html).tags if attributes.get("role") == "option"
    ]


def test_each_completion_is_one_tab_stop_and_a_named_list(source: RunSource) -> None:
    view = view_of(source, 2)
    assert view.beside is not None
    tags = read_html(view.body.html).tags
    lists = [a for _, a in tags if a.get("role") == "listbox"]
    assert [a["aria-label"] for a in lists] == [
        f"tokens of row {row}, coloured by push" for row in (view.row, view.beside)
    ]
    tokens = tokens_in(view.body.html)
    assert len(tokens) == sum(source.run.batch(2)["lengths_B"][[view.row, view.beside]])
    stops = [a for _, a in tags if "tabindex" in a and a["role"] == "option"]
    assert stops == [
        tokens[0],
        tokens[source.run.batch(2)["lengths_B"][view.row]],
    ]


def test_the_script_gets_the_exact_values(source: RunSource) -> None:
    view = view_of(source, 2)
    view.pick(9)
    batch, (got,) = source.run.batch(2), view.body.readings
    made = token_row(batch, 9)
    values = made.values
    assert len(tokens_in(view.body.html)) == batch["lengths_B"][9] == len(got["id"])
    assert got["id"] == batch["ids_BT"][9, : batch["lengths_B"][9]].tolist()
    for name, quantity in QUANTITIES.items():
        assert got[quantity.label] == values[name].tolist(), "float64, bit by bit"
    kinds = {c["label"]: (c["kind"], c["unit"]) for c in view.body.page["panes"][0]["columns"]}
    assert kinds["advantage"] == ("signed", "")
    assert kinds["logp"] == ("logp", "nats")
    assert kinds["clipped"] == ("side", "")
    assert view.body.page["panes"][0]["first"] == 0
    np.testing.assert_array_equal(
        got["log-probability before the step"], values["logp"] - values["change"]
    )
    assert got["when last used"] == values["logp"].tolist(), "after the step it is not known"
    np.testing.assert_array_equal(got["no push:"], made.left_out.code_T)


@pytest.mark.parametrize("name", QUANTITIES)
def test_every_quantity_is_drawn_with_a_legend(source: RunSource, name: str) -> None:
    view = view_of(source)
    view.pick(10)
    view.quantity_menu.value = name
    assert view.message.value == ""
    assert_inert(view.body.html)
    assert_inert(view.legend.value)
    legend = text_of(view.legend.value)
    assert QUANTITIES[name].meaning in legend
    assert "when its row was last used in an update" in legend
    assert list(view.body.readings[0])[:2] == ["id", QUANTITIES[name].label], (
        "the chosen one comes first"
    )


def test_numbers_have_four_digits_and_a_typographic_minus() -> None:
    given = (0.0, -0.0, -2.4743582, 1234567.0, 1.2341e-7, float("inf"), float("-inf"))
    assert [number_text(v) for v in given] == ["0", "0", "−2.474", "1.235e6", "1.234e−7", "∞", "−∞"]
    assert [number_text(v, "+.4g") for v in (0.0, 0.35355339, -1.0)] == ["0", "+0.3536", "−1"]
    assert number_text(float("nan")) == "not scored"


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
        assert view.body.readings[0]["clipped"] == sides
        for token, side in zip(tokens_in(view.body.html), sides, strict=True):
            classes = (token["class"] or "").split()
            assert ("lo" in classes, "hi" in classes) == (side < 0, side > 0)
            seen.add(side)
    assert seen == {-1, 0, 1}
    view.quantity_menu.value = "clipped"
    assert "clipped low" in text_of(view.body.html)


def test_values_that_are_not_known_are_words(tmp_path) -> None:
    def holes(step, floats):
        entropy = floats["entropy"].copy()
        entropy[::2] = np.nan
        return {"entropy": entropy, "sampler_logp": None}

    view = view_of(RunSource(make_run(tmp_path / "a", steps=1, logps=holes)))
    view.pick(0)
    view.table_box.value = True
    for name in ("entropy", "mismatch"):
        view.quantity_menu.value = name
        text = text_of(view.body.html)
        assert "not known" in text
        assert np.isnan(view.body.readings[0][QUANTITIES[name].label][0])
        assert not re.search(r"\bnan\b", view.body.html)
        assert ["na" in (t["class"] or "").split() for t in tokens_in(view.body.html)][:2] == [
            True,
            name == "mismatch",
        ]
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


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_piece_is_inert(text: str) -> None:
    piece = piece_of(3, text)
    assert_inert(piece.shown)
    assert len(text_of(piece.shown)) < 2000


def hostile_run(path) -> Run:
    """Tokens, prompts, answers, ids and reward names are all hostile; row i has every piece,
    beginning with piece i."""
    n, config = (
        len(HOSTILE),
        GRPOConfig(prompts_per_step=4, num_generations=3, updates_per_rollout=2),
    )
    writer = RunWriter.create(
        path,
        config=config.to_dict(),
        name=HOSTILE[0],
        reward_names=[HOSTILE[1], HOSTILE[2]],
        pieces=lambda ids: [HOSTILE[i] for i in ids],
    )
    ids = np.concatenate([np.roll(np.arange(n), -row) for row in range(12)])
    floats = {
        name: -np.ones(len(ids))
        for name in ("logp", "old_logp", "ref_logp", "sampler_logp", "entropy")
    }
    samples = Samples(
        num_generations=3,
        problem_ids=HOSTILE[:4],
        prompts=HOSTILE[2:6],
        gold_answers=[*HOSTILE[6:9], None],
        completions=HOSTILE,
        rewards_BK=np.full((12, 2), np.nan),
        reward_B=np.full(12, np.nan),
        advantage_B=np.arange(12) - 5.5,
        baseline_B=np.full(12, np.nan),
        length_B=np.full(12, n),
        truncated_B=np.arange(12) % 2 == 0,
        dead_N=np.arange(4) % 2 == 0,
    )
    writer.write_step(
        StepRecord(
            step=1, metrics={}, samples=samples, tokens=TokenArrays(np.full(12, n), ids, floats)
        )
    )
    writer.finish()
    return Run.open(path)


def test_hostile_completions_are_inert(tmp_path) -> None:
    view = view_of(RunSource(hostile_run(tmp_path / "h")))
    view.table_box.value = True
    view.beside_menu.value = 5
    for row in range(12):
        view.pick(row)
        assert view.message.value == ""
        assert_inert(view.body.html)
        assert len(tokens_in(view.body.html)) == 2 * len(HOSTILE)
    assert "not scored" in text_of(view.body.html)
    assert all("nan" not in label for label, _ in view.row_menu.options)


def test_hostile_words_stay_legible(tmp_path) -> None:
    view = view_of(RunSource(hostile_run(tmp_path / "h")))
    shown = text_of(view.body.html)
    assert "<script>alert(1)</script>" in shown
    assert "U+202E" in shown
    assert "U+D800" in shown
    assert "U+0000" in shown


def test_two_side_by_side_share_a_scale(tmp_path) -> None:
    source = RunSource(make_run(tmp_path / "a", steps=1, prompts=2))
    view, batch = view_of(source), source.run.batch(1)
    view.quantity_menu.value = "change"
    view.pick(6)
    assert view.beside is None, "what was picked stands by itself"
    alone = view.legend.value
    view.beside_menu.value = 0  # of the first update: no change at all
    assert view.legend.value == alone
    assert view.body.html.count('<div class="wb-pane" data-row=') == 2
    assert len(tokens_in(view.body.html)) == batch["lengths_B"][6] + batch["lengths_B"][0]
    view.beside_menu.value = -1
    assert view.body.html.count('<div class="wb-pane" data-row=') == 1


def test_previous_and_next_stop_at_the_ends(source: RunSource) -> None:
    view = view_of(source)
    view.pick(0)
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
    assert "row 14" in text_of(view.body.html)


def test_the_menu_says_what_each_row_got(source: RunSource) -> None:
    label = view_of(source, 2).row_menu.options[5][0]
    sample = source.run.samples(2).iloc[5]
    assert label.startswith(
        f"row 5 · group 1 · reward {sample['reward']:.4g} · advantage "
        f"{number_text(sample['advantage'], '+.4g')}"
    )


def test_the_table_has_the_exact_values(source: RunSource) -> None:
    view = view_of(source, 1)
    view.pick(9)
    view.table_box.value = True
    batch = source.run.batch(1)
    values, length = token_row(batch, 9).values, int(batch["lengths_B"][9])
    reader = read_html(view.body.html)
    assert reader.wrong == []
    assert sum(tag == "tr" for tag, _ in reader.tags) == length + 1
    cells = text_of(view.body.html)
    for name in ("ratio", "entropy", "logp"):
        assert number_text(values[name][length - 1]) in cells
        assert f'title="{float(values[name][length - 1])!r}"' in view.body.html


def test_long_completions_come_in_pages(tmp_path) -> None:
    source = RunSource(
        make_run(tmp_path / "a", steps=1, prompts=2, group=3, tokens=PAGE + 10, truncation=1.0)
    )
    view = view_of(source)
    view.pick(0)
    assert len(tokens_in(view.body.html)) == PAGE
    assert view.later.layout.display is None
    view.later.click()
    assert len(tokens_in(view.body.html)) == 10
    assert view.body.page["panes"][0]["first"] == PAGE
    assert f"tokens {PAGE} to {PAGE + 9} of {PAGE + 10}" in text_of(view.range.value)
    assert view.later.disabled
    view.table_box.value = True
    assert len(tokens_in(view.body.html)) == TABLE_PAGE
    view.earlier.click()
    assert view.body.page["panes"][0]["first"] == 0


# --------------------------------------------------------- what it opens


def rewarded(path, *totals: float) -> RunSource:
    """One step of groups of four with these rewards."""
    return RunSource(
        make_run(
            path,
            steps=1,
            prompts=len(totals) // 4,
            reward_names=("r",),
            rewards=lambda step: np.array(totals),
        )
    )


def test_it_opens_on_the_largest_advantage_beside_its_opposite(tmp_path) -> None:
    view = view_of(rewarded(tmp_path / "a", 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1))
    assert view.row == 8, "the odd one out of the last group; the first group is dead"
    assert view.beside == 9
    text = text_of(view.body.html)
    assert "row 8 · advantage −1.5" in text
    assert "row 9 · advantage +0.4999" in text
    assert text.count("prompt: ") == 1, "one question for both"
    view.next.click()
    assert (view.row, view.beside) == (9, 8)


def test_a_dead_group_is_not_opened_even_with_an_advantage(tmp_path) -> None:
    """As with a baseline of the batch."""
    source = RunSource(
        make_run(
            tmp_path / "a",
            steps=1,
            prompts=2,
            samples=lambda step, s: replace(
                s, advantage_B=np.array([9.0] * 4 + [0, 1, 0, -2]), dead_N=np.array([True, False])
            ),
        )
    )
    assert (view_of(source).row, view_of(source).beside) == (7, 5)


def test_where_all_is_dead_it_opens_the_first_one_alone(tmp_path) -> None:
    view = view_of(rewarded(tmp_path / "a", *[1] * 8))
    assert (view.row, view.beside) == (0, None)
    assert "dead: all rewards of this group are equal" in text_of(view.body.html)


def test_each_step_opens_on_its_own_row_until_one_is_chosen(source: RunSource) -> None:
    view, telling = view_of(source, 1), {}
    for step in (1, 2, 3):
        view.show([source], step)
        telling[step] = view.row
        advantages = source.run.samples(step)["advantage"].abs()
        assert advantages[view.row] == advantages.max()
    assert len(set(telling.values())) > 1
    view.row_menu.value = (telling[3] + 1) % 16
    view.show([source], 1)
    assert view.row == (telling[3] + 1) % 16
    view.pick(3)
    assert view.beside is None
    view.telling.click()
    assert view.row == telling[1]
    assert view.beside_menu.value == OPPOSITE


def test_a_completion_of_another_group_has_its_own_question(tmp_path) -> None:
    view = view_of(rewarded(tmp_path / "a", 0, 1, 1, 1, 0, 0, 1, 1))
    view.beside_menu.value = 6
    assert text_of(view.body.html).count("prompt: ") == 2


def test_no_tokens_at_all(tmp_path) -> None:
    none = np.zeros(6, int)
    writer = RunWriter.create(
        tmp_path / "a",
        config=GRPOConfig().to_dict(),
        name="a",
        reward_names=["r"],
        pieces=lambda ids: [],
    )
    writer.write_step(
        StepRecord(
            step=1,
            metrics={},
            tokens=TokenArrays(none, none[:0], {"logp": none[:0]}),
            samples=Samples(
                num_generations=3,
                problem_ids=["a", "b"],
                prompts=["p", "q"],
                gold_answers=["1", None],
                completions=[""] * 6,
                rewards_BK=np.arange(6.0)[:, None],
                reward_B=np.arange(6.0),
                advantage_B=np.tile([-1.0, 0, 1], 2),
                baseline_B=np.ones(6),
                length_B=none,
                truncated_B=none > 0,
                dead_N=np.zeros(2, bool),
            ),
        )
    )
    writer.finish()
    view = view_of(RunSource(Run.open(tmp_path / "a")))
    for name in QUANTITIES:
        view.quantity_menu.value = name
        assert view.message.value == ""
        assert text_of(view.body.html).count("No tokens.") == 2
    view.table_box.value = True
    assert_inert(view.body.html)


def test_a_step_that_was_not_kept_among_others_that_were(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    for step in (1, 2, 3, 4):
        made = live.how.step(step)
        live.writer.write_step(made if step % 2 == 0 else replace(made, samples=None, tokens=None))
    source = RunSource(live.run)
    view = view_of(source)
    assert "Step 4, row " in text_of(view.body.html)
    view.steps.box.value = 3
    said = text_of(view.body.html)
    assert "its tokens were not kept" in said
    assert "lead to those that were: step 2 and step 4" in said
    assert view.row is not None
    view.steps.older.click()
    assert "Step 2, row " in text_of(view.body.html)
    assert view.steps.older.disabled
    view.steps.newer.click()
    assert view.step == 4, "step 3, of which nothing was kept, is passed over"
    live.end()


def test_two_runs_of_different_length_one_after_the_other(tmp_path, source: RunSource) -> None:
    other = RunSource(make_run(tmp_path / "b", steps=1, prompts=2))
    view = view_of(source, 3)
    view.show([other, source], 3)
    assert "Step 1, row " in text_of(view.body.html)
    view.show([source, other], None)
    assert "Step 3, row " in text_of(view.body.html)
    assert view.message.value == ""


# ------------------------------------------------------- where it stands


def test_nothing_to_show_is_said() -> None:
    view = TokensView()
    assert "No run" in text_of(view.body.html)
    view.show([], None)
    view.next.click()
    view.later.click()
    view.quantity_menu.value = "ratio"
    assert view.message.value == ""


def test_no_step_yet_then_the_first(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    source = RunSource(live.run)
    view = view_of(source)
    assert "No step yet" in text_of(view.body.html)
    live.add()
    source.refresh()
    view.show([source], None)
    assert "Step 1, row " in text_of(view.body.html)
    live.end()


@pytest.mark.parametrize("how", [{"samples": False}, {"keep_tokens": False}], ids=str)
def test_a_step_that_was_not_kept_is_said(tmp_path, how) -> None:
    view = view_of(RunSource(make_run(tmp_path / "a", steps=1, **how)))
    assert "were not kept" in text_of(view.body.html)


def test_it_shows_the_step_and_the_completion_that_are_chosen_on_any_page(
    source: RunSource,
) -> None:
    view = view_of(source, 2)
    assert "Step 2" in text_of(view.body.html)
    view.pick(4)
    assert view.selection.row == 4
    view.show([source], 3)
    assert "Step 3, row 4" in text_of(view.body.html)
    view.steps.older.click()
    assert view.selection.step == 2
    view.show([source], 3)
    assert "Step 2, row 4" in text_of(view.body.html)
    view.steps.box.value = 1
    assert "Step 1" in text_of(view.body.html)
    # As another page chooses, and the dashboard draws then.
    view.selection.step, view.selection.row = None, 7
    view.show([source], 3)
    assert "Step 3, row 7" in text_of(view.body.html)
    view.row_menu.value = 9
    assert view.selection.row == 9
    view.telling.click()
    assert view.selection.row is None


def test_a_locked_token_is_shared(source: RunSource) -> None:
    view = view_of(source, 2)
    view.body.set_state({"locked": [0, 3]})
    assert view.selection.token == 3
    view.body.set_state({"locked": [-1, -1]})
    assert view.selection.token is None


def test_a_pick_with_a_step_stays_there(source: RunSource) -> None:
    view = TokensView()
    view.pick(7, 2)  # before it was ever shown
    view.show([source], None)
    view.show([source], 3)
    assert "Step 2, row 7" in text_of(view.body.html)
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
    assert "Step 5, row 3" in text_of(view.body.html)
    live.end()


def test_a_wrong_row_is_an_error_in_words_and_heals(source: RunSource) -> None:
    view = view_of(source)
    view.pick(99)
    assert "row 99 is not in step 3, which has rows 0 to 15" in text_of(view.message.value)
    assert_inert(view.message.value)
    view.show([source], None)  # nothing is new, yet it draws again
    assert view.message.value == ""
    assert "Step 3, row " in text_of(view.body.html)


def test_errors_are_shown_in_place(source: RunSource, monkeypatch) -> None:
    view = view_of(source)
    monkeypatch.setattr("workbench.widgets.tokens.view.token_row", lambda *a: 1 / 0)
    view.next.click()
    assert "ZeroDivisionError" in text_of(view.message.value)
    assert "role" in dict(read_html(view.message.value).tags[1][1])
    assert_inert(view.message.value)


def test_an_unchanged_step_is_not_drawn_again(source: RunSource, monkeypatch) -> None:
    view = view_of(source)
    monkeypatch.setattr("workbench.widgets.tokens.view.token_row", lambda *a: 1 / 0)
    view.show([source], None)
    assert view.message.value == ""


def test_a_rewritten_step_is_drawn_again(tmp_path) -> None:
    live = growing_run(tmp_path / "a")
    live.add(2)
    source = RunSource(live.run)
    view = view_of(source)
    before = view.body.html
    live.writer.close()
    with RunWriter.resume(tmp_path / "a", 1) as writer:
        writer.write_step(replace(live.how, seed=99).step(2))
        source.refresh()
        view.show([source], None)
    assert "Step 2, row " in text_of(view.body.html)
    assert view.body.html != before


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
    assert_inert(view.body.html)


def test_4000_tokens_are_drawn_quickly(tmp_path) -> None:
    source = RunSource(
        make_run(tmp_path / "a", steps=1, prompts=2, group=3, tokens=4000, truncation=1.0)
    )
    view, seconds = view_of(source), []
    for name in ("ratio", "kl", "entropy", "term", "change"):
        start = time.process_time()
        view.quantity_menu.value = name
        json.dumps(view.body.html)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05, seconds
