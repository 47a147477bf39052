"""Dynamic sampling: dead groups make place for others, everything of a group moves together, and
the draws are bounded, counted and the same after a resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import same_weights, weights_of

from workbench.config import ConfigError, GRPOConfig
from workbench.objective import AdvantageRule, group_advantages
from workbench.rewards import RewardTable
from workbench.rollout.merge import with_prompts_replaced
from workbench.rollout.types import Rollout
from workbench.runs import Run
from workbench.training.dynamic_sampling import dead_places, live_places, merged_tables


def rollout_of(lengths: list[int], prompts: list[int], first: int, group_size: int = 2) -> Rollout:
    """Completions and prompts of these lengths; the tokens count up from `first`."""
    mask_BT = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    width = max(prompts)
    prompt_mask_NP = torch.arange(width) >= width - torch.tensor(prompts)[:, None]
    ids_BT = first + torch.arange(mask_BT.numel()).view(mask_BT.shape)
    prompt_ids_NP = first + 500 + torch.arange(prompt_mask_NP.numel()).view(prompt_mask_NP.shape)
    return Rollout(
        prompt_ids_NP=prompt_ids_NP * prompt_mask_NP,
        prompt_mask_NP=prompt_mask_NP,
        completion_ids_BT=ids_BT * mask_BT,
        mask_BT=mask_BT,
        sampler_logp_BT=-ids_BT.float() * mask_BT,
        truncated_B=torch.tensor(lengths) == max(lengths),
        num_generations=group_size,
    )


def prompt_lists(rollout: Rollout) -> list[list[int]]:
    pairs = zip(rollout.prompt_ids_NP, rollout.prompt_mask_NP, strict=True)
    return [ids[mask].tolist() for ids, mask in pairs]


def test_a_replaced_prompt_brings_its_completions_whatever_their_lengths() -> None:
    old = rollout_of([3, 1, 2, 2, 1, 3], [2, 4, 1], 0)
    new = rollout_of([5, 2, 1, 4], [3, 6], 1000)
    both = with_prompts_replaced(old, [2, 0], new, [0, 1])
    a, b = old.completion_lists(), new.completion_lists()
    assert both.completion_lists() == [*b[2:4], *a[2:4], *b[0:2]]
    p, q = prompt_lists(old), prompt_lists(new)
    assert prompt_lists(both) == [q[1], p[1], q[0]]
    # The sampler's numbers go with their tokens, and padding stays empty.
    assert torch.equal(both.sampler_logp_BT, -both.completion_ids_BT.float())
    assert not both.completion_ids_BT[~both.mask_BT].any()
    truncated = [old.truncated_B.tolist(), new.truncated_B.tolist()]
    assert both.truncated_B.tolist() == [
        *truncated[1][2:4],
        *truncated[0][2:4],
        *truncated[1][0:2],
    ]
    assert old.completion_lists() == a


def test_groups_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="groups of 2 cannot take groups of 4"):
        with_prompts_replaced(rollout_of([1, 1], [1], 0), [0], rollout_of([1] * 4, [1], 9, 4), [0])


def test_what_functions_logged_is_merged_with_the_rewards() -> None:
    first = RewardTable(
        np.array([[1.0], [1], [0], [1]], np.float32),
        ("f",),
        extra={"text": ["a", "b", "c", "d"], "only": [1, 2, 3, 4]},
        metrics={"seen": 1.0, "first": 5.0},
    )
    second = RewardTable(
        np.array([[0.5], [0.25]], np.float32),
        ("f",),
        extra={"text": ["e", "f"]},
        metrics={"seen": 4.0},
    )
    both = merged_tables(first, [0, 1], second, [0, 1])
    assert both.rewards_BK[:, 0].tolist() == [0.5, 0.25, 0, 1]
    assert both.extra == {"text": ["e", "f", "c", "d"], "only": [None, None, 3, 4]}
    # Six completions were scored: 4 x 1 and 2 x 4.
    assert both.metrics == {"seen": 2.0, "first": 5.0}
    assert first.rewards_BK[0, 0] == 1


def test_places_are_those_of_dead_groups() -> None:
    found = group_advantages(torch.tensor([1.0, 1, 0, 1, 0, 0]), AdvantageRule(2))
    assert (dead_places(found), live_places(found)) == ([0, 2], [1])


# --- in the loop


def half_dead(completions, answer, **columns) -> list[float]:
    """Prompts with an even answer are always right; the others are graded by their digits."""
    texts = [c[0]["content"] for c in completions]
    shares = [sum(ch.isdigit() for ch in text) / max(len(text), 1) for text in texts]
    even = [int(gold) % 2 == 0 for gold in answer]
    return [1.0 if e else share for e, share in zip(even, shares, strict=True)]


def test_dead_groups_make_place_for_live_ones(make_trainer, tmp_path: Path) -> None:
    plain = make_trainer("plain", rewards=half_dead)
    before = plain.step()
    assert before.metrics["dead_group_share"] > 0
    assert "prompts_drawn" not in before.metrics
    trainer = make_trainer("run", rewards=half_dead, max_resample=40)
    step = trainer.step()
    assert step.metrics["dead_group_share"] == 0
    assert step.metrics["prompts_drawn"] > 4
    # The next step draws from where this one stopped.
    assert trainer.cursor == step.metrics["prompts_drawn"]
    # Everything of a group moved together: the policy finds the tokens where the sampler did.
    assert step.metrics["sampler_logp_difference_max"] < 1e-4
    samples = Run.open(tmp_path / "run").samples(1)
    assert (samples.gold_answer.astype(int) % 2 == 1).all()
    for row in samples.itertuples():
        problem = trainer.task.train[int(row.problem_id.split("/")[1])]
        assert (row.prompt, row.gold_answer) == (problem.question, problem.answer)
        share = sum(ch.isdigit() for ch in row.completion) / max(len(row.completion), 1)
        assert row.reward == pytest.approx(share, abs=1e-6)
    # What was alive before is kept, in its place.
    old = Run.open(tmp_path / "plain").samples(1)
    kept = (old.gold_answer.astype(int) % 2 == 1).to_numpy()
    assert kept.any()
    assert (samples.completion[kept] == old.completion[kept]).all()


def test_the_draws_are_bounded(make_trainer) -> None:
    trainer = make_trainer(
        rewards=lambda completions, **_: [1.0] * len(completions), max_resample=3
    )
    metrics = trainer.step().metrics
    assert metrics["dead_group_share"] == 1
    assert metrics["prompts_drawn"] == trainer.cursor == 4 + 3 * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        dict(max_resample=2),
        dict(curriculum="pass_rate"),
        dict(curriculum="pass_rate", max_resample=2, curriculum_pass_reward=0.5),
    ],
    ids=str,
)
def test_a_resumed_run_draws_again_what_the_uninterrupted_one_drew(
    make_trainer, tmp_path: Path, options: dict
) -> None:
    options = dict(rewards=half_dead, eval_steps=0) | options
    whole = make_trainer("whole", **options)
    whole.train()
    make_trainer("cut", **options).train(3)
    resumed = make_trainer("cut", resume=True, **options)
    resumed.train()
    assert resumed.cursor == whole.cursor >= 6 * 4
    assert same_weights(weights_of(whole), weights_of(resumed))
    assert np.array_equal(resumed.pass_rates.tried_P, whole.pass_rates.tried_P)
    # What made place for others was tried, too; without a curriculum nobody counts.
    counted = whole.cursor * 4 if "curriculum" in options else 0
    assert whole.pass_rates.tried_P.sum() == counted
    a, b = (Run.open(tmp_path / name).samples(6) for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(a, b)


def coin(completions, answer, **columns) -> list[float]:
    """Prompts with an even answer are always right; the others where the text's length is odd."""
    even = [int(gold) % 2 == 0 for gold in answer]
    odd_length = [len(c[0]["content"]) % 2 == 1 for c in completions]
    return [float(e or odd) for e, odd in zip(even, odd_length, strict=True)]


def test_the_curriculum_leaves_what_is_always_solved(make_trainer) -> None:
    trainer = make_trainer(
        rewards=coin,
        curriculum="pass_rate",
        curriculum_floor=0.001,
        max_steps=40,
        eval_steps=0,
        save_steps=100,
        learning_rate=0.0,
    )
    trainer.train(39)
    rates = trainer.pass_rates
    even_P = np.array([int(p.answer) % 2 == 0 for p in trainer.task.train])
    assert (rates.solved_P[even_P] == rates.tried_P[even_P]).all()
    assert (rates.solved_P[~even_P] < rates.tried_P[~even_P]).any()
    assert rates.tried_P[even_P].mean() * 1.2 < rates.tried_P[~even_P].mean()


def test_a_step_that_could_not_be_recorded_is_saved_with_its_place(
    make_trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(rewards=half_dead, max_resample=2)
    trainer.step()

    def full_disk(step) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(trainer.run, "write_step", full_disk)
        with pytest.raises(OSError, match="no space"):
            trainer.step()
    trainer.save_copy(tmp_path / "copy")
    resumed = make_trainer("copy", resume=True, rewards=half_dead, max_resample=2)
    assert resumed.steps_done == 2
    other = make_trainer("other", rewards=half_dead, max_resample=2)
    other.train(2)
    assert resumed.cursor == other.cursor


def test_methods_whose_dead_groups_push_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_resample=2 .*advantage_baseline='batch'"):
        GRPOConfig(max_resample=2, advantage_baseline="batch", scale_rewards="none")
    with pytest.raises(ConfigError, match="max_resample=2 with method='sft'"):
        GRPOConfig().with_method("sft").replace(max_resample=2)
    with pytest.raises(ConfigError, match="curriculum='pass_rate' with method='sft'"):
        GRPOConfig().with_method("sft").replace(curriculum="pass_rate")
