"""What is told of a step while it is made: its phases, a rollout that comes on, and nothing that
costs anything while nobody listens."""

from __future__ import annotations

import pytest
import torch
from helpers import same_weights, weights_of

from workbench.rollout.look import Look
from workbench.training import in_hand as module
from workbench.training.in_hand import InHand


def looking(finished: int, ids: list[int], copies: list[int]) -> Look:
    def written() -> list[int]:
        copies.append(1)
        return ids

    return Look(finished, 16, written)


def test_nothing_is_copied_or_decoded_while_nobody_listens() -> None:
    decoded: list[list[int]] = []
    copies: list[int] = []
    in_hand = InHand(lambda ids: decoded.append(list(ids)) or "text")
    with in_hand.counting(16):
        in_hand.looked(looking(3, [1, 2], copies))
    assert (decoded, copies) == ([], [])


def test_a_rollout_is_told_at_most_four_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    copies: list[int] = []
    in_hand = InHand(lambda ids: f"\ufffd{len(ids)} tokens\ufffd")
    told: list[tuple[tuple[int, int] | None, str]] = []
    leave = in_hand.listeners.add(lambda: told.append((in_hand.rollout, in_hand.newest)))
    with in_hand.counting(16):
        for look in range(101):
            now[0] = look / 100
            in_hand.looked(looking(look // 10, list(range(look)), copies))
    # No more of a long completion than its end, and no halves of a character.
    assert [newest for _, newest in told] == [
        *("0 tokens", "25 tokens", "48 tokens", "48 tokens", "48 tokens")
    ]
    assert told[-1][0] == (10, 16)
    assert len(copies) == len(told)
    assert in_hand.rollout is None
    in_hand.looked(looking(3, [1], copies))
    assert in_hand.rollout is None, "an evaluation is no rollout"
    leave()


def test_each_phase_of_a_step_is_told_and_the_numbers_stay(make_trainer) -> None:
    watched, alone = make_trainer("watched"), make_trainer("alone")
    seen: list[str] = []
    texts: set[str] = set()

    def look() -> None:
        texts.add(watched.in_hand.newest)
        if seen[-1:] != [watched.in_hand.phase]:
            seen.append(watched.in_hand.phase)

    watched.in_hand.listeners.add(look)
    for trainer in (watched, alone):
        trainer.train(2)
    assert seen[:5] == ["rollout", "reward", "logprobs", "update", ""]
    assert watched.run.closed == alone.run.closed
    assert same_weights(weights_of(watched), weights_of(alone))
    assert torch.equal(watched.generator.get_state(), alone.generator.get_state())
    assert len(texts) > 2
    assert alone.in_hand.newest, "the last one of a rollout costs nothing"


def test_a_step_that_fails_is_in_hand_no_more(make_trainer, monkeypatch) -> None:
    trainer = make_trainer("fails")

    def refuse(*given, **named):
        raise ValueError("no rewards today")

    monkeypatch.setattr(trainer, "score", refuse)
    with pytest.raises(ValueError, match="today"):
        trainer.step()
    assert (trainer.in_hand.phase, trainer.in_hand.rollout) == ("", None)
