"""What the measured engine samples, beside what transformers' own forward says of it."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy import Policy
from workbench.rollout import Sampling, make_engine
from workbench.rollout.types import Rollout, RolloutEngine
from yardstick.cases import Case
from yardstick.prompts import in_order, task_of

DRAWS, ROWS_AT_ONCE = 4096, 512


def messages_of(case: Case, policy: Policy, config: GRPOConfig) -> list[list[dict[str, str]]]:
    """The first two prompts of the case."""
    task = task_of(case, policy, 1)
    return [task.messages(p) for p in in_order(task, min(2, config.prompts_per_step), 0)]


def engine_of(policy: Policy, config: GRPOConfig) -> RolloutEngine:
    """The engine that is measured."""
    return make_engine(
        config.rollout_engine,
        policy.model,
        policy.eos_token_ids,
        policy.pad_token_id,
        config=config,
    )


def sample(policy: Policy, config: GRPOConfig, prompts: list[list[int]], group: int) -> Rollout:
    """Completions by the engine that is measured; the same uniforms at each call."""
    engine = engine_of(policy, config)
    length = min(config.max_completion_length, 24)
    return engine.generate(prompts, group, Sampling(length), torch.Generator().manual_seed(7))


def same_samples(one: Rollout, other: Rollout) -> bool:
    """The same tokens, or as good as the same log-probabilities: no update came in between."""
    return one.completion_lists() == other.completion_lists() and bool(
        torch.equal(one.sampler_logp_BT, other.sampler_logp_BT)
    )


@torch.no_grad()
def plain_logps(policy: Policy, rollout: Rollout) -> Tensor:
    """Log-probabilities as transformers' own forward gives them: a row for each completion, all
    logits, nothing shared."""
    found = torch.zeros_like(rollout.sampler_logp_BT)
    for row, ids in enumerate(rollout.completion_lists()):
        place = row // rollout.num_generations
        prompt = rollout.prompt_ids_NP[place][rollout.prompt_mask_NP[place]].tolist()
        logits = (
            policy.model(input_ids=torch.tensor([prompt + ids], device=policy.device))
            .logits[0]
            .float()
        )
        logp = logits[len(prompt) - 1 : -1].log_softmax(-1)
        found[row, : len(ids)] = logp.gather(
            -1, torch.tensor(ids, device=policy.device)[:, None]
        ).squeeze(-1)
    return found


def largest(difference_BT: Tensor, rollout: Rollout) -> float:
    """The largest difference at a sampled token."""
    return float(difference_BT[rollout.mask_BT].abs().max())


def chi_square(policy: Policy, config: GRPOConfig, prompt: list[int]) -> float:
    """The p-value of sampled first tokens under the plain pass's probabilities; tokens that are
    expected fewer than five times are counted together."""
    engine = engine_of(policy, config)
    generator = torch.Generator().manual_seed(11)
    drawn = [
        engine.generate([prompt], ROWS_AT_ONCE, Sampling(1), generator).completion_ids_BT[:, 0]
        for _ in range(DRAWS // ROWS_AT_ONCE)
    ]
    with torch.no_grad():
        logits = (
            policy.model(input_ids=torch.tensor([prompt], device=policy.device)).logits[0, -1].cpu()
        )
    probability = logits.double().softmax(-1)
    counts = torch.bincount(torch.cat(drawn).cpu(), minlength=len(probability)).double()
    return p_value(counts, probability * DRAWS)


def p_value(counts: Tensor, expected: Tensor) -> float:
    """Pearson's test of counts against what is expected of each."""
    often = expected >= 5
    counts = torch.cat([counts[often], counts[~often].sum()[None]])
    expected = torch.cat([expected[often], expected[~often].sum()[None]])
    if expected[-1] < 5:
        # Too rare for a class of its own: it goes to its neighbour.
        counts[-2] += counts[-1]
        expected[-2] += expected[-1]
        counts, expected = counts[:-1], expected[:-1]
    if len(expected) < 2:
        return 1.0
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = torch.tensor((len(expected) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(degrees, statistic / 2))
