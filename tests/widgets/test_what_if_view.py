"""The what-if on the screen: controls act as a browser moves them, and what is shown is what was
computed."""

from __future__ import annotations

import html
import re
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from made_runs import growing_run, make_run

from workbench.config.rules import errors_of
from workbench.widgets.base.selection import Selection
from workbench.widgets.base.source import RunSource
from workbench.widgets.what_if import words
from workbench.widgets.what_if.tokens import tokens
from workbench.widgets.what_if.view import NO_STEP, WhatIfView


def plain(markup: str) -> str:
    """The text that a reader sees."""
    return re.sub(
        r"\s+",
        " ",
        html.unescape(
            re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", markup, flags=re.S))
        ),
    ).strip()


def shown(run, step: int | None = None) -> tuple[WhatIfView, RunSource]:
    source, view = RunSource(run), WhatIfView()
    view.show([source], step)
    return view, source


def text_of(view: WhatIfView) -> str:
    """The answer in words and figures."""
    return plain(view.result.value + view.figures.value)


def visible(view: WhatIfView) -> bool:
    return view.body.layout.display != "none"


def ratios(run, step: int) -> tuple[np.ndarray, np.ndarray]:
    """(ratio, advantage) of each counted token."""
    stored = run.batch(step)
    m = stored["mask_BT"]
    r = np.exp(stored["logp_BT"] - stored["old_logp_BT"])
    return r[m], np.broadcast_to(stored["advantages_B"][:, None], m.shape)[m]


def test_empty_states(tmp_path) -> None:
    view = WhatIfView()
    assert "No run yet" in plain(view.head.value)
    assert not visible(view)
    live = growing_run(tmp_path / "run", status="running")
    source = RunSource(live.run)
    view.show([source], None)
    assert plain(view.head.value) == NO_STEP
    live.add()
    source.refresh()
    view.show([source], None)
    assert visible(view)
    assert view.comparison is not None
    live.writer.close()


def test_a_step_without_tokens_says_so(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2, keep_tokens=False))
    assert "Nothing to ask about at step 2" in plain(view.head.value)
    assert "tokens were not kept" in plain(view.head.value)
    assert not visible(view)


def test_ratios_that_are_not_known_are_not_taken_for_one(tmp_path) -> None:
    view, _ = shown(
        make_run(tmp_path / "run", steps=1, logps=lambda step, floats: {"old_logp": None})
    )
    assert (
        "'old_logp') were not kept, and the batch served 2 updates: the ratios are not known"
        in plain(view.head.value)
    )
    assert not visible(view)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_rewards_of_which_none_is_scored(tmp_path) -> None:
    view, _ = shown(
        make_run(
            tmp_path / "run",
            steps=1,
            samples=lambda step, s: replace(
                s,
                advantage_B=np.full(16, np.nan),
                rewards_BK=np.full((16, 2), np.nan),
                reward_B=np.full(16, np.nan),
            ),
        )
    )
    assert view.message.value == ""
    assert "mean |advantage| not a number not a number" in text_of(view)
    view.controls.question.value = "advantage"
    assert "none known" in view.plot.summary


@pytest.mark.parametrize(
    "config",
    [{"num_iterations": 3}, {"importance_sampling_level": "sequence", "epsilon": 3e-3}],
    ids=str,
)
def test_several_passes_and_ratios_of_sequences(tmp_path, config) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=1, config=config))
    view.controls.rows["epsilon"].box.value = 0.03
    assert view.message.value == ""
    assert view.comparison.changed_tokens > 0
    assert ("last of 3 passes" in text_of(view)) == ("num_iterations" in config)


def test_nothing_changed_is_what_happened(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    view, _ = shown(run)
    assert "Step 3 of made" in plain(view.head.value)
    text = text_of(view)
    assert text.startswith("Nothing is changed: this is what happened.")
    assert "cosine of the gradients 1.0000" in text
    assert "tokens that change clip state 0 of" in text
    assert view.controls.reset_button.disabled


def test_the_epsilon_slider_is_answered_with_exact_shares(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    view, _ = shown(run, 3)
    view.controls.rows["epsilon"].slider.value = 0.05
    c = view.comparison
    r, a = ratios(run, 3)
    states = {
        e: np.where((r > 1 + e) & (a > 0), 1, np.where((r < 1 - e) & (a < 0), -1, 0))
        for e in (0.2, 0.05)
    }
    changed = int((states[0.05] != states[0.2]).sum())
    assert c.changed_tokens == changed > 0
    text = text_of(view)
    assert text.startswith("With epsilon=0.05 clipping would have stopped ")
    assert (
        f"{words.percent(c.what_if.metrics['clip_ratio_region'])} of the tokens instead of "
        f"{words.percent(c.happened.metrics['clip_ratio_region'])}:" in text
    )
    assert c.happened.metrics["clip_ratio_region"] != c.what_if.metrics["clip_ratio_region"]
    assert f"{changed:,} of {len(r):,} tokens change" in text
    shares = [(states[0.05] == side).mean() for side in (-1, 1)]
    assert c.what_if.metrics["clip_ratio_low"] == pytest.approx(shares[0])
    assert c.what_if.metrics["clip_ratio_high"] == pytest.approx(shares[1])
    assert "was 0.2" in plain(view.controls.rows["epsilon"].state.value)


def test_the_number_box_and_the_menus_ask_too_and_reset_leads_back(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2))
    rows = view.controls.rows
    rows["beta"].box.value = 0.5
    assert view.comparison.what_if.config.beta == 0.5
    assert view.comparison.what_if.loss != view.comparison.happened.loss
    rows["scale_rewards"].box.value = "none"
    assert "would have got another advantage" in text_of(view)
    rows["kl_estimator"].box.value = "k2"
    rows["delta"].off.value = False
    assert set(view.comparison.changes) == {"beta", "scale_rewards", "kl_estimator", "delta"}
    view.controls.reset_button.click()
    assert view.comparison.changes == {}
    assert rows["beta"].box.value == 0.15
    assert rows["delta"].off.value
    assert "Nothing is changed" in text_of(view)


def test_the_plot_holds_both_advantages(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=2)
    view, _ = shown(run)
    view.controls.question.value = "advantage"
    view.controls.rows["scale_rewards"].box.value = "none"
    happened, what_if = view.plot._charts[0]["data"]
    np.testing.assert_allclose(happened["y"], run.batch(2)["advantages_B"], rtol=1e-6)
    np.testing.assert_allclose(what_if["y"], view.comparison.what_if.advantages_B, rtol=1e-6)
    assert happened["x"].tolist()[:5] == [0.125, 0.375, 0.625, 0.875, 1.125]
    assert f"{view.comparison.changed_advantages} differ" in view.plot.summary


def test_an_impossible_combination_is_refused_and_the_picture_stays(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2))
    view.controls.rows["epsilon"].box.value = 0.05
    before = view.result.value, view.tokens.html, view.comparison
    view.controls.rows["loss_type"].box.value = "cispo"
    message = plain(view.message.value)
    asked = view.comparison.happened.config.replace(
        epsilon=0.05, loss_type="cispo", epsilon_high=5.0
    )
    object.__setattr__(asked, "epsilon_high", None)
    assert errors_of(asked)[0] in message
    assert "role='alert'" in view.message.value
    assert (view.result.value, view.tokens.html, view.comparison) == before
    view.controls.rows["epsilon_high"].box.value = 5.0
    view.controls.rows["epsilon_high"].off.value = False
    assert view.message.value == ""
    assert view.comparison.what_if.config.loss_type == "cispo"
    assert "the cap on the ratio would have held 0 % of the tokens, where" in text_of(view)
    assert "were stopped when it happened" in text_of(view)
    view.controls.rows["epsilon_high"].off.value = True
    view.controls.rows["loss_type"].box.value = "sapo"
    assert "With epsilon=0.05, loss_type=sapo nothing would have been clipped, where" in re.sub(
        r"([a-z_]+=[^ ,]+), ([a-z_]+=[^ ,]+)",
        lambda m: ", ".join(sorted(m.groups())),
        text_of(view),
    )


def test_what_the_batch_cannot_answer_is_said(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2, config={"beta": 0.0}))
    view.controls.rows["beta"].box.value = 0.1
    assert "needs the log-probabilities of the reference" in plain(view.message.value)
    assert view.comparison.changes == {}


def test_warnings_of_the_config_are_shown_in_the_view(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2))
    view.controls.rows["importance_sampling_level"].box.value = "sequence"
    assert "this clips nothing" in plain(view.message.value)
    assert "wb-note" in view.message.value


def test_another_step_keeps_what_was_changed_and_follows_the_rest(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=4, knobs={3: {"epsilon": 0.1, "beta": 0.02}})
    view, source = shown(run, 2)
    view.controls.rows["beta"].box.value = 0.3
    view.show([source], 4)
    assert view.comparison.changes == {"beta": (0.02, 0.3)}
    assert view.controls.rows["epsilon"].box.value == 0.1
    assert "was 0.02" in plain(view.controls.rows["beta"].state.value)
    assert "Step 4 of made" in plain(view.head.value)
    view.show([source], 2)
    view.controls.rows["beta"].box.value = 0.02
    view.show([source], 4)  # where 0.02 is what happened: that is no change any more
    assert view.controls.reset_button.disabled
    view.show([source], 2)
    assert view.controls.rows["beta"].box.value == 0.15


def test_the_same_step_is_not_computed_twice(tmp_path, monkeypatch) -> None:
    view, source = shown(make_run(tmp_path / "run", steps=2))
    monkeypatch.setattr(source.run, "batch", lambda step: pytest.fail("read again"))
    view.show([source], 2)
    view.show([source], None)
    assert view.message.value == ""


def test_ratio_one_is_explained(tmp_path) -> None:
    config = {"updates_per_rollout": 1}
    view, _ = shown(
        make_run(
            tmp_path / "run", steps=1, config=config, logps=lambda step, floats: {"old_logp": None}
        )
    )
    view.controls.rows["epsilon"].box.value = 0.01
    text = text_of(view)
    assert "Every ratio is exactly 1 here" in text
    assert "The gradient is exactly the same" in text


def test_skipped_completions_are_counted_in_words(tmp_path) -> None:
    def dead_first_group(step, floats):
        holed = floats["logp"].copy()
        holed[: run_lengths[:4].sum()] = np.nan
        return {"logp": holed, "ref_logp": None}

    rewards = np.tile([[1.0, 0.0]], (16, 1))
    rewards[5::2, 1] = 1.0
    how = dict(steps=1, config={"beta": 0.0}, rewards=lambda step: rewards)
    run_lengths = make_run(tmp_path / "plain", **how).batch(1)["lengths_B"]
    view, _ = shown(make_run(tmp_path / "run", **how, logps=dead_first_group))
    assert "4 of 16 completions had no gradient when it happened" in text_of(view)
    assert "what they would add is not known" not in text_of(view)
    view.controls.rows["advantage_baseline"].box.value = "batch"
    assert (
        "4 of them would have an advantage here, and what they would add is not known"
        in text_of(view)
    )
    view.row.value = 0
    assert "Nothing is known of this completion's gradient" in plain(view.tokens.html)


def test_the_tokens_show_the_difference_of_the_gradients(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=3))
    view.controls.rows["epsilon"].box.value = 0.02
    c, row = view.comparison, view.row.value
    length = int(c.kept.written_BT[row].sum())
    difference = c.happened.gradient_BT[row, :length].astype(float) - c.what_if.gradient_BT[
        row, :length
    ].astype(float)
    (got,) = view.tokens.readings
    assert got["difference of push"] == difference.tolist()
    assert np.abs(difference).max() > 0
    assert (
        got["push when it happened"]
        == (-c.happened.gradient_BT[row, :length].astype(float)).tolist()
    )
    assert got["clipped in the what-if"] == c.what_if.clipped_BT[row, :length].tolist()
    assert any(got["clipped in the what-if"])
    assert got["clipped when it happened"] == c.happened.clipped_BT[row, :length].tolist()
    assert view.tokens.html.count('role="option"') == length
    assert view.tokens.html.count('tabindex="0"') == 1
    view.row.value = (row + 1) % 16
    assert view.tokens.readings[0] != got


def test_hostile_tokens_stay_inert(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=1))
    ids = view._stored["ids_BT"][0, : view._stored["lengths_B"][0]].tolist()
    out, _ = tokens(
        view.comparison, 0, ids, dict.fromkeys(ids, "<script>alert('\"1\"')</script>\x1b[31m‮")
    )
    assert "<script>" not in out
    assert "\x1b" not in out
    assert "‮" not in out
    assert out.count('role="option"') == len(ids)


def test_a_loss_that_disagrees_with_the_record_is_named(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=1, metrics={"loss": 123.0}))
    assert "The record says loss 123; computed again from the kept batch it is" in text_of(view)


def test_an_error_in_a_callback_is_shown_and_the_next_move_works(tmp_path, monkeypatch) -> None:
    view, source = shown(make_run(tmp_path / "run", steps=2))
    with monkeypatch.context() as patch:
        patch.setattr(words, "table", lambda c: 1 / 0)
        view.controls.rows["epsilon"].box.value = 0.1
        assert "ZeroDivisionError" in plain(view.message.value)
        view.show([source], 1)
        assert "ZeroDivisionError" in plain(view.message.value)
    view.controls.rows["epsilon"].box.value = 0.05
    assert view.message.value == ""
    assert "With epsilon=0.05" in text_of(view)


def test_any_thread_may_move_a_control(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2))

    def move() -> None:
        view.controls.rows["epsilon"].box.value = 0.03

    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
    assert view.comparison.what_if.config.epsilon == 0.03
    assert view.message.value == ""


def test_64_completions_of_256_tokens_are_answered_within_100_ms(tmp_path) -> None:
    rng = np.random.default_rng(0)
    run = make_run(
        tmp_path / "run",
        steps=1,
        prompts=8,
        group=8,
        tokens=256,
        truncation=1.0,
        rewards=lambda step: rng.random((64, 2)),
    )
    view, _ = shown(run)
    assert view.comparison.tokens == 64 * 256
    seconds = []
    for epsilon in (0.05, 0.1, 0.15, 0.25, 0.3):
        begun = time.process_time()
        view.controls.rows["epsilon"].slider.value = epsilon
        seconds.append(time.process_time() - begun)
        assert view.comparison.what_if.config.epsilon == epsilon
    assert statistics.median(seconds) < 0.1


def test_without_torch_it_says_so(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    code = f"""
import sys
sys.modules["torch"] = None
from workbench.widgets.base.source import RunSource
from workbench.widgets.what_if import words
from workbench.widgets.what_if.view import WhatIfView, NEEDS_TORCH
view = WhatIfView()
view.show([RunSource({str(run.path)!r})], None)
assert NEEDS_TORCH in view.head.value, view.head.value + view.message.value
assert view.body.layout.display == "none"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def columns_of(view: WhatIfView) -> dict[str, float]:
    """Tokens in the columns of the histogram, by series."""
    return {
        bars["name"]: sum(round(10**y - 1) for y in bars["y"])
        for bars in view.ratios.picture["bars"]
    }


def test_the_chart_follows_the_question(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2))
    charts = {"clip": view.ratios, "kl": view.plot, "advantage": view.plot, "loss": view.ratios}
    for question, chart in charts.items():
        view.controls.question.value = question
        seen = [one for one in (view.ratios, view.plot) if one.layout.display != "none"]
        assert seen == [chart]
    view.controls.question.value = "kl"
    view.controls.rows["beta"].box.value = 0.5
    view.row.value = int(np.abs(view.comparison.happened.advantages_B).argmax())
    happened, what_if = (series["y"] for series in view.plot._charts[0]["data"])
    assert what_if.mean() > happened.mean() > 0
    assert "% in the what-if" in view.plot.summary


def drag(view: WhatIfView, **places: float) -> None:
    """As the page does it: all places, and which of them were moved."""
    view.ratios.set_state(
        {"values": view.ratios.values | places, "moved": list(places)},
    )


def test_the_lines_of_the_clip_are_dragged(tmp_path) -> None:
    """As the page does it: the line's new place is a new value."""
    run = make_run(tmp_path / "run", steps=2)
    view, _ = shown(run)
    r, a = ratios(run, 2)
    assert view.ratios.values == {"low": 0.8, "high": 1.2}
    assert columns_of(view)["all tokens"] == len(r)
    drag(view, low=0.95)
    assert view.comparison.changes == {"epsilon": (0.2, 0.05)}
    assert view.ratios.values == {"low": 0.95, "high": 1.05}, "one epsilon has two lines"
    # The page may not have got that answer yet: what it says of the other line is not a move.
    view.ratios.set_state({"values": {"low": 0.9, "high": 1.2}, "moved": ["low"]})
    assert view.comparison.changes == {"epsilon": (0.2, 0.1)}
    drag(view, low=0.95)
    drag(view, high=1.2)
    assert view.comparison.changes == {"epsilon": (0.2, 0.05), "epsilon_high": (None, 0.2)}
    clipped = ((r < 0.95) & (a < 0)) | ((r > 1.2) & (a > 0))
    assert columns_of(view)["clipped"] == clipped.sum() > 0
    assert view.controls.rows["epsilon"].box.value == 0.05
    drag(view, high=1.05)
    assert view.comparison.what_if.config.epsilon_high == 0.05
    drag(view, high=float("inf"))
    view.ratios.set_state({"values": {"low": "<b>", "high": None}, "moved": ["low", "high", "x"]})
    assert view.comparison.what_if.config.epsilon_high == 0.05
    view.controls.rows["loss_type"].box.value = "sapo"
    assert view.ratios.values == {}
    assert "bounds no ratio" in view.ratios.picture["summary"]


def test_only_changed_completions_are_listed(tmp_path) -> None:
    view, _ = shown(make_run(tmp_path / "run", steps=2))
    assert len(view.row.options) == 16
    view.controls.rows["epsilon"].box.value = 0.05
    c = view.comparison
    moved_B = (c.happened.gradient_BT != c.what_if.gradient_BT).any(1)
    assert [row for _, row in view.row.options] == np.flatnonzero(moved_B).tolist()
    assert 0 < moved_B.sum() < 16
    assert f"{moved_B.sum()} of 16 completions change; only these" in plain(view.listed.value)
    assert "tokens change" in view.row.options[0][0]


def test_the_formula_is_that_of_the_token_that_is_clicked(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=2)
    view, _ = shown(run)
    view.controls.rows["epsilon"].box.value = 0.05
    row = view.row.value
    shown_first = view.formula.value
    for position in (0, 1):
        view.tokens.locked = [0, position]
        logp = float(run.batch(2)["logp_BT"][row, position])
        assert f"The loss of token {position}," in view.formula.value
        assert repr(logp) in view.formula.value
    assert view.formula.value.count("<math") == 2 * shown_first.count("<math") / 2
    assert "what if" in view.formula.value
    view.tokens.locked = [0, 99]
    assert view.formula.value == shown_first


def test_the_completion_is_that_of_the_other_pages(tmp_path) -> None:
    selection = Selection()
    source, view = RunSource(make_run(tmp_path / "run", steps=2)), WhatIfView(selection)
    view.show([source], 2)
    assert selection.row is None, "nobody has chosen one"
    view.row.value = 9
    assert selection.row == 9
    selection.token = 3
    selection.row = 5
    assert view.row.value == 5
    assert "The loss of token 3," in view.formula.value
    view.tokens.locked = [0, 1]
    assert "The loss of token 1," in view.formula.value
    view.controls.rows["epsilon"].box.value = 0.05
    listed = [row for _, row in view.row.options]
    selection.row = next(row for row in range(16) if row not in listed)
    assert view.row.value in listed, "one that does not change is not listed"
