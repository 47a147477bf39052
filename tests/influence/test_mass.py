"""The mass of a step: the recorded probabilities before it, those of the next step's sampler after
it, and the likeliest tokens as a plain forward pass has them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from workbench.influence import InfluenceError, mass_of_step, stored_mass
from workbench.influence.mass_file import place_of_mass
from workbench.policy import head
from workbench.runs import Run
from workbench.training import Trainer


def test_it_is_what_was_recorded_before_and_what_stands_now(
    train: Callable[..., Trainer],
) -> None:
    trainer = train(3)
    run = Run.open(trainer.out)
    weights = {n: t.clone() for n, t in trainer.policy.trainable_state().items()}
    found = mass_of_step(trainer.out, 3, policy=trainer.policy, task=trainer.task)
    batch = run.batch(3)
    assert found.updates == 3
    recorded_K = batch["old_logp_BT"][batch["mask_BT"]]
    np.testing.assert_allclose(found.logp_UK[0], recorded_K, atol=1e-5)
    # The weights of now are those after step 3, and nobody has touched them.
    assert all(torch.equal(weights[n], t) for n, t in trainer.policy.trainable_state().items())
    tokens = [batch["ids_BT"][row][batch["mask_BT"][row]].tolist() for row in range(9)]
    prompts = [
        trainer.policy.encode_prompt(trainer.task.messages(_problem(trainer, run, row)))
        for row in range(9)
    ]
    for row in range(9):
        ids = torch.tensor([prompts[row] + tokens[row]])
        with torch.no_grad():
            logp_TV = trainer.policy.model(ids).logits[0].log_softmax(-1)
        places = range(len(prompts[row]) - 1, ids.shape[1] - 1)
        expected_T = [float(logp_TV[p, ids[0, p + 1]]) for p in places]
        np.testing.assert_allclose(found.logp_UK[-1][found.tokens_of(row)], expected_T, atol=1e-4)
        assert found.logp_UB[-1, row] == pytest.approx(sum(expected_T), abs=1e-3)
        best = logp_TV[list(places)].topk(3)
        np.testing.assert_array_equal(found.likely_ids_SKA[1][found.tokens_of(row)], best.indices)
        np.testing.assert_allclose(
            found.likely_logp_SKA[1][found.tokens_of(row)], best.values, atol=1e-4
        )
    assert set(np.unique(found.likely_ids_SKA)) == set(found.texts)
    # Every update moves, and the sums over a prompt's distinct completions are no more than 1.
    assert (np.abs(np.diff(found.logp_UB, axis=0)).max(1) > 0).all()


def _problem(trainer: Trainer, run: Run, row: int):
    index = run.samples(3)["problem_id"][row].removeprefix("train/")
    return trainer.task.train[int(index)]


def test_it_is_kept_and_forgotten_with_its_step(train: Callable[..., Trainer], monkeypatch) -> None:
    trainer = train(2)
    run = Run.open(trainer.out)
    assert stored_mass(run, 2) is None
    found = mass_of_step(trainer.out, 2, policy=trainer.policy, task=trainer.task)
    kept = stored_mass(run, 2)
    assert kept is not None
    np.testing.assert_array_equal(kept.logp_UK, found.logp_UK)
    assert kept.texts == found.texts
    # The second time nothing is computed.
    monkeypatch.setattr("workbench.influence.mass.before_step", lambda *a: pytest.fail("computed"))
    assert mass_of_step(trainer.out, 2).step == 2
    # Of another making of the step it is no answer.
    monkeypatch.setattr("workbench.influence.mass_file.fingerprint", lambda batch: "another")
    assert stored_mass(run, 2) is None


@pytest.mark.parametrize("bad", [b"", b"PK\x03\x04 nothing", b"\x93NUMPY"])
def test_a_file_that_is_none_of_ours_is_said(train: Callable[..., Trainer], bad: bytes) -> None:
    run = Run.open(train(1).out)
    path = place_of_mass(run, 1)
    path.parent.mkdir()
    path.write_bytes(bad)
    with pytest.raises(InfluenceError, match="is no stored mass of a step"):
        stored_mass(run, 1)


def test_without_a_checkpoint_it_says_so(train: Callable[..., Trainer]) -> None:
    trainer = train(1)
    (checkpoint,) = (trainer.out / "checkpoints").glob("step-000000")
    checkpoint.rename(trainer.out / "elsewhere")
    with pytest.raises(InfluenceError, match="no usable checkpoint from before step 1"):
        mass_of_step(trainer.out, 1, policy=trainer.policy, task=trainer.task)


def test_logits_in_blocks_give_the_same(train: Callable[..., Trainer], monkeypatch) -> None:
    """As with a large vocabulary, whose logits are not made at once."""
    trainer = train(1)
    step = mass_of_step(trainer.out, 1, policy=trainer.policy, task=trainer.task)
    monkeypatch.setattr(head, "BLOCK_BYTES", {"cpu": 4 * trainer.policy.model.config.vocab_size})
    assert head.worth_it(trainer.policy.model, 2)
    blockwise = mass_of_step(trainer.out, 1, policy=trainer.policy, task=trainer.task, again=True)
    np.testing.assert_allclose(blockwise.logp_UK, step.logp_UK, atol=1e-5)
    np.testing.assert_array_equal(blockwise.likely_ids_SKA, step.likely_ids_SKA)
