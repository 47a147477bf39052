"""Pairs, outcomes and replay, from completions with gold rewards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.rewards.model import GoldScored, outcomes_of, pairs_of, replay_mix

ASK = ({"role": "user", "content": "?"},)


def scored(*answers: tuple[str, str, float]) -> list[GoldScored]:
    return [GoldScored(problem, ASK, text, gold) for problem, text, gold in answers]


def test_pairs_are_of_one_problem_and_of_unequal_rewards() -> None:
    found = pairs_of(
        scored(("p", "a", 1), ("p", "b", 0), ("q", "c", 1), ("q", "d", 1), ("p", "e", 0)), most=9
    )
    assert [(p.problem, p.chosen, p.rejected) for p in found] == [("p", "a", "b"), ("p", "a", "e")]


def test_equal_texts_count_once() -> None:
    found = pairs_of(scored(("p", "a", 1), ("p", "a", 1), ("p", "b", 0), ("p", "b", 0)))
    assert len(found) == 1


def test_a_problem_gives_at_most_so_many_pairs_drawn_by_the_seed() -> None:
    answers = scored(
        *[("p", f"right {i}", 1) for i in range(5)], *[("p", f"{i}", 0) for i in range(5)]
    )
    first, again, other = (pairs_of(answers, most=3, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 3
    assert first == again
    assert first != other


def test_a_further_problem_leaves_the_others_pairs_as_they_are() -> None:
    answers = scored(*[(p, f"{g} {i}", g) for p in "pq" for g in (0, 1) for i in range(4)])
    alone = pairs_of(answers[:8], most=2)
    assert pairs_of(answers, most=2)[:2] == alone


def test_an_outcomes_label_lies_between_0_and_1() -> None:
    found = outcomes_of(scored(("p", "a", 1), ("p", "b", 0.25)))
    assert [(o.completion, o.label) for o in found] == [("a", 1), ("b", 0.25)]
    with pytest.raises(ValueError, match="gold reward of 'a' is 2: .*train on pairs"):
        outcomes_of(scored(("p", "a", 2)))


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 0.9), st.integers(0, 3))
def test_replay_holds_all_that_is_new_and_its_share_of_the_old(
    old: int, new: int, share: float, seed: int
) -> None:
    history = [("old", i) for i in range(old)]
    fresh = [("new", i) for i in range(new)]
    mixed = replay_mix(history, fresh, share, seed)
    assert sorted(one for one in mixed if one[0] == "new") == fresh
    replayed = [one for one in mixed if one[0] == "old"]
    assert len(set(replayed)) == len(replayed) == min(old, round(share / (1 - share) * new))
    assert mixed == replay_mix(history, fresh, share, seed)


def test_a_tenth_of_the_set_is_historical_and_stands_anywhere_in_it() -> None:
    mixed = replay_mix([("old", i) for i in range(500)], [("new", i) for i in range(90)])
    places = [place for place, one in enumerate(mixed) if one[0] == "old"]
    assert len(mixed) == 100
    assert len(places) == 10
    assert places[0] < 50 < places[-1]
    assert len({i for name, i in mixed if name == "old" and i >= 100}) > 0


def test_a_share_that_leaves_no_room_for_the_new_is_refused() -> None:
    with pytest.raises(ValueError, match="share=1"):
        replay_mix([1], [2], share=1)
