"""*All it can say* and *where it was decided*: trees and values worked out by hand, and what
hostile tokens can do to them: nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from inert_html import HOSTILE
from made_oracle import four

from workbench.widgets.oracle import (
    AllItCanSay,
    WhereDecided,
    decided,
    load_trees,
    save_trees,
)
from workbench.widgets.oracle.layout import blocks_of
from workbench.widgets.oracle.snapshots import alternatives, joined
from workbench.widgets.oracle.tree_box import tree_as_sent
from workbench.widgets.oracle.world import StoredResultError


def test_the_tree_of_four_completions() -> None:
    """By hand: `d` goes on with `end` alone, since what else follows is never probable."""
    blocks = blocks_of(four())
    assert [(b.text, b.parent, b.start, b.first_token, b.completion) for b in blocks] == [
        ("a", -1, 0, 0, -1),
        ("bend", 0, 1, 1, 0),
        ("cend", 0, 1, 1, 1),
        ("dend", -1, 0, 0, 2),
    ]
    np.testing.assert_allclose(blocks[0].probability_S, [0.6, 0.9])
    np.testing.assert_allclose(blocks[0].value_S, [1.0, 1.6 / 0.9])
    sent = tree_as_sent(four(), blocks, ("one", "two"))
    json.dumps(sent)
    assert sent["probability"][1] == pytest.approx([0.9, 0.8, 0.1, 0.1])
    assert sent["expected"] == pytest.approx([(0.6 + 0.399) / 0.999, 1.7])
    assert sent["farthest"] == pytest.approx(1.7)


def test_what_is_too_improbable_is_not_drawn_and_a_lost_habit_has_no_value() -> None:
    gone = replace(four(), probability_SC=np.array([[0.5, 0.499, 0.001, 0], [1.0, 0, 0, 0]]))
    blocks = blocks_of(gone)
    assert [b.text for b in blocks] == ["a", "bend", "cend"]
    assert np.isnan(blocks[2].value_S).tolist() == [False, True]
    assert tree_as_sent(gone, blocks, ("", ""))["value"][1][2] is None


def test_two_tokens_of_one_text_are_two_branches() -> None:
    """A tree made of texts would join them, and their probabilities."""
    same = four(texts={"b": "x", "c": "x"})
    blocks = blocks_of(same)
    assert [b.text for b in blocks] == ["a", "xend", "xend", "dend"]
    assert [text for text, *_ in alternatives(same, 0, 1, 0)] == ["x", "x"]


def test_all_it_can_say_speaks_of_each_moment() -> None:
    page = AllItCanSay([four(), four("Another?")])
    assert page.summary == (
        "before: 3 completions hold 99% of the probability (3 were found, 0.10% is not counted). "
        "Expected reward J = 1."
    )
    page.tree.moment = 1
    assert page.summary.startswith("after: 3 completions hold 99%")
    page.menu.value = 1
    assert page.tree.tree["question"] == "Another?"
    assert (page.problem, page.message.value) == ("", "")
    table = page.snapshots.table()
    assert list(table.columns) == ["completion", "reward", "before", "after"]
    assert table.completion[0] == "abend"
    svg = page.picture()
    # Two trees of three blocks, and the paper.
    assert svg.count("<rect") == 2 * 4 + 1
    bundle, _ = page._repr_mimebundle_()
    assert "image/svg+xml" in bundle


def test_enumerations_of_several_moments_are_joined() -> None:
    both = four()
    first = replace(both, moments=("",), probability_SC=both.probability_SC[:1])
    cut = replace(
        both,
        moments=("",),
        pieces=both.pieces[:2],
        ids=both.ids[:2],
        reward_C=both.reward_C[:2],
        probability_SC=both.probability_SC[1:, :2],
    )
    union = joined({"step 0": first, "step 5": cut})
    assert union.moments == ("step 0", "step 5")
    np.testing.assert_allclose(union.probability_SC[1], [0.8, 0.1, 0, 0])
    np.testing.assert_allclose(union.lost_S, [0.001, 0.1])
    with pytest.raises(ValueError, match="has the rewards 2 and 1: score all moments alike"):
        joined({"a": first, "b": replace(first, reward_C=np.array([1.0, 0, 1, 0]))})
    with pytest.raises(ValueError, match="not of one prompt"):
        joined({"a": first, "b": replace(first, question="else")})
    with pytest.raises(ValueError, match="do not fit"):
        replace(first, reward_C=np.zeros(2))
    with pytest.raises(ValueError, match="moment 'later' is unknown. Choose from before, after"):
        both.moment("later")


def test_value_and_credit_along_a_completion() -> None:
    """V by hand: 1 before anything, 1 after `a` (two of three thirds at 0.3 each), 2 after `b`."""
    f = decided(four(), 0, "before")
    np.testing.assert_allclose(f.value_T1, [1.0, 1.0, 2.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(f.credit_T, [0.0, 1.0, 0.0], atol=1e-12)
    assert f.credit_T.sum() == pytest.approx(2 - four().reward_S[0])
    spread = np.sqrt(0.6 / 0.999)
    assert f.advantage == pytest.approx(1 / (spread + 1e-4))
    assert f.strongest == [1]
    others = alternatives(four(), 0, 1, 0)
    assert [text for text, *_ in others] == ["b", "c"]
    assert [pair[1:] for pair in others] == [pytest.approx((0.5, 2.0)), pytest.approx((0.5, 0.0))]
    with pytest.raises(ValueError, match="completion 3 has no probability at 'before'"):
        decided(four(), 3, "before")


def test_where_decided_draws_the_steps_and_names_the_alternatives() -> None:
    page = WhereDecided([four(), four("Another?")])
    page.show(0, "before")
    assert page.summary == (
        "V goes from J = 1 to the reward 2. The largest step is at token 1, 'b': +1, 100% of all "
        "steps up and down. GRPO pays each of the 3 tokens +1.29; the exact credits add up to "
        "r − J = +1."
    )
    (line,) = page.plot._charts[0]["data"]
    assert line["x"].tolist() == [-1, 0, 0, 1, 1, 2, 2, 3]
    assert line["y"].tolist() == pytest.approx([1, 1, 1, 1, 2, 2, 2, 2])
    credit, alike = page.tokens.readings
    assert credit["credit Q − V"] == pytest.approx([0, 1, 0])
    assert len(set(alike["GRPO's advantage"])) == 1
    assert page.tokens.html.count('role="listbox"') == 2
    assert "«b»" in page.output.value
    page.moment_menu.value = 1
    # Of those probable then, and the same one as before.
    assert page.completion_menu.value == 0
    assert page.figures.value_T1[0] == pytest.approx(1.7)
    page.menu.value = 1
    assert (page.problem, page.message.value) == ("", "")
    with pytest.raises(ValueError, match="no probability"):
        page.show(3)


def test_a_completion_that_decided_nothing_is_said_so() -> None:
    flat = replace(four(), reward_C=np.ones(4))
    page = WhereDecided(flat)
    assert page.summary.endswith("No token decided anything.")
    assert "V is flat" in page.output.value


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_tokens_stay_text(hostile: str) -> None:
    bad = four(question=hostile, texts={"a": hostile, "b": hostile})
    bad = replace(bad, moments=(hostile, "after"))
    page = AllItCanSay(bad)
    other = WhereDecided(bad)
    assert (page.problem, other.problem) == ("", "")
    assert (page.message.value, other.message.value) == ("", "")
    # The script puts these as text; what must not be there are invisible characters.
    sent = json.dumps(page.tree.tree, ensure_ascii=False)
    assert not re.findall("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00\x1b]", sent)
    for markup in (page.output.value, page.picture(), other.output.value, other.tokens.html):
        lowered = markup.lower()
        assert "<script" not in lowered
        assert "<img" not in lowered
        assert "<svg/onload" not in lowered
        assert "\u202e" not in markup


def test_trees_are_stored_and_open_as_they_were(tmp_path) -> None:
    path = tmp_path / "trees.npz"
    save_trees(path, [four(), four("Ü?")])
    first, second = load_trees(path)
    assert (first.pieces, first.ids, first.moments) == (four().pieces, four().ids, four().moments)
    np.testing.assert_array_equal(first.probability_SC, four().probability_SC)
    assert second.question == "Ü?"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(StoredResultError, match=r"trees\.npz cannot be read as stored results"):
        load_trees(path)
    with pytest.raises(StoredResultError, match="Make it anew"):
        load_trees(tmp_path / "none.npz")
