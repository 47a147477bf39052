"""Completions with gold rewards, and step labels by roll-ins, with a sampler whose continuations
are known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.rewards.model import (
    Collecting,
    RewardModelError,
    gold_scored_samples,
    label_steps,
    sample,
    sample_examples,
)
from workbench.rollout import make_engine
from workbench.tasks.types import Problem, Task

TASK = Task("t", [Problem("2 + 2?", "4"), Problem("5 + 1?", "6")], [Problem("1 + 1?", "2")])


class Letters:
    """A policy whose tokens are characters; 0 ends a completion."""

    def encode_prompt(self, messages):
        return [ord(c) for c in messages[-1]["content"]]

    def decode(self, ids, messages=()):
        return "".join(chr(i) for i in ids if i)


class Script:
    """An engine that goes on with texts of a table, by what the prompt ends with; one after the
    other for the completions of a prompt."""

    def __init__(self, goes_on: dict[str, list[str]]) -> None:
        self.goes_on = goes_on
        self.calls = []

    def generate(self, prompts, num_generations, sampling, generator):
        self.calls.append((prompts, num_generations, sampling))
        rows = []
        for ids in prompts:
            text = "".join(map(chr, ids))
            (key,) = [key for key in self.goes_on if text.endswith(key)]
            texts = self.goes_on[key]
            rows += [[*map(ord, texts[i % len(texts)]), 0] for i in range(num_generations)]
        cut = [row[: sampling.max_completion_length] for row in rows]
        return SimpleNamespace(completion_lists=lambda: cut)


def answer(text: str) -> str:
    return f"<answer>{text}</answer>"


GOLD = RewardSet(["answer"])
HOW = Collecting(samples=2, max_completion_length=99, roll_ins=4, batch_size=8)


def test_samples_stand_side_by_side_with_their_gold_rewards() -> None:
    engine = Script({"2?": [answer("4"), "4"], "1?": [answer("6"), answer("7")]})
    sampled = sample(Letters(), engine, TASK, TASK.train, HOW)
    scored = gold_scored_samples(sampled, GOLD)
    assert [(one.problem, one.completion, one.gold) for one in scored] == [
        ("2 + 2?", answer("4"), 1),
        ("2 + 2?", "4", 0),
        ("5 + 1?", answer("6"), 1),
        ("5 + 1?", answer("7"), 0),
    ]


def test_what_the_gold_reward_did_not_score_is_left_out() -> None:
    def sometimes(completions, **_):
        return [None if "x" in c[0]["content"] else 1.0 for c in completions]

    engine = Script({"2?": ["x", "y"], "1?": ["y"]})
    sampled = sample(Letters(), engine, TASK, TASK.train, HOW)
    assert len(gold_scored_samples(sampled, RewardSet([sometimes]))) == 3


def labelled(continuations: dict[str, list[str]], first: str, **options):
    engine = Script({"2?": [first], **continuations})
    how = Collecting(samples=1, max_completion_length=99, roll_ins=4, batch_size=8)
    sampled = sample(Letters(), engine, TASK, TASK.train[:1], how)
    steps = label_steps(Letters(), engine, sampled, GOLD, how, steps_by="equations", **options)
    return steps, engine


FIRST = f"1+1=2 2+2=5 {answer('5')}"
GOES_ON = {
    # From the first step three of four come out right, from the second none.
    "1+1=2": [answer("4"), answer("4"), answer("5"), f" 2+2=4{answer('4')}"],
    "2+2=5": [answer("5")],
}


def test_a_steps_label_is_the_share_of_its_continuations_that_come_out_right() -> None:
    (steps,), engine = labelled(GOES_ON, FIRST)
    assert steps.ends == (5, 11, len(FIRST))
    assert steps.labels == (0.75, 0.0, 0.0)
    assert steps.problem == "2 + 2?"
    # The last step has nothing to go on with: two beginnings, of prompt and steps so far.
    prompts, count, _ = engine.calls[-1]
    assert count == 4
    assert ["".join(map(chr, ids)) for ids in prompts] == ["2 + 2?1+1=2", "2 + 2?1+1=2 2+2=5"]


def test_hard_labels_ask_for_one_that_is_right() -> None:
    (steps,), _ = labelled(GOES_ON, FIRST, hard=True)
    assert steps.labels == (1.0, 0.0, 0.0)


def test_a_whole_completion_is_no_longer_than_a_sampled_one() -> None:
    """What a roll-in writes behind that length is not counted, though a shorter beginning of the
    batch had room for it."""
    engine = Script({"2?": [FIRST], **GOES_ON})
    how = Collecting(samples=1, max_completion_length=len(FIRST), roll_ins=4, batch_size=8)
    sampled = sample(Letters(), engine, TASK, TASK.train[:1], how)
    room = len(answer("4"))
    tight = Collecting(samples=1, max_completion_length=5 + room, roll_ins=4, batch_size=8)
    (steps,) = label_steps(Letters(), engine, sampled, GOLD, tight, steps_by="equations")
    # The longest of the four does not fit any more.
    assert steps.labels[0] == 0.5


def test_a_gold_reward_that_is_no_share_is_refused() -> None:
    engine = Script({"2?": [FIRST], **GOES_ON})
    sampled = sample(Letters(), engine, TASK, TASK.train[:1], Collecting(samples=1))

    def five(completions, **_):
        return [5.0] * len(completions)

    with pytest.raises(ValueError, match="from 5 to 5: a step's label is a share"):
        label_steps(Letters(), engine, sampled, RewardSet([five]), HOW)


def test_a_completion_without_steps_is_left_out() -> None:
    engine = Script({"2?": ["  "], "1?": [answer("6")]})
    sampled = sample(Letters(), engine, TASK, TASK.train, Collecting(samples=1))
    (only,) = label_steps(Letters(), engine, sampled, GOLD, HOW)
    assert only.problem == "5 + 1?"


@pytest.mark.slow
def test_the_seed_decides_what_the_policy_samples_and_each_batch_for_itself() -> None:
    from workbench.tasks import load_task

    policy = load_policy("embedded", trainable=False)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    task = load_task("arithmetic")

    def drawn(problems, seed: int = 0):
        how = Collecting(samples=2, batch_size=4, roll_ins=2, seed=seed)
        return sample_examples(
            "process", policy, engine, task, problems, GOLD, how, steps_by="equations"
        )

    torch.manual_seed(9)
    first = drawn(task.train[:4])
    assert drawn(task.train[:4]) == first
    assert drawn(task.train[:4], seed=1) != first
    assert all(0 <= label <= 1 for one in first for label in one.labels)
    sampled = sample(policy, engine, task, task.train[:2], Collecting(samples=2, batch_size=4))
    more = sample(policy, engine, task, task.train[:4], Collecting(samples=2, batch_size=4))
    assert more[:4] == sampled


def test_an_unknown_kind_is_refused_before_anything_is_sampled() -> None:
    engine = Script({})
    with pytest.raises(RewardModelError, match="kind='rank' is unknown"):
        sample_examples("rank", Letters(), engine, TASK, TASK.train, GOLD, HOW)
    assert engine.calls == []
