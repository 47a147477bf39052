"""The matrix of a step, from a run and from a session; what it leaves behind and what it keeps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import digits_reward, same_weights, weights_of

from workbench.config import ConfigError, GRPOConfig
from workbench.influence import (
    InfluenceCancelledError,
    InfluenceError,
    stored_influence,
    who_taught,
)
from workbench.influence import ask as asking
from workbench.influence.files import Question
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer
from workbench.training.session import Session


def asked(trainer: Trainer, step: int, completion=None, **how):
    """From the files of a run alone, with its policy and task."""
    return who_taught(
        trainer.out, step, completion, policy=trainer.policy, task=trainer.task, **how
    )


def test_first_order_ends_and_the_path_does_not(train: Callable[..., Trainer]) -> None:
    """Rows add up to what was predicted; with a tenth of the step a tenth of its error; along the
    path it is exact, through moments, clipping, decay and two passes over the batch."""
    errors = []
    for rate in (1e-4, 1e-5):
        trainer = train(1, f"rate-{rate}", learning_rate=rate, num_iterations=2)
        found = asked(trainer, 1)
        total_M = found.influence_SM.sum(0) + found.earlier_M + found.decay_M
        np.testing.assert_allclose(found.predicted_M, total_M)
        assert found.replay_error < 1e-6
        errors.append(np.abs(found.error_M).max() / np.abs(found.real_M).max())
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.4)

    trainer = train(5, "long", num_iterations=2, max_grad_norm=0.1)
    first_order = asked(trainer, 4)
    exact = asked(trainer, 4, path_points=3)
    # Step 3 was made again between the checkpoint of step 2 and the one that is asked about.
    assert first_order.replay_error < 1e-6
    assert np.abs(exact.error_M).max() < 1e-3 * np.abs(first_order.error_M).max()
    assert np.abs(exact.earlier_M).min() > 0
    assert np.abs(exact.decay_M).min() > 0


def test_signs_zero_coefficients_and_the_diagonal(train: Callable[..., Trainer]) -> None:
    """SGD, one update, no KL: what an answer does to itself has the sign of its advantage; an
    answer of a dead group teaches nothing and can be taught."""
    trainer = train(1, updates_per_rollout=1, beta=0.0, measure_kl=False, weight_decay=0.0)
    found = asked(trainer, 1, range(9), optimizer="sgd")
    advantage_B = Run.open(trainer.out).samples(1)["advantage"].to_numpy()
    learnt_from = np.flatnonzero(advantage_B)
    assert found.source_S.tolist() == learnt_from.tolist()
    assert not set(found.source_S) & {0, 1, 2}
    assert np.abs(found.influence_SM[:, :3]).min() > 0
    assert np.sign(found.weight_S).tolist() == np.sign(advantage_B[learnt_from]).tolist()
    itself_S = found.influence_SM[np.arange(len(learnt_from)), learnt_from]
    assert np.sign(itself_S).tolist() == np.sign(found.weight_S).tolist()
    assert not found.earlier_M.any()
    assert not found.decay_M.any()
    sums = found.sums()
    np.testing.assert_allclose(sums.pushed + sums.pulled, found.predicted_M)
    assert found.matrix().loc[learnt_from[0], 8] == found.influence_SM[0, 8]


def test_tokens_add_up_to_their_completion(train: Callable[..., Trainer]) -> None:
    """In parts too, as where memory is small."""
    trainer = train(2)
    whole = asked(trainer, 2, 4)
    tokens = asked(trainer, 2, 4, tokens=True, count=100, memory_bytes=1)
    assert tokens.of_tokens
    assert tokens.position_M.tolist() == list(range(len(tokens.position_M)))
    largest = np.abs(whole.influence_SM).max()
    by_token_S = tokens.influence_SM.sum(1)
    np.testing.assert_allclose(by_token_S, whole.influence_SM[:, 0], rtol=0, atol=1e-5 * largest)
    np.testing.assert_allclose(tokens.real_M.sum(), whole.real_M[0], rtol=1e-9)
    assert (tokens.matrix().columns == [(4, p) for p in tokens.position_M]).all()


def test_what_moved_most_is_found(train: Callable[..., Trainer]) -> None:
    trainer = train(2)
    found = asked(trainer, 2, count=3)
    size_B = np.abs(found.moved_B)
    assert size_B[found.target_M[0]] == size_B.max()
    assert sorted(size_B[found.target_M], reverse=True) == size_B[found.target_M].tolist()
    for row, nats in found.strongest(0, 2):
        assert nats == found.matrix().loc[row, found.target_M[0]]


@pytest.fixture
def session(tiny_folder: Path, tmp_path: Path) -> Session:
    return session_in(tiny_folder, tmp_path / "live")


def session_in(tiny_folder: Path, out: Path) -> Session:
    config = GRPOConfig(
        prompts_per_step=4,
        num_generations=4,
        updates_per_rollout=2,
        max_completion_length=8,
        max_steps=6,
        eval_steps=0,
        save_steps=2,
        num_eval_problems=2,
        learning_rate=1e-3,
        curriculum="pass_rate",
    )
    policy = load_policy(tiny_folder)
    return Session(policy, arithmetic_task(0, 64, 16), RewardSet(digits_reward), config, out=out)


def test_a_session_is_left_as_it_was_and_finds_its_answer_again(
    session: Session, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = session_in(tiny_folder, tmp_path / "other").step(4).wait(60)
    session.step(3).wait(60)
    told: list[tuple[str, int, int]] = []
    found = who_taught(session, 2, progress=lambda *how_far: told.append(how_far))
    # Bit for bit, although the policy was moved about in between.
    assert found.replay_error == 0.0
    assert told[-1][1] < told[-1][2]
    calls = iter(range(100))
    with pytest.raises(InfluenceCancelledError, match="nothing was kept"):
        who_taught(session, 3, should_stop=lambda: next(calls) > 10)
    session.step(1).wait(60)
    assert same_weights(weights_of(session.trainer), weights_of(undisturbed.trainer))
    losses = session.run.steps().loss.tolist()
    assert losses == undisturbed.run.steps().loss.tolist()

    # The stored one opens without any computing, from the folder alone.
    monkeypatch.setattr(asking, "compute", lambda *_: pytest.fail("computed again"))
    again = who_taught(session.out, 2)
    np.testing.assert_array_equal(again.influence_SM, found.influence_SM)
    assert again.matrix().equals(found.matrix())
    assert stored_influence(session.run, Question(3)) is None
    # After a rewind with another knob, step 2 is another step.
    session.rewind(1).wait(60)
    session.set(learning_rate=5e-4, temperature=0.5)
    session.step(1).wait(60)
    assert stored_influence(session.run, Question(2)) is None


def test_refusals_say_what_to_do(train: Callable[..., Trainer], tiny_folder: Path) -> None:
    trainer = train(2)
    with pytest.raises(InfluenceError, match=r"completion=\[9\]: step 2 has completions 0 to 8"):
        asked(trainer, 2, 9)
    with pytest.raises(InfluenceError, match="optimizer='adam': choose one of 'run', 'sgd'"):
        asked(trainer, 2, optimizer="adam")
    with pytest.raises(InfluenceError, match="count=0"):
        asked(trainer, 2, count=0)
    with pytest.raises(ConfigError, match="had other problems"):
        who_taught(trainer.out, 2, policy=trainer.policy, task=arithmetic_task(1, 64, 16))
    other = load_policy(tiny_folder)
    other.model.double()
    other.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}?{% endfor %}"
    with pytest.raises(InfluenceError, match="nats per token away from the recorded ones"):
        who_taught(trainer.out, 2, policy=other, task=trainer.task)
    path = trainer.out / "influence" / Question(2).file_name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"format": 1}')
    with pytest.raises(InfluenceError, match="is no stored influence"):
        asked(trainer, 2)
    assert asked(trainer, 2, again=True).step == 2
    trainer.run.add_to_environment(fault="inverted_k3")
    with pytest.raises(InfluenceError, match="made with fault='inverted_k3'"):
        asked(trainer, 1)
    trainer.run.add_to_environment(fault=None)
    shutil.rmtree(trainer.out / "checkpoints")
    with pytest.raises(InfluenceError, match="no usable checkpoint from before step 1"):
        asked(trainer, 1)
