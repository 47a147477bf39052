"""Reward models on the embedded policy: one that beats chance on problems that it has not seen, and
one that a policy is trained on for too long."""

from __future__ import annotations

import pytest

from workbench.config import GRPOConfig
from workbench.doctor import diagnose
from workbench.evaluation import judge, reward_model_agreement
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.rewards.model import (
    EMBEDDED_LEARNING_RATE,
    Collecting,
    RewardTraining,
    reward_model,
    reward_model_of,
    sample_examples,
    train_reward_model,
)
from workbench.rollout import make_engine
from workbench.runs import Run
from workbench.tasks import load_task
from workbench.training import start_run

pytestmark = pytest.mark.slow
GOLD = RewardSet(["answer"])
FAST = RewardTraining(learning_rate=EMBEDDED_LEARNING_RATE)


def examples_of(policy, kind: str, problems, temperature: float = 1.0):
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    how = Collecting(samples=8, roll_ins=4, temperature=temperature)
    return sample_examples(
        kind, policy, engine, load_task("arithmetic"), problems, GOLD, how, steps_by="equations"
    )


@pytest.mark.parametrize(("kind", "problems"), [("pairs", 200), ("outcome", 120), ("process", 80)])
def test_a_reward_model_beats_chance_on_problems_that_it_has_not_seen(kind, problems) -> None:
    policy = load_policy("embedded")
    task = load_task("arithmetic")
    made = reward_model_of(policy, kind)
    made.steps_by = "equations"
    train_reward_model(made, examples_of(policy, kind, task.train[:problems]), FAST)
    quality = judge(made, examples_of(policy, kind, task.held_out[: problems // 2]))
    if kind == "pairs":
        assert quality.beats_chance, quality.accuracy
    else:
        # Most answers and most steps have a label on one side (two of three sampled answers are
        # wrong), so that it is the order that tells.
        assert quality.auc is not None
        assert quality.auc.low > 0.55, quality.auc


def test_training_on_a_reward_model_for_too_long_costs_the_gold_reward(tmp_path) -> None:
    """Over-optimisation, made to happen: a model of 24 problems, no KL, a high rate. The proxy's
    reward goes up, the gold one's to nothing, and the doctor names it."""
    policy = load_policy("embedded")
    task = load_task("arithmetic")
    made = reward_model_of(policy, "pairs")
    train_reward_model(made, examples_of(policy, "pairs", task.train[:24], 1.3), FAST)
    config = GRPOConfig(
        max_steps=100,
        prompts_per_step=6,
        updates_per_rollout=3,
        lr_scheduler_type="constant",
        beta=0.0,
        temperature=1.3,
        learning_rate=5e-4,
        reward_weights=(1.0, 0.0),
        num_eval_problems=20,
        eval_steps=0,
        save_steps=100,
    )
    rewards = RewardSet([reward_model(made, name="proxy"), "answer"])
    trainer = start_run(tmp_path / "run", policy=policy, task=task, rewards=rewards, config=config)
    trainer.train(50)

    run = Run.open(tmp_path / "run")
    steps = run.steps()
    first, last = steps.iloc[:10].mean(), steps.iloc[-10:].mean()
    assert last["rewards/proxy"] > first["rewards/proxy"] + 0.5
    assert last["rewards/answer_reward"] < first["rewards/answer_reward"] - 0.2
    assert "reward_over_optimised" in {finding.key for finding in diagnose(run)}
    # What the record kept of the proxy is what the model says of the completions: nothing is
    # recomputed from another text.
    recorded = reward_model_agreement(run, "proxy", gold="answer_reward", steps=[1])
    anew = reward_model_agreement(
        run, made, gold="answer_reward", steps=[1], system_prompt=task.system_prompt
    )
    assert anew[0].agreement == recorded[0].agreement
    assert anew[0].proxy == pytest.approx(recorded[0].proxy, abs=1e-4)
