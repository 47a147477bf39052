"""Hostile completions by the thousand through all that reads one: rewards and step rewards, the
record, the groups' and tokens' HTML, the tokenizer, the terminal.

The long form, by hand: PYTHONPATH=.:tests python tests/hostile/many.py 100000
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from hostile.texts import hostile_texts
from inert_html import assert_inert

from workbench.errors import UNSEEN, inert
from workbench.policy import Policy
from workbench.policy.load import load_reader
from workbench.rewards import RewardSet
from workbench.rewards.steps import arithmetic_steps
from workbench.runs import Run, RunWriter, Samples, StepRecord
from workbench.widgets.groups.markup import Look, group_html
from workbench.widgets.groups.table import GroupTable

GROUPS = 25
GROUP = 8
BATCH = GROUPS * GROUP
REWARDS = (
    *("format", "answer", "lenient_answer", "tag_count", "repetition", "length", "noisy:p=0.1"),
    *("soft_overlong:max_completion_len=60,soft_punish_cache=40", "cosine_scaled:max_len=40"),
)
GOLDS = ("8", "x+1", "blue", "1/3", "(1,2)")
LIMIT = 60.0
"""Seconds that a reward may take for a batch, as in a run (`reward_timeout`)."""


@dataclass
class Outcome:
    """How it went."""

    completions: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    """Seconds of the slowest batch of 200, all readers together."""
    megabytes: float = 0.0
    """By which the process grew."""


def through_everything(count: int, seed: int, folder: Path) -> Outcome:
    """Every text is scored, recorded, read back, drawn and printed; raises where one is executed,
    lost, changed, or shown as something that acts."""
    outcome = Outcome()
    reader = load_reader("embedded")
    rewards = RewardSet(REWARDS)
    began, before = time.monotonic(), _megabytes()
    with RunWriter.create(folder / "run", config={}, reward_names=rewards.names) as writer:
        for step, texts in enumerate(_batches(count, seed), start=1):
            batch_began = time.monotonic()
            table = _scored(rewards, texts, step)
            writer.write_step(StepRecord(step=step, metrics={}, samples=_samples(texts, table)))
            _read_back(writer, step, texts)
            for i, text in enumerate(texts):
                assert does_nothing(inert(text))
                if i % 5 == 0:
                    _tokens(reader, text)
            outcome.completions += len(texts)
            outcome.slowest = max(outcome.slowest, time.monotonic() - batch_began)
    outcome.seconds = time.monotonic() - began
    outcome.megabytes = _megabytes() - before
    return outcome


def does_nothing(printed: str) -> bool:
    """No character that a terminal obeys or hides."""
    return all(unicodedata.category(c) not in UNSEEN for c in printed)


def _batches(count: int, seed: int) -> Iterator[list[str]]:
    texts = hostile_texts(count, seed)
    while batch := list(islice(texts, BATCH)):
        yield batch + [""] * (-len(batch) % GROUP)


def _scored(rewards: RewardSet, texts: Sequence[str], step: int) -> np.ndarray:
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    columns = {"answer": [GOLDS[i % len(GOLDS)] for i in range(len(texts))]}
    prompts = [[{"role": "user", "content": text}] for text in texts]
    ids = [[ord(c) % 64 for c in text[:64]] for text in texts]
    table = rewards.score(
        prompts, messages, step=step, completion_ids=ids, columns=columns, timeout=LIMIT
    )
    # None is an answer that was not compared in time, which is no error: NaN, and counted.
    assert not np.isinf(table.rewards_BK).any()
    steps = arithmetic_steps(prompts=prompts, completions=messages, **columns)
    assert len(steps) == len(texts)
    return table.rewards_BK


def _samples(texts: Sequence[str], rewards_BK: np.ndarray) -> Samples:
    size, groups = len(texts), len(texts) // GROUP
    total = np.nansum(rewards_BK, 1)
    return Samples(
        num_generations=GROUP,
        problem_ids=list(texts[:groups]),
        prompts=list(texts[-groups:]),
        gold_answers=list(texts[:groups]),
        completions=list(texts),
        rewards_BK=rewards_BK,
        reward_B=total,
        advantage_B=np.zeros(size),
        baseline_B=total,
        length_B=np.ones(size),
        truncated_B=np.zeros(size, bool),
        dead_N=np.zeros(groups, bool),
    )


def _read_back(writer: RunWriter, step: int, texts: Sequence[str]) -> None:
    run = Run.open(writer.path)
    samples = run.samples(step)
    assert samples["completion"].tolist() == list(texts)
    table = GroupTable.of(samples, {})
    everything = np.ones(table.G, dtype=bool)
    look = Look("script", 600, 1.0, "answer_reward")
    for n in range(len(table)):
        assert_inert(group_html(table, n, everything, look))


def _tokens(reader: Policy, text: str) -> None:
    """Through the tokenizer and back; no text ends a turn, or opens one."""
    whole = text.encode("utf-8", "ignore").decode()
    ids = reader.encode_prompt([{"role": "user", "content": whole}])
    control = [i for i in ids if i in reader.tokenizer.all_special_ids]
    assert len(control) == 2, "only the template's own marks"


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
        print(through_everything(int(sys.argv[1]), seed, Path(place)))
