"""Fork here on the page of tokens: the tree, its markup, what the part says before and after."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import digits_reward
from inert_html import HOSTILE, assert_inert
from made_runs import make_run

from workbench.influence.fork_result import Continuation, Continuations
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.fork_here.markup import forked_html
from workbench.widgets.fork_here.part import LOCK_ONE, NO_WEIGHTS, ForkPart
from workbench.widgets.fork_here.tree import tree_of
from workbench.widgets.tokens.view import TokensView

TEXTS = {1: "<|end|>", 2: " carry", 3: "7", 4: "8", 5: "<script>alert(1)</script>", 6: "\u202e"}


def one(*ids: int, p: float = 0.5, reward: float = 1.0, truncated: bool = False) -> Continuation:
    return Continuation(
        ids=ids,
        pieces=tuple(TEXTS[i] for i in ids),
        logp_T=np.log(np.full(len(ids), p)),
        completion="".join(TEXTS[i] for i in ids),
        truncated=truncated,
        rewards={"answer<b>": reward},
        reward=reward,
    )


def found_of(*sampled: Continuation, recorded: Continuation, **more) -> Continuations:
    return Continuations(
        step=2, row=5, token=3, temperature=1.0, seed=0, policy_step=4, sampled=sampled,
        recorded=recorded, **more,
    )  # fmt: skip


def test_common_beginnings_stand_once_and_the_drawn_oftenest_comes_first() -> None:
    found = found_of(one(4, 1), one(2, 3, 1), one(2, 3, 1), one(2, 4, 1), recorded=one(2, 5, 1))
    carry, eight = tree_of(found)
    assert (carry.ids, carry.draws, carry.is_recorded, carry.ends) == ((2,), 3, True, None)
    assert [(node.ids, node.draws) for node in carry.children] == [
        ((3, 1), 2),
        ((4, 1), 1),
        ((5, 1), 0),
    ]
    assert carry.probability == pytest.approx(0.5)
    assert carry.children[0].probability == pytest.approx(0.25), "given what stands before it"
    assert (eight.ids, eight.draws, eight.children) == ((4, 1), 1, ())
    # 0.25 + 0.125 + 0.125: equal ones count once.
    assert found.mass == pytest.approx(0.5)


def test_one_that_ends_where_another_goes_on_is_kept() -> None:
    found = found_of(one(2, 3, truncated=True), recorded=one(2, 3, 4, 1))
    (node,) = tree_of(found)
    assert node.ids == (2, 3)
    assert node.ends is found.sampled[0]
    assert node.draws == 1
    (rest,) = node.children
    assert rest.ids == (4, 1)
    assert rest.draws == 0
    assert "cut off" in forked_html(found)


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_the_words_and_the_figures() -> None:
    found = found_of(
        one(2, 3, 1, reward=2.0), one(2, 3, 1, reward=2.0), one(4, 1, reward=0.5),
        recorded=one(4, 1, reward=0.25),
    )  # fmt: skip
    words = plain(forked_html(found))
    assert (
        "In place of token 3 “ 8 ” of row 5, step 2: 3 continuations by the policy after step 4"
        in (words)
    )
    assert "2 different, together 0.375 of the probability of all" in words
    assert "Mean reward 1.5 ; the record has 0.25" in words
    assert "2 of 3 probability 0.125 reward 2" in words
    # Drawn again: the record's own stands with what the step gave it.
    assert "recorded 1 of 3 probability 0.25 reward 0.25" in words


def test_what_was_not_drawn_and_what_was_not_scored_is_said() -> None:
    found = found_of(one(4, 1, reward=np.nan), recorded=one(2, 1), not_scored="no <network>")
    words = plain(forked_html(found))
    assert "Not scored: no &lt;network&gt;" in words
    assert "recorded not drawn" in words
    assert "All are the same, with 0.25 of the probability of all." in words
    silent = found_of(one(4, 1, reward=np.nan), recorded=one(2, 1))
    assert "No reward function said anything of them." in plain(forked_html(silent))


def test_text_of_the_model_is_inert_and_long_stretches_show_both_ends() -> None:
    hostile = Continuation(
        ids=tuple(range(10, 10 + len(HOSTILE))),
        pieces=HOSTILE,
        logp_T=np.zeros(len(HOSTILE)),
        completion="",
        truncated=False,
        rewards=dict.fromkeys(HOSTILE, 1.0),
        reward=1.0,
    )
    why = " ".join(HOSTILE)
    assert_inert(framed(forked_html(found_of(hostile, recorded=hostile, not_scored=why))))
    html = forked_html(found_of(one(5, 6, *[2] * 300, 3, 1), recorded=one(5, 1)))
    assert "<script" not in html
    assert "U+202E" in html
    assert 20 < html.count("<span class='t") < 100
    assert html.rindex(">7</span>") > html.index("tokens …")


def test_the_part_asks_for_a_token_and_says_when_there_are_no_weights(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=2)
    view = TokensView()
    view.show([RunSource(run)], 2)
    part = view.fork
    assert part.work.button.disabled
    assert NO_WEIGHTS in part.note.value
    (run.path.parent / "checkpoints" / "step-000001").mkdir(parents=True)
    view.body.locked = [0, 1]
    assert not part.work.button.disabled
    assert f"in place of token 1 of row {view.row}" in part.note.value
    assert "with the weights after step 1" in part.note.value
    # A checkpoint that is none, or a policy that is not there, is one sentence in the page.
    part.work.button.click()
    assert part.work.wait(60)
    assert "Error" not in part.message.value
    assert "wb-error" in part.work.words.value
    assert part.found is None
    view.body.locked = [-1, -1]
    assert LOCK_ONE in part.note.value
    assert part.work.button.disabled


@pytest.fixture
def session(tiny_folder: Path, tmp_path: Path):
    from workbench.config import GRPOConfig
    from workbench.policy import load_policy
    from workbench.rewards import RewardSet
    from workbench.tasks.arithmetic import arithmetic_task
    from workbench.training.session import Session

    small = dict(prompts_per_step=4, num_generations=4, max_completion_length=6, max_steps=40)
    config = GRPOConfig(**small, eval_steps=0, num_eval_problems=2, lr_scheduler_type="constant")
    made = Session(
        load_policy(tiny_folder),
        arithmetic_task(0, 64, 16),
        RewardSet(digits_reward),
        config,
        out=tmp_path / "live",
    )
    yield made
    made.free()


def forked(view: TokensView) -> ForkPart:
    view.fork.work.button.click()
    assert view.fork.work.wait(60)
    assert view.fork.message.value == view.fork.work.words.value == ""
    return view.fork


def test_a_live_token_is_forked_again_with_other_draws_and_forgotten_with_its_row(session) -> None:
    session.start(2).wait()
    view = TokensView()
    view.show([RunSource(session.run, session)], None)
    view.pick(3)
    view.body.locked = [0, 1]
    first = forked(view).found
    assert first is not None
    assert (first.step, first.row, first.token, first.seed) == (2, 3, 1, 0)
    assert "8 continuations by the policy after step 2" in plain(view.fork.tree.value)
    assert view.steps.step == 2
    assert view.selection.step == 2, "the page stays at its step"
    second = forked(view).found
    assert second is not None
    assert second.seed == 1
    assert [b.ids for b in second.sampled] != [b.ids for b in first.sampled]
    view.pick(4)
    assert view.fork.tree.value == ""
    assert view.fork.found is None


def test_cancelled_it_says_so_and_the_session_goes_on(session, monkeypatch) -> None:
    session.start(1).wait()
    view = TokensView()
    view.show([RunSource(session.run, session)], None)
    view.body.locked = [0, 0]
    stopped: list[Callable[[], bool]] = []

    def waits(*given, should_stop: Callable[[], bool], **more):
        from workbench.rollout import RolloutCancelledError

        view.fork.work.cancel()
        stopped.append(should_stop)
        assert should_stop()
        raise RolloutCancelledError

    monkeypatch.setattr("workbench.influence.fork.fork_here", waits)
    view.fork.work.button.click()
    assert view.fork.work.wait(60)
    assert "Cancelled." in view.fork.work.words.value
    assert stopped
    session.start(1).wait()
