"""The oracle of a run: its kept steps, enumerated at a click, kept in its folder."""

from __future__ import annotations

import shutil

import pytest
import torch

from workbench import GRPOConfig, Session
from workbench.widgets.oracle import RunOracle, along_run, enumerated, load_trees
from workbench.widgets.oracle.run_trees import FILE, RunTreesError, kept_steps


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Two steps with a checkpoint after each; the policy stays in memory."""
    config = GRPOConfig(
        prompts_per_step=4,
        num_generations=4,
        max_steps=2,
        save_steps=1,
        save_total_limit=5,
        eval_steps=0,
        num_eval_problems=20,
        learning_rate=3e-4,
        temperature=0.8,
    )
    session = Session(config=config, out=tmp_path_factory.mktemp("runs") / "two")
    session.start().wait()
    yield session
    session.free()


def test_a_run_is_enumerated_at_its_kept_steps(session) -> None:
    trainer = session.trainer
    own = {name: tensor.clone() for name, tensor in trainer.policy.trainable_state().items()}
    seen = []
    (tree,) = along_run(session, 1, mass=0.97, on_progress=lambda *at: seen.append(at))
    assert tree.moments == ("step 0", "step 1", "step 2")
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    state = trainer.policy.trainable_state()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())
    # The last moment is the policy that is in memory, at the run's temperature.
    now = enumerated(
        trainer.policy, trainer.task, trainer.task.held_out[0], mass=0.97, temperature=0.8
    )
    assert tree.reward_S[-1] == pytest.approx(now.reward_S[0], abs=1e-9)
    assert tree.reward_S[0] != pytest.approx(now.reward_S[0], abs=1e-6)
    # The folder alone says the same.
    (stored,) = along_run(session.out, 1, steps=[2], mass=0.97, rewards=["format", "answer"])
    assert stored.reward_S[0] == pytest.approx(now.reward_S[0], abs=1e-6)
    with pytest.raises(RunTreesError, match="step 7 were not kept. Kept are those of 0, 1, 2"):
        along_run(session, 1, steps=[7])


def test_the_page_of_a_run_computes_once_and_then_opens(session, tmp_path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(session.out, folder)
    page = RunOracle(folder, problems=1)
    assert "3 kept steps, from 0 to 2" in page.about.value
    assert page.trees == []
    page.work.button.click()
    page.work.cancel_button.click()
    assert page.work.wait(60)
    assert page.trees == [] or (folder / FILE).is_file()
    page.work.start()
    assert page.work.wait(120)
    assert page.message.value == ""
    assert page.trees[0].moments == ("step 0", "step 1", "step 2")
    assert len(page.pages.children) == 2
    assert load_trees(folder / FILE)[0].ids == page.trees[0].ids
    # Without weights and without a click.
    again = RunOracle(folder, problems=1)
    assert again.trees[0].question == page.trees[0].question
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(RunTreesError, match="keeps the weights of no step"):
        kept_steps(folder)
    assert "keeps the weights of no step" in RunOracle(folder).message.value
