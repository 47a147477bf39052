"""Fork here: log-probabilities against a plain forward pass, draws against the exact distribution,
and a session that goes on as if nobody had asked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import digits_reward, same_weights, weights_of

from workbench.config import GRPOConfig
from workbench.influence import InfluenceError, fork_here
from workbench.policy import load_policy
from workbench.rewards import RewardSet, shuffled
from workbench.rollout import RolloutCancelledError
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer
from workbench.training.session import Session

SMALL = dict(
    prompts_per_step=2,
    num_generations=4,
    updates_per_rollout=2,
    lr_scheduler_type="constant",
    max_completion_length=6,
    max_steps=8,
    eval_steps=0,
    save_steps=3,
    num_eval_problems=2,
    learning_rate=1e-3,
    temperature=0.8,
)


def noisy_reward(completions, **columns) -> list[float]:
    """Draws from every global generator, as a careless reward function may."""
    more = random.random() + float(np.random.rand()) + float(torch.rand(()))
    return [reward + more for reward in digits_reward(completions)]


@pytest.fixture
def make(tiny_folder: Path, tmp_path: Path) -> Callable[..., Session]:
    def made(out: str, rewards=noisy_reward, **changes) -> Session:
        # Of the global generators, which the noisy reward draws from.
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        policy = load_policy(tiny_folder)
        policy.model.double()
        config = GRPOConfig(**(SMALL | changes))
        given = rewards if not callable(rewards) else RewardSet(rewards)
        task = arithmetic_task(0, 64, 16)
        return Session(policy, task, given, config, out=tmp_path / out)

    return made


def exact_logps(session: Session, found, branch) -> list[float]:
    """By one plain forward pass over prompt, kept tokens and continuation."""
    trainer = session.trainer
    problem_id = session.run.samples(found.step)["problem_id"].iloc[found.row]
    problem = trainer.task.train[int(problem_id.removeprefix("train/"))]
    prompt = trainer.policy.encode_prompt(trainer.task.messages(problem))
    before = session.run.batch(found.step)["ids_BT"][found.row, : found.token].tolist()
    ids = [*prompt, *before, *branch.ids]
    with torch.no_grad():
        logits_TV = trainer.policy.model(torch.tensor([ids])).logits[0] / 0.8
    first = len(prompt) + len(before)
    logp_TV = logits_TV.log_softmax(-1)
    return [float(logp_TV[place - 1, ids[place]]) for place in range(first, len(ids))]


def test_probabilities_are_exact_and_the_beginning_stays(make) -> None:
    session = make("run").start(3).wait()
    batch = session.run.batch(2)
    found = fork_here(session, 2, 5, 2)
    assert len(found.sampled) == 8
    assert found.policy_step == 3
    for branch in (*found.sampled, found.recorded):
        np.testing.assert_allclose(branch.logp_T, exact_logps(session, found, branch), atol=1e-5)
        assert branch.probability == pytest.approx(np.exp(sum(branch.logp_T)))
        assert len(branch.ids) == len(branch.pieces) <= 6 - 2
    # The recorded one is what was cut off, with what it was paid then.
    length = int(batch["lengths_B"][5])
    assert found.recorded.ids == tuple(batch["ids_BT"][5, 2:length].tolist())
    assert found.recorded.reward == pytest.approx(batch["reward_B"][5])
    # The reward functions read the whole completion, the kept beginning too.
    kept = session.trainer.policy.decode(batch["ids_BT"][5, :2].tolist())
    assert all(branch.completion.startswith(kept) for branch in found.sampled)
    first = found.sampled[0]
    assert set(first.rewards) == {"noisy_reward"}
    shares = digits_reward([[{"content": branch.completion}] for branch in found.sampled])
    got = np.array([branch.reward for branch in found.sampled])
    np.testing.assert_allclose(got - got[0], np.array(shares) - shares[0], atol=1e-5)
    assert found.mass == pytest.approx(sum({b.ids: b.probability for b in found.sampled}.values()))


def test_the_first_and_the_last_token_can_be_forked(make) -> None:
    session = make("run").start(1).wait()
    lengths_B = session.run.batch(1)["lengths_B"]
    row = int(lengths_B.argmax())
    last = int(lengths_B[row]) - 1
    at_end = fork_here(session, 1, row, last)
    assert len(at_end.recorded.ids) == 1
    assert all(1 <= len(branch.ids) <= 6 - last for branch in at_end.sampled)
    at_start = fork_here(session, 1, row, 0)
    assert at_start.recorded.ids == tuple(session.run.batch(1)["ids_BT"][row, : last + 1].tolist())
    assert at_start.recorded.completion == session.run.samples(1)["completion"].iloc[row]


def test_draws_follow_the_policy_and_the_seed(make) -> None:
    session = make("run").start(1).wait()
    found = fork_here(session, 1, 0, 1, count=4000)
    drawn = Counter(branch.ids[0] for branch in found.sampled)
    by_first = {b.ids[0]: float(np.exp(b.logp_T[0])) for b in found.sampled}
    for token, times in drawn.most_common(5):
        expected = by_first[token]
        # Within four standard deviations of a binomial.
        assert times / 4000 == pytest.approx(expected, abs=4 * (expected / 4000) ** 0.5)
    # The end token is a token of the continuation, and its probability a factor.
    ended = [branch for branch in found.sampled if not branch.truncated]
    assert ended
    assert {branch.ids[-1] for branch in ended} <= set(session.trainer.policy.eos_token_ids)
    eight = [branch.ids for branch in fork_here(session, 1, 0, 1).sampled]
    assert [branch.ids for branch in fork_here(session, 1, 0, 1).sampled] == eight
    assert [branch.ids for branch in fork_here(session, 1, 0, 1, seed=1).sampled] != eight


def test_the_next_step_is_bit_for_bit_what_it_would_have_been(make) -> None:
    quiet = make("quiet").start(4).wait()
    asked = make("asked").start(2).wait()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    fork_here(asked, 2, 3, 1)
    fork_here(asked, 1, 0, 0, seed=5)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tobytes() == states[2]
    assert asked.status == "paused"
    asked.start(2).wait()
    assert same_weights(weights_of(quiet.trainer), weights_of(asked.trainer))
    for step in (3, 4):
        one = quiet.run.batch(step)
        other = asked.run.batch(step)
        for name in ("ids_BT", "sampler_logp_BT", "coefficient_BT"):
            np.testing.assert_array_equal(one[name], other[name])


def test_a_running_session_pauses_at_a_step_and_goes_on(make) -> None:
    session = make("run", max_steps=60).start()
    while session.step_number < 1:
        session.run.last_step()
    found = fork_here(session, 1, 0, 0)
    assert session.status == "paused"
    assert found.policy_step == session.step_number
    session.start(1).wait()
    assert session.step_number == found.policy_step + 1


def test_asked_from_within_a_step_it_is_refused(make) -> None:
    caught: list[BaseException] = []

    def asks(completions, **columns) -> list[float]:
        if session.step_number == 1 and not caught:
            try:
                fork_here(session, 1, 0, 0)
            except InfluenceError as error:
                caught.append(error)
        return digits_reward(completions)

    session = make("run", rewards=asks)
    session.start(2).wait()
    assert "the session is still busy" in str(caught[0])


def test_a_parent_is_asked_with_its_own_weights_and_the_branch_keeps_its(make) -> None:
    session = make("run").start(3).wait()
    before = fork_here(session, 3, 1, 1)
    branch = session.branch("branch", 3, learning_rate=1e-2)
    branch.start(2).wait()
    of_branch = weights_of(branch.trainer)
    assert not session.holds_its_weights
    again = fork_here(session, 3, 1, 1)
    assert [b.logp for b in again.sampled] == [b.logp for b in before.sampled]
    assert again.policy_step == 3
    assert same_weights(of_branch, weights_of(branch.trainer))
    assert branch.holds_its_weights
    theirs = fork_here(branch, 3, 1, 1)
    assert theirs.recorded.logp != before.recorded.logp


def test_a_stored_run_loads_its_newest_weights(make) -> None:
    session = make("run").start(2).wait()
    live = fork_here(session, 1, 2, 1)
    before = weights_of(session.trainer)
    policy = load_policy(session.trainer.policy.source)
    policy.model.double()
    stored = fork_here(session.out, 1, 2, 1, task=session.trainer.task, policy=policy)
    assert stored.policy_step is None, "a policy that is given is asked as it is"
    assert stored.recorded.logp != live.recorded.logp
    # Loaded by name it comes in its own format, with the weights of the last checkpoint.
    loaded = fork_here(Run.open(session.out), 1, 2, 1, task=session.trainer.task)
    assert loaded.policy_step == 2
    assert loaded.recorded.logp == pytest.approx(live.recorded.logp, abs=1e-4)
    assert "does not say where the reward function 'noisy_reward' lies" in loaded.not_scored
    assert all(np.isnan(branch.reward) for branch in loaded.sampled)
    assert loaded.recorded.reward == live.recorded.reward
    assert same_weights(before, weights_of(session.trainer))


def test_a_run_without_a_checkpoint_says_so(make, tmp_path: Path) -> None:
    session = make("run").start(1).wait()
    (session.out / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(InfluenceError, match="holds no usable checkpoint, so the weights"):
        fork_here(session.out, 1, 0, 0, task=session.trainer.task)


def test_known_rewards_of_a_stored_run_score_and_a_failing_one_is_said(make) -> None:
    session = make("run", rewards=RewardSet(["format", "answer"])).start(1).wait()
    task = session.trainer.task
    found = fork_here(session.out, 1, 0, 0, task=task)
    assert found.not_scored == ""
    assert set(found.sampled[0].rewards) == {"format_reward", "answer_reward"}
    assert not np.isnan([branch.reward for branch in found.sampled]).any()

    faults: list[str] = []

    def fails(completions, **columns) -> list[float]:
        if faults:
            raise ValueError(faults[0])
        return digits_reward(completions)

    other = make("other", rewards=fails).start(1).wait()
    faults.append("no network")
    broken = fork_here(other, 1, 0, 0)
    assert "no network" in broken.not_scored
    assert np.isnan(broken.sampled[0].reward)
    faults.clear()
    other.start(1).wait()


def test_a_control_pays_by_chance_here_too(make) -> None:
    session = make("run", rewards=shuffled(RewardSet(["format"]))).start(1).wait()
    found = fork_here(session, 1, 0, 0)
    assert list(found.sampled[0].rewards) == ["shuffled_format_reward"]


def test_cancelled_nothing_is_left_changed(make) -> None:
    session = make("run").start(1).wait()
    before = weights_of(session.trainer)
    with pytest.raises(RolloutCancelledError):
        fork_here(session, 1, 0, 0, should_stop=lambda: True)
    assert same_weights(before, weights_of(session.trainer))
    session.start(1).wait()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"row": 9}, "row 9 is not in step 1, which has rows 0 to 8"),
        ({"token": 6}, "token 6 is not in row 0 of step 1"),
        ({"token": -1}, "token -1 is not in row 0"),
        ({"count": 0}, "count must be at least 1"),
    ],
)
def test_what_is_not_there_is_said(train: Callable[..., Trainer], asked: dict, words: str) -> None:
    trainer = train(1, max_completion_length=6)
    with pytest.raises(InfluenceError, match=words):
        fork_here(
            trainer.out,
            1,
            **({"row": 0, "token": 0} | asked),
            policy=trainer.policy,
            task=trainer.task,
        )
