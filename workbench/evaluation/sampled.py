"""An evaluation with samples: each problem is answered greedily once and K times at random."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.evaluation.answer_file import AnswerFile
from workbench.libraries.devices import exact_device
from workbench.policy.policy import Message, Policy
from workbench.rollout.types import RolloutEngine, Sampling
from workbench.runs.sampled_evaluation import Answered
from workbench.tasks.digest import problems_digest
from workbench.tasks.types import Problem, Task


@dataclass(frozen=True)
class HowToAnswer:
    """What the completions depend on, beside policy and problems."""

    samples: int
    """K; 0 = the greedy answer alone."""
    max_completion_length: int
    """Tokens of a completion, at most."""
    temperature: float = 1.0
    """Of the samples."""
    top_p: float = 1.0
    """Of the samples: 1 draws from all tokens."""
    seed: int = 0
    """Of the samples. The problems of a batch share a generator of their own, so that what is
    drawn does not depend on where an evaluation was broken off."""
    batch_size: int = 128
    """Completions at a time, at most."""


@dataclass(frozen=True)
class Asked:
    """One problem as the policy gets it."""

    place: int
    """Among the problems that are asked."""
    problem: Problem
    messages: list[Message]
    prompt: list[int]
    """Token ids."""


def answer_all(
    engine: RolloutEngine,
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    how: HowToAnswer,
    *,
    keep: Path | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Answered]:
    """The answers to all problems, in their order. With `keep` each batch is written to that file,
    and what stands in it already is not asked again; `on_progress` hears how many are answered.

    Raises `EvaluationError` where the file belongs to another evaluation.
    """
    file = None
    if keep is not None:
        file = AnswerFile(keep, asked_of(policy, task, problems, how))
    done = {} if file is None else dict(file.done)
    on_progress(len(done))
    messages = [task.messages(problem) for problem in problems]
    prompts = [policy.encode_prompt(conversation) for conversation in messages]
    for batch, places in enumerate(_batches([len(p) for p in prompts], how)):
        # A batch of which a kill has left a part is drawn again as a whole, from its own generator:
        # the part comes out as it was.
        if all(place in done for place in places):
            continue
        asked = [Asked(i, problems[i], messages[i], prompts[i]) for i in places]
        new = _answer(engine, policy, asked, how, batch)
        if file is not None:
            file.add(new)
        done |= {a.problem: a for a in new}
        on_progress(len(done))
    return [done[place] for place in sorted(done)]


def _batches(lengths: Sequence[int], how: HowToAnswer) -> list[list[int]]:
    """Places of problems, those of similar prompts together, so that little is padded."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    at_once = max(how.batch_size // max(how.samples, 1), 1)
    return [order[start : start + at_once] for start in range(0, len(order), at_once)]


def _answer(
    engine: RolloutEngine, policy: Policy, asked: list[Asked], how: HowToAnswer, batch: int
) -> list[Answered]:
    """The answers to one batch of problems."""
    greedy = Sampling(how.max_completion_length, temperature=0.0)
    random = Sampling(how.max_completion_length, how.temperature, top_p=how.top_p)
    generator = torch.Generator().manual_seed(_seed_of(how.seed, batch))
    best = _texts(engine, policy, asked, 1, greedy, generator)
    drawn_K: list[list[str]] = [[] for _ in asked]
    for count in _rounds(how):
        texts = _texts(engine, policy, asked, count, random, generator)
        for row, drawn in enumerate(drawn_K):
            drawn += texts[row * count : (row + 1) * count]
    return [
        Answered(
            problem=one.place,
            question=one.problem.question,
            answer=one.problem.answer,
            kind=one.problem.kind,
            subject=one.problem.subject,
            level=_as_text(one.problem.level),
            greedy=best[row],
            samples=drawn_K[row],
        )
        for row, one in enumerate(asked)
    ]


def _rounds(how: HowToAnswer) -> list[int]:
    """How many samples of a problem are drawn at once: all, but no more than a batch holds."""
    full, rest = divmod(how.samples, how.batch_size)
    return [how.batch_size] * full + [rest] * (rest > 0)


def _as_text(level: float | str | None) -> str | None:
    """The level as it is counted under: 5 and 5.0 are one."""
    if level is None or isinstance(level, str):
        return level
    return str(int(level)) if level == int(level) else str(level)


def _texts(
    engine: RolloutEngine,
    policy: Policy,
    asked: list[Asked],
    count: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> list[str]:
    """`count` completions of each conversation, each the assistant's whole message."""
    rollout = engine.generate([one.prompt for one in asked], count, sampling, generator)
    return [
        policy.decode(ids, asked[row // count].messages)
        for row, ids in enumerate(rollout.completion_lists())
    ]


def _seed_of(seed: int, batch: int) -> int:
    """A seed of its own for each batch."""
    words = np.random.SeedSequence([seed, batch]).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


# ------------------------------------------------------------ what was asked


def asked_of(
    policy: Policy, task: Task, problems: Sequence[Problem], how: HowToAnswer
) -> dict[str, Any]:
    """All that the answers depend on, as the first line of their file."""
    return {
        "policy": policy.source,
        "weights": weights_digest(policy),
        "task": task.name,
        "problems": problems_digest(task, problems),
        "system_prompt": task.system_prompt,
        **asdict(how),
    }


def _digest(texts: Any) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\1")
    return digest.hexdigest()[:16]


def weights_digest(policy: Policy) -> str:
    """Differs where any weight does, but for changes that leave a tensor's sums as they are."""
    return _digest(
        f"{name} {shape} {total} {size}" for name, shape, total, size in weight_sums(policy)
    )


def weight_sums(
    policy: Policy,
) -> list[tuple[str, tuple[int, ...], int | float, int | float]]:
    """Of each weight its name, its shape, the sum of its numbers and that of their sizes: two sums
    a tensor, so that a large model on a GPU is not copied."""
    sums = []
    for name, weight in policy.model.named_parameters():
        values = weight.detach()
        # Quantised weights are bytes; float16 would overflow in a sum.
        where = exact_device(values.device)
        wide = values.to(where, torch.float64) if values.is_floating_point() else values.long()
        sums.append((name, tuple(values.shape), wide.sum().item(), wide.abs().sum().item()))
    return sums
