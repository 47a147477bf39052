"""Rules on what was asked and what was paid, text by text: a gold answer in the prompt, rewards
that look at no answer, rewards at the wrong completions, cut completions that are paid."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np

from workbench.doctor import thresholds as t
from workbench.doctor.acts import show
from workbench.doctor.audit import StepTexts
from workbench.doctor.facts import Facts
from workbench.doctor.finding import Curve, Finding, figure, percent, quoted, span
from workbench.runs.control import is_control

WHOLE_NUMBER = re.compile(r"-?\d{1,12}")
"""A gold answer that a right completion must hold as it stands: other answers may be written in
more than one way."""

LONGEST_GOLD = 200
"""Characters of a gold answer that is searched for."""

Order = Callable[[int, int], np.ndarray]
"""For B completions in groups of G: where each one's reward may really be."""

ORDERS: dict[str, Order] = {
    "every prompt once, G times over, in place of each prompt G times": (
        lambda rows, group: np.argsort(np.arange(rows).reshape(-1, group).T.ravel())
    ),
    "each prompt G times, in place of every prompt once, G times over": (
        lambda rows, group: np.argsort(np.arange(rows).reshape(group, -1).T.ravel())
    ),
    "one group further": lambda rows, group: np.roll(np.arange(rows), -group),
    "one group back": lambda rows, group: np.roll(np.arange(rows), group),
    "one completion further": lambda rows, group: np.roll(np.arange(rows), -1),
    "one completion back": lambda rows, group: np.roll(np.arange(rows), 1),
    "the other way round": lambda rows, group: np.arange(rows)[::-1],
}
"""How rewards get to the wrong completions, in words, and where each completion's own then is."""


def gold_in_prompt(facts: Facts) -> Finding | None:
    """The prompts hold their own gold answers, and no other prompt's."""
    pairs = list(dict.fromkeys(_asked(facts)))
    if len(pairs) < t.FEWEST_PROMPTS:
        return None
    own = np.mean([_holds(prompt, gold) for prompt, gold in pairs])
    # The control: the same prompts with the answers of their neighbours.
    others = [
        _holds(prompt, gold)
        for (prompt, right), (_, gold) in zip(pairs, [*pairs[1:], pairs[0]], strict=True)
        if gold != right
    ]
    chance = float(np.mean(others)) if others else 1.0
    if own < t.LEAKED or own - chance < t.LEAKED_MORE:
        return None
    return Finding(
        "gold_in_prompt",
        "problem",
        "The gold answer stands in the prompt: the policy can copy it, and reward and held-out "
        "accuracy say nothing of solving.",
        f"{percent(float(own))} of {len(pairs)} prompts hold their own gold answer, "
        f"{percent(chance)} that of another prompt ({_steps(facts)}), as in "
        f"{quoted(pairs[0][0][-80:])!r} for {quoted(pairs[0][1])!r}",
        "Look at how the prompt is put together: columns that name the answer, a worked example, a "
        "hint. Where the answer is to be found in a given text, this is as it should be.",
        acts=show(facts, "any", [texts.step for texts in facts.recent_texts]),
    )


def _asked(facts: Facts) -> Iterator[tuple[str, str]]:
    for texts in facts.recent_texts:
        for prompt, gold in zip(texts.prompts, texts.golds, strict=True):
            answer = gold.removeprefix("text:").strip()
            if 0 < len(answer) <= LONGEST_GOLD:
                yield prompt, answer


@lru_cache(maxsize=4096)
def _holds(text: str, answer: str) -> bool:
    """Whether the answer stands in the text as a word or number of its own."""
    return re.search(rf"(?<![\w.]){re.escape(answer)}(?!\w)", text) is not None


def answer_not_checked(facts: Facts) -> Finding | None:
    """Completions that do not hold the gold answer anywhere get full pay from every function."""
    names = [name for name, weight in facts.weights.items() if weight != 0]
    if not facts.rewards_teach or facts.imitates or is_control(facts.run):
        return None
    paid_SK, lacking_S = _paid_and_lacking(facts)
    if lacking_S.sum() < t.FEWEST_TEXTS:
        return None
    columns = [facts.meta.reward_names.index(name) for name in names]
    tops = [np.nanmax(paid_SK[:, k], initial=-np.inf) for k in columns]
    # One function that refuses them is enough: it looks at the answer. One that pays nobody refuses
    # them too.
    shares = {
        k: float((paid_SK[lacking_S, k] == top).mean()) if top > 0 else 0.0
        for k, top in zip(columns, tops, strict=True)
    }
    if min(shares.values()) < 0.5:
        return None
    blindest = max(shares, key=lambda k: (np.ptp(paid_SK[:, k]) == 0, shares[k]))
    name = facts.meta.reward_names[blindest]
    always = np.ptp(paid_SK[:, blindest]) == 0
    how = "every completion" if always else "completions without it"
    return Finding(
        "answer_not_checked",
        "problem",
        f"No reward function looks at the answer: {quoted(name)} pays {how} "
        f"{figure(float(paid_SK[:, blindest].max()))}, right or wrong.",
        f"{int(lacking_S.sum())} of {len(lacking_S)} completions do not hold the gold answer at "
        f"all, and {percent(shares[blindest])} of them got that ({_steps(facts)})",
        f"Give {quoted(name)} a wrong completion by hand. Usual causes: a gold answer that cannot "
        "be read counts as right, an exception counts as right, the function reads the wrong "
        "column.",
        acts=show(facts, "best paid", [texts.step for texts in facts.recent_texts]),
    )


def _paid_and_lacking(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """The rewards of the recent completions to problems whose gold is a whole number, and which of
    them hold that number nowhere."""
    rewards = []
    lacking = []
    for texts in facts.recent_texts:
        rows = zip(texts.completions, texts.golds, texts.rewards_BK, strict=True)
        for completion, gold, reward_K in rows:
            if WHOLE_NUMBER.fullmatch(gold.strip()) and np.isfinite(reward_K).all():
                rewards.append(reward_K)
                # A thousand may be written 1,000.
                lacking.append(not _holds(completion.replace(",", ""), gold.strip()))
    if not rewards:
        return np.zeros((0, len(facts.meta.reward_names))), np.zeros(0, bool)
    return np.array(rewards), np.array(lacking, dtype=bool)


def truncated_paid(facts: Facts) -> Finding | None:
    """Completions that were cut off get full pay, those that ended do not."""
    if not facts.rewards_teach or facts.imitates or is_control(facts.run):
        return None
    seen = facts.recent_texts
    if not seen:
        return None
    paid_SK = np.concatenate([texts.rewards_BK for texts in seen])
    cut_S = np.concatenate([texts.truncated_B for texts in seen])
    if cut_S.sum() < t.FEWEST_ROWS or not (~cut_S).any():
        return None
    for k, name in enumerate(facts.meta.reward_names):
        top = np.nanmax(paid_SK[:, k], initial=-np.inf)
        cut_share = float((paid_SK[cut_S, k] == top).mean())
        ended_share = float((paid_SK[~cut_S, k] == top).mean())
        if facts.weights[name] == 0 or cut_share < t.SURELY or ended_share >= t.LEAKED:
            continue
        return Finding(
            "truncated_paid",
            "problem",
            f"{quoted(name)} pays completions that were cut off as if they were right: the policy "
            "learns never to end.",
            f"{percent(cut_share)} of {int(cut_S.sum())} truncated completions got "
            f"{figure(float(top))}, the most it pays, of those that ended {percent(ended_share)} "
            f"({_steps(facts)})",
            f"See what {quoted(name)} does with a text that has no answer yet: it should pay 0, or "
            "None where it cannot tell. mask_truncated_completions=True leaves them out meanwhile.",
            curve=Curve.over("truncated_share", [texts.step for texts in facts.recent_texts]),
            acts=show(facts, "cut off", [texts.step for texts in facts.recent_texts]),
        )
    return None


def rewards_swapped(facts: Facts) -> Finding | None:
    """Equal completions to one prompt are paid differently."""
    if facts.imitates or is_control(facts.run):
        return None
    seen = facts.recent_texts
    unequal, pairs = _unequal(seen, None)
    if pairs < t.FEWEST_TEXTS or unequal < t.SWAPPED * pairs:
        return None
    evidence = (
        f"of {pairs} pairs of equal completions to one prompt {percent(unequal / pairs)} got "
        f"different rewards ({_steps(facts)})"
    )
    mended = [
        words for words, order in ORDERS.items() if _unequal(seen, order)[0] <= 0.01 * unequal
    ]
    if mended:
        return Finding(
            "rewards_swapped",
            "problem",
            "The rewards belong to other completions: they are in another order than the "
            f"completions, {mended[0]}. Groups compare what has nothing to do with each other.",
            f"{evidence}; in that order none",
            "Follow a completion from the sampler to its reward and print both: repeat and "
            "repeat_interleave, gathering from several processes, and shuffling change the order.",
            acts=show(facts, "any", [texts.step for texts in facts.recent_texts]),
        )
    return Finding(
        "rewards_differ",
        "warning",
        "Equal completions to the same prompt are paid differently: a reward is random, or belongs "
        "to another completion.",
        evidence,
        "If a function is meant to be noisy (a judge at a temperature), average it. Else follow a "
        "completion from the sampler to its reward and print both.",
        acts=show(facts, "any", [texts.step for texts in facts.recent_texts]),
    )


def _unequal(seen: list[StepTexts], order: Order | None) -> tuple[int, int]:
    """(pairs that are paid differently, all pairs) of neighbours among the equal completions of a
    group, with the rewards taken from where `order` says they are."""
    unequal = 0
    pairs = 0
    for texts in seen:
        rows = len(texts.completions)
        rewards_BK = texts.rewards_BK
        if order is not None:
            rewards_BK = rewards_BK[order(rows, texts.group_size)]
        alike: dict[tuple[int, str, bool], list[int]] = defaultdict(list)
        for row, completion in enumerate(texts.completions):
            # A text that was cut off may be paid otherwise than the same text with its end.
            key = (row // texts.group_size, completion, bool(texts.truncated_B[row]))
            alike[key].append(row)
        for equal in alike.values():
            for first, second in pairwise(equal):
                pairs += 1
                same = np.array_equal(rewards_BK[first], rewards_BK[second], equal_nan=True)
                unequal += not same
    return unequal, pairs


def _steps(facts: Facts) -> str:
    return span([texts.step for texts in facts.recent_texts])
