"""The bars of a group, where the clip range stops one, and what the part says before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from workbench.config import LOSSES
from workbench.influence.files import fingerprint
from workbench.influence.mass_file import Mass, keep_mass
from workbench.runs import Run
from workbench.widgets.base.source import RunSource
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.mass.bars import group_mass, group_that_moved_most
from workbench.widgets.mass.box import MassBox
from workbench.widgets.tokens.view import TokensView


def batch_of(**config) -> dict:
    """One group of three: the first two are the same, the third is their opposite."""
    return {
        "ids_BT": np.array([[5, 6], [5, 6], [7, 0]]),
        "lengths_B": np.array([2, 2, 1]),
        "advantages_B": np.array([1.0, 1.0, -2.0]),
        "reward_B": np.array([1.0, 1.0, 0.0]),
        "config": {"loss_type": "grpo", "epsilon": 0.2, "epsilon_high": None} | config,
    }


def mass_of(ratio_UK: list[list[float]], before_K: list[float]) -> Mass:
    logp_UK = np.log(np.array(ratio_UK)) + np.log(before_K)
    tokens = logp_UK.shape[1]
    return Mass(
        step=1,
        num_generations=3,
        temperature=1.0,
        lengths_B=np.array([2, 2, 1], np.int32),
        logp_UK=logp_UK,
        likely_ids_SKA=np.zeros((2, tokens, 3), np.int32),
        likely_logp_SKA=np.zeros((2, tokens, 3), np.float32),
        texts={0: "x"},
    )


def test_bars_fold_equal_completions_and_the_rest_is_what_is_left() -> None:
    mass = mass_of([[1, 1, 1, 1, 1], [1.1, 1, 1.1, 1, 0.5]], [0.5, 0.4, 0.5, 0.4, 0.6])
    found = group_mass(mass, batch_of(), 0)
    assert [bar.rows for bar in found.bars] == [(0, 1), (2,)], "the best paid first, each once"
    np.testing.assert_allclose(found.bars[0].probability_U, [0.2, 0.22])
    np.testing.assert_allclose(found.rest_U, [1 - 0.2 - 0.6, 1 - 0.22 - 0.3])


def test_the_wall_is_where_the_clip_range_stops_a_token() -> None:
    """A rewarded token at 1.5 times stops at 1.2, the other at 1.1 is free; a punished one at 0.5
    stops at 0.8. What goes the other way is not stopped."""
    mass = mass_of(
        [[1, 1, 1, 1, 1], [1.5, 1.1, 1.5, 1.1, 0.5], [0.5, 0.9, 0.5, 0.9, 1.5]],
        [0.5, 0.4, 0.5, 0.4, 0.6],
    )
    paid, punished = group_mass(mass, batch_of(), 0).bars
    np.testing.assert_allclose(paid.wall_U, [np.nan, 0.2 * 1.2 * 1.1, np.nan])
    np.testing.assert_allclose(punished.wall_U, [np.nan, 0.6 * 0.8, np.nan])
    assert paid.at_wall_U.tolist() == [0, 1, 0]
    higher = group_mass(mass, batch_of(epsilon_high=0.4), 0).bars[0]
    assert higher.wall_U[1] == pytest.approx(0.2 * 1.4 * 1.1)


def test_a_sequence_has_one_ratio_and_a_loss_without_a_clip_no_wall() -> None:
    mass = mass_of([[1, 1, 1, 1, 1], [2, 1, 2, 1, 1]], [0.2, 0.4, 0.2, 0.4, 0.6])
    level = batch_of(importance_sampling_level="sequence")
    # The geometric mean is sqrt(2) > 1.2, for both tokens.
    bar = group_mass(mass, level, 0).bars[0]
    assert bar.wall_U[1] == pytest.approx(0.08 * 1.2**2)
    without_clip = [name for name, facts in LOSSES.items() if not facts.clips]
    assert without_clip
    for loss in without_clip:
        free = group_mass(mass, batch_of(loss_type=loss), 0)
        assert np.isnan(free.bars[0].wall_U).all()
        assert not free.clips


def test_long_texts_show_both_ends_and_hostile_ones_stay_text() -> None:
    mass = mass_of([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]], [0.5, 0.4, 0.5, 0.4, 0.6])
    box = MassBox()
    texts = {0: "<think>" + "a" * 500 + "<answer>42</answer>", 2: "\u202e<script>\n"}
    box.draw(group_mass(mass, batch_of(), 0), texts)
    first, second = (bar["text"] for bar in box.page["bars"])
    assert first.startswith("<think>")
    assert first.endswith("<answer>42</answer>")
    assert len(first) < 60
    assert second == "U+202E<script>", "put in as text, never as HTML; the invisible spelled out"
    assert box.at == 1


# ------------------------------------------------------------------------------- the part


def mass_for(run: Run, step: int) -> Mass:
    """As if computed: before as recorded, after one update e^0.1 as likely."""
    batch = run.batch(step)
    before_K = batch["old_logp_BT"][batch["mask_BT"]].astype(float)
    tokens = len(before_K)
    return Mass(
        step=step,
        num_generations=4,
        temperature=1.0,
        lengths_B=batch["lengths_B"],
        logp_UK=np.stack([before_K, before_K + 0.1]),
        likely_ids_SKA=np.tile(np.array([2, 3, 4], np.int32), (2, tokens, 1)),
        likely_logp_SKA=np.tile(np.log([0.5, 0.3, 0.1]).astype(np.float32), (2, tokens, 1)),
        texts={2: "<think>", 3: "</think>", 4: "<b>"},
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", steps=3)


def test_it_says_what_it_takes_and_shows_what_is_stored(run: Run) -> None:
    view = GroupsView()
    view.show([RunSource(run)], 2)
    part = view.mass
    assert part.body.layout.display == "none"
    part.opener.value = True
    assert "no checkpoint from before step 2" in part.text.value
    assert part.work.button.disabled
    (run.path.parent / "checkpoints" / "step-000001").mkdir(parents=True)
    view.read()
    assert not part.work.button.disabled
    assert "Not computed yet for step 2" in part.text.value
    # What cannot be computed is said in the page: these are no weights.
    part.work.button.click()
    assert part.work.wait(60)
    assert "holds no usable checkpoint" in part.work.words.value
    assert view.selection.step == 2, "the page stays at the step that is asked about"

    found = mass_for(run, 2)
    keep_mass(found, run, fingerprint(run.batch(2)))
    view.read()
    assert part.group.value == group_that_moved_most(found)
    rows = {row for bar in part.box.page["bars"] for row in bar["rows"]}
    assert rows == set(range(4 * part.group.value, 4 * part.group.value + 4))
    part.group.value = 1
    assert {row for bar in part.box.page["bars"] for row in bar["rows"]} == {4, 5, 6, 7}
    assert "at temperature 1." in part.text.value
    # Another step has nothing yet.
    view.steps.go_to(3)
    assert part.box.page["bars"] == []
    assert view.message.value == part.message.value == ""


def test_a_click_on_a_bar_opens_its_tokens(run: Run) -> None:
    picked: list[int] = []
    keep_mass(mass_for(run, 2), run, fingerprint(run.batch(2)))
    view = GroupsView(on_pick=picked.append)
    view.show([RunSource(run)], 2)
    view.mass.opener.value = True
    view.mass.box.set_state({"picked": [6, 1]})
    assert picked == [6]


def test_the_tokens_know_their_probability_after_the_step_and_what_else_was_likely(
    run: Run,
) -> None:
    found = mass_for(run, 2)
    keep_mass(found, run, fingerprint(run.batch(2)))
    view = TokensView()
    view.show([RunSource(run)], 2)
    view.pick(5)
    (got,) = view.body.readings
    tokens = found.tokens_of(5)
    assert got["log-probability before the step"] == found.logp_UK[0, tokens].tolist()
    assert got["after the step"] == found.logp_UK[1, tokens].tolist()
    assert got["likeliest 1: id"] == [2.0] * len(got["id"])
    pane = view.body.page["panes"][0]
    assert pane["texts"] == {"2": "<think>", "3": "</think>", "4": "<b>"}
