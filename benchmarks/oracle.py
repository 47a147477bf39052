"""The exact oracle measured: what an enumeration costs, whether the exact gradient is the mean of
sampled ones, how good the estimators are, and what clipping does to samples that have gone stale.

    python benchmarks/oracle.py [--parts enumeration monte_carlo estimators clipping]
                                [--seeds 3] [--out FILE.json]

On the embedded policy as shipped ("base") and after 30 steps of the default run ("trained"). The
file is written after each row; a part that is not asked for stays in it as it was.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine_name
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.evaluation.sampled import weights_digest
from workbench.oracle import (
    Enumeration,
    ScoredCompletions,
    completion_gradients,
    enumerate_completions,
    estimator_quality,
    expected_coefficients,
    gradient_gram,
    gradient_of,
    oracle_of,
    policy_gradient,
    sample_space,
    score_completions,
    token_logps,
)
from workbench.policy import Policy, load_policy
from workbench.policy.optim import make_optimizer
from workbench.rewards import RewardSet
from workbench.rollout import Sampling, make_engine
from workbench.tasks import Problem, Task, load_task
from workbench.training import Trainer, start_run

LONGEST = 48
REWARDS = ("format", "answer")
TRAINED_STEPS = 30
SAMPLES = 20_000

Rows = Iterator[dict[str, Any]]
"""What a part finds, as it comes."""


@dataclass(frozen=True)
class Scene:
    """What all parts share."""

    task: Task
    base: Policy
    seeds: int

    def problems(self, count: int) -> list[Problem]:
        """Held-out problems, as many of each kind as possible."""
        by_kind: dict[str, list[Problem]] = {}
        for problem in self.task.held_out:
            by_kind.setdefault(problem.kind, []).append(problem)
        rounds = zip(*by_kind.values(), strict=False)
        return [problem for one_round in rounds for problem in one_round][:count]

    def oracle(self, policy: Policy, problem: Problem, mass: float) -> ScoredCompletions:
        rewards = RewardSet(list(REWARDS))
        return oracle_of(policy, self.task, problem, rewards, max_new_tokens=LONGEST, mass=mass)

    def trainer(self, folder: str, policy: Policy, seed: int, **changes: Any) -> Trainer:
        config = GRPOConfig(seed=seed, **{"max_steps": 100, "eval_steps": 0} | changes)
        return start_run(folder, policy=policy, task=self.task, rewards=REWARDS, config=config)

    @contextmanager
    def policies(self, seed: int = 0) -> Iterator[dict[str, Policy]]:
        """The policy as it is shipped, and as a training leaves it."""
        trained = copy.deepcopy(self.base)
        with tempfile.TemporaryDirectory() as folder:
            trainer = self.trainer(folder, trained, seed)
            for _ in range(TRAINED_STEPS):
                trainer.step()
            yield {"base": copy.deepcopy(self.base), "trained": trained}


def flat(policy: Policy) -> Tensor:
    return torch.cat([p.detach().flatten() for p in policy.trainable_parameters()])


@torch.no_grad()
def put(policy: Policy, weights_D: Tensor) -> None:
    torch.nn.utils.vector_to_parameters(weights_D, policy.trainable_parameters())


def cosine(a_D: Tensor, b_D: Tensor) -> float:
    a_D, b_D = a_D.double(), b_D.double()
    # A gradient of which everything is clipped points nowhere.
    lengths = a_D.norm() * b_D.norm()
    return float(a_D @ b_D / lengths) if lengths > 0 else 0.0


def five(numbers: Sequence[float]) -> dict[str, float]:
    """Their spread."""
    found = np.asarray(numbers)
    return {
        "least": float(found.min()),
        "median": float(np.median(found)),
        "mean": float(found.mean()),
        "most": float(found.max()),
    }


# ------------------------------------------------------------ what an enumeration costs


def enumeration(scene: Scene) -> Rows:
    """Mass, completions, forwards and seconds over 28 held-out problems."""
    problems = scene.problems(28)
    with scene.policies() as policies:
        for name, policy in policies.items():
            for temperature, mass in ((1.0, 0.99), (1.0, 0.999), (1.0, 0.9999), (0.7, 0.999)):
                found = [
                    enumerate_completions(
                        policy,
                        policy.encode_prompt(scene.task.messages(problem)),
                        max_new_tokens=LONGEST,
                        mass=mass,
                        temperature=temperature,
                    )
                    for problem in problems
                ]
                row = {
                    "policy": name,
                    "temperature": temperature,
                    "asked": mass,
                    "problems": len(found),
                    "reached": sum(one.complete for one in found),
                    "mass": five([one.found_mass for one in found]),
                    "completions": five([len(one.logp_C) for one in found]),
                    "forwards": five([one.forwards for one in found]),
                    "seconds": five([one.seconds for one in found]),
                }
                yield row


# ------------------------------------------------------------ exact against sampled


def monte_carlo(scene: Scene) -> Rows:
    """The mean of the gradients of 20,000 sampled completions beside the exact gradient.

    A completion that was drawn n times counts n times: its gradient is computed once. The error of
    the mean is held against what its spread says it should be: as a whole (its length over its
    expected length) and along the exact gradient.
    """
    policy = scene.base
    for problem in scene.problems(5):
        exact = scene.oracle(policy, problem, 0.9999)
        drawn, rewards = sampled(scene, problem, exact)
        gradient_CD = completion_gradients(policy, drawn)
        weight_C = torch.from_numpy(drawn.p_C).float()
        exact_D = policy_gradient(policy, exact)
        centred_C = torch.from_numpy(rewards - exact.expected_reward).float()
        each_CD = gradient_CD.mul_(centred_C[:, None])
        mean_D = weight_C @ each_CD
        squared = float(weight_C @ each_CD.pow(2).sum(1))
        spread = math.sqrt((squared - float(mean_D @ mean_D)) / SAMPLES)
        error = float((mean_D - exact_D).norm())
        unit_D = exact_D / exact_D.norm()
        along_C = each_CD @ unit_D
        along = float(weight_C @ along_C)
        along_spread = math.sqrt((float(weight_C @ along_C**2) - along**2) / SAMPLES)
        row = {
            "problem": problem.question,
            "kind": problem.kind,
            "samples": SAMPLES,
            "distinct": len(drawn.logp_C),
            "length": float(exact_D.norm()),
            "error": error,
            "standard_error": spread,
            "errors": error / spread,
            "z_along": (along - float(exact_D.norm())) / along_spread,
            "cosine": cosine(mean_D, exact_D),
            "reward": exact.expected_reward,
            "sampled_reward": float(weight_C @ torch.from_numpy(rewards).float()),
        }
        yield row


def sampled(
    scene: Scene, problem: Problem, exact: ScoredCompletions
) -> tuple[Enumeration, np.ndarray]:
    """What the engine draws, each distinct completion once with its share of the samples as its
    probability, and the rewards."""
    policy = scene.base
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    generator = torch.Generator().manual_seed(0)
    prompt = list(exact.enumeration.prompt_ids)
    counted: Counter[tuple[int, ...]] = Counter()
    for _ in range(SAMPLES // 2000):
        rollout = engine.generate([prompt], 2000, Sampling(LONGEST), generator)
        counted.update(map(tuple, rollout.completion_lists()))
    lists = list(counted)
    width = max(map(len, lists))
    ids_CT = np.full((len(lists), width), policy.pad_token_id)
    mask_CT = np.zeros((len(lists), width), dtype=bool)
    for row, ids in enumerate(lists):
        ids_CT[row, : len(ids)] = ids
        mask_CT[row, : len(ids)] = True
    drawn = replace(
        exact.enumeration,
        ids_CT=ids_CT,
        mask_CT=mask_CT,
        token_logp_CT=np.zeros(mask_CT.shape),
        logp_C=np.log([counted[ids] / SAMPLES for ids in lists]),
        truncated_C=np.array([ids[-1] not in policy.eos_token_ids for ids in lists]),
        leaf_C=np.zeros(len(lists), dtype=np.int64),
        found_mass=1.0,
        lost_mass=0.0,
    )
    scored = score_completions(policy, scene.task, problem, drawn, RewardSet(list(REWARDS)))
    return drawn, scored.reward_C


# ------------------------------------------------------------ estimators

ESTIMATORS: dict[str, dict[str, Any]] = {
    "Dr. GRPO": dict(loss_type="dr_grpo", scale_rewards="none"),
    "std alone": dict(loss_type="dr_grpo", scale_rewards="group"),
    "1/|o| alone": dict(loss_type="grpo", scale_rewards="none"),
    "GRPO": dict(loss_type="grpo", scale_rewards="group"),
    "DAPO": dict(loss_type="dapo", scale_rewards="group"),
    "RLOO": dict(loss_type="dr_grpo", scale_rewards="none", advantage_baseline="leave_one_out"),
    "no baseline": dict(loss_type="dr_grpo", scale_rewards="none", advantage_baseline="none"),
    "std of the batch": dict(loss_type="dr_grpo", scale_rewards="batch"),
}


def estimators(scene: Scene) -> Rows:
    """Each estimator's mean and one batch of 14 held-out problems against the truth."""
    problems = scene.problems(14)
    for seed in range(scene.seeds):
        with scene.policies(seed) as policies:
            for name, policy in policies.items():
                # The policy as shipped is the same for every seed.
                if name == "base" and seed:
                    continue
                scored = [scene.oracle(policy, problem, 0.99) for problem in problems]
                gram = gradient_gram(policy, scored, sample_space(scored))
                for size in (4, 8, 16):
                    for title, settings in ESTIMATORS.items():
                        config = GRPOConfig(num_generations=size, beta=0.0, **settings)
                        quality = estimator_quality(gram, config, batches=400, seed=seed)
                        yield {
                            "policy": name,
                            "seed": seed,
                            "problems": len(problems),
                            "completions": len(gram.gram_NN),
                            "mass": min(one.enumeration.found_mass for one in scored),
                            "num_generations": size,
                            "estimator": title,
                            "degrees": quality.degrees,
                            **asdict(quality),
                        }


# ------------------------------------------------------------ clipping

OBJECTIVES: dict[str, dict[str, Any]] = {
    "unclipped": dict(epsilon=1.0, epsilon_high=1000.0),
    "clip .2": dict(epsilon=0.2),
    "clip .2/.28": dict(epsilon=0.2, epsilon_high=0.28),
    "clip .05": dict(epsilon=0.05),
    "CISPO": dict(loss_type="cispo", epsilon_high=5.0),
}
"""By what they change of Dr. GRPO without a std, whose only bias then is the clipping's."""
FAIR = dict(loss_type="dr_grpo", scale_rewards="none", num_generations=4, beta=0.0)
KLS = (0.01, 0.03, 0.1)
MOST_COMPOSITIONS = 50_000
"""CISPO divides by tokens, so that a group's other completions are of eleven kinds and more: with
eight to a group there would be millions of ways."""


def clipping(scene: Scene) -> Rows:
    """Samples of a policy that has moved on since, by the prompt's own gradient, by Adam's step
    along it, and by whole steps of training: cosine of each objective's expected gradient with the
    true one, at the policy of now."""
    problems = scene.problems(5)
    for seed in range(scene.seeds):
        with scene.policies(seed) as policies:
            for name, policy in policies.items():
                scored = [scene.oracle(policy, problem, 0.999) for problem in problems]
                ways = [("default steps", {}), ("steering steps", STEERING)]
                where = {"policy": name, "seed": seed}
                for way, settings in ways:
                    yield from after_training(scene, policy, scored, seed, settings, where, way)
                # The policy as shipped and its own gradient are the same for every seed.
                if name == "base" and seed:
                    continue
                for one in scored:
                    yield from after_own_steps(policy, one, where)


STEERING = dict(
    prompts_per_step=8,
    num_generations=8,
    learning_rate=2e-4,
    updates_per_rollout=4,
    num_iterations=4,
    lr_scheduler_type="constant",
)


def after_own_steps(policy: Policy, scored: ScoredCompletions, where: dict[str, Any]) -> Rows:
    """Along the prompt's own true gradient, as it is and as AdamW's first steps take it."""
    start_D = flat(policy)
    own_D = policy_gradient(policy, scored)
    # AdamW's first step: every weight by the learning rate, in the direction of its gradient.
    directions = {
        "own gradient": own_D / own_D.norm(),
        "Adam's own step": adams_step(policy, own_D),
    }
    for way, direction_D in directions.items():
        for kl in KLS:
            put(policy, start_D + direction_D * step_to(policy, scored, start_D, direction_D, kl))
            yield from against_truth(policy, [scored], where | {"way": way, "asked_kl": kl})
            put(policy, start_D)


def adams_step(policy: Policy, gradient_D: Tensor) -> Tensor:
    """Where the optimizer of a run goes with this gradient at its first step, without decay."""
    moved = copy.deepcopy(policy)
    before_D = flat(moved)
    config = GRPOConfig(weight_decay=0.0, learning_rate=1e-6)
    parameters = moved.trainable_parameters()
    optimizer = make_optimizer(parameters, config)
    for group in optimizer.param_groups:
        group.update(lr=1e-4)
    sizes = [p.numel() for p in parameters]
    # Downhill: the loss is minus the reward.
    for parameter, part in zip(parameters, gradient_D.split(sizes), strict=True):
        parameter.grad = -part.view_as(parameter).clone()
    optimizer.step()
    step_D = flat(moved) - before_D
    return step_D / step_D.norm()


def step_to(
    policy: Policy, scored: ScoredCompletions, start_D: Tensor, direction_D: Tensor, kl: float
) -> float:
    """How far to go until the sampler's KL to the policy is `kl`, within one per cent."""
    length = 0.01
    for _ in range(12):
        found = kl_at(policy, scored, start_D + length * direction_D)
        if abs(found / kl - 1) < 0.01:
            break
        # Near the start a KL grows with the square of the way.
        length *= min(4.0, max(0.25, math.sqrt(kl / max(found, 1e-12))))
    return length


def kl_at(policy: Policy, scored: ScoredCompletions, weights_D: Tensor) -> float:
    put(policy, weights_D)
    return scored.kl_to(token_logps(policy, scored.enumeration).sum(1))


def after_training(
    scene: Scene,
    sampler: Policy,
    scored: Sequence[ScoredCompletions],
    seed: int,
    settings: dict[str, Any],
    where: dict[str, Any],
    way: str,
) -> Rows:
    """One, two, four and eight whole steps of training after the samples were drawn."""
    policy = copy.deepcopy(sampler)
    with tempfile.TemporaryDirectory() as folder:
        trainer = scene.trainer(folder, policy, seed + 1000, **settings)
        for step in range(1, 9):
            trainer.step()
            if step in (1, 2, 4, 8):
                now = where | {"way": way, "steps": step}
                yield from against_truth(policy, scored, now)


def against_truth(
    policy: Policy, problems: Sequence[ScoredCompletions], where: dict[str, Any]
) -> Rows:
    """Each objective's expected gradient at the policy of now, on samples of the sampler, beside
    the true one: problem by problem, and of all of them together where there are several."""
    all_found: dict[str, Tensor] = {}
    all_truth = torch.zeros_like(flat(policy))
    for scored in problems:
        logp_CT = token_logps(policy, scored.enumeration)
        # The sampler is what the ratio divides by.
        space = sample_space([scored], logps=[logp_CT])
        true_CT = space.true_coefficient_C()[:, None] * space.mask_CT
        truth_D = gradient_of(policy, scored.enumeration, true_CT)
        all_truth += truth_D
        cosines = {}
        shares = {}
        for title, changes in OBJECTIVES.items():
            config = GRPOConfig(**FAIR | changes)
            coefficient_CT = expected_coefficients(space, config, most=MOST_COMPOSITIONS)
            found_D = gradient_of(policy, scored.enumeration, coefficient_CT)
            cosines[title] = cosine(found_D, truth_D)
            all_found[title] = all_found.get(title, 0) + found_D
            if config.loss_type == "dr_grpo":
                shares[title] = clipped_share(space, config)
        yield where | {
            "kind": scored.problem.kind,
            "kl": scored.kl_to(logp_CT.sum(1)),
            "true_length": float(truth_D.norm()),
            "reward": scored.expected_reward,
            "cosine": cosines,
            "clipped": shares,
        }
    if len(problems) > 1:
        together = {title: cosine(found_D, all_truth) for title, found_D in all_found.items()}
        yield where | {"kind": "all together", "cosine": together}


def clipped_share(space: Any, config: GRPOConfig) -> float:
    """Share of the tokens that are clipped, on average over what is drawn, with advantages of a
    large group."""
    ratio_CT = np.exp(space.logp_CT - space.old_logp_CT)
    advantage_C1 = (space.reward_C - space.weight_C @ space.reward_C)[:, None]
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    clipped_CT = (ratio_CT > 1 + high) & (advantage_C1 > 0)
    clipped_CT |= (ratio_CT < 1 - config.epsilon) & (advantage_C1 < 0)
    clipped_C = (clipped_CT & space.mask_CT).sum(1)
    return float(space.weight_C @ clipped_C / (space.weight_C @ space.mask_CT.sum(1)))


# ------------------------------------------------------------ all of it

PARTS: dict[str, Callable[[Scene], Rows]] = {
    "enumeration": enumeration,
    "monte_carlo": monte_carlo,
    "estimators": estimators,
    "clipping": clipping,
}


def main() -> None:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    base = load_policy("embedded")
    scene = Scene(load_task("arithmetic"), base, args.seeds)
    digest = weights_digest(base)
    result: dict[str, Any] = {}
    if args.out and args.out.exists():
        result = json.loads(args.out.read_text())
    for part in args.parts:
        began = time.monotonic()
        rows: list[dict[str, Any]] = []
        for row in PARTS[part](scene):
            print(json.dumps(row), flush=True)
            rows.append(row)
            result[part] = {
                "rows": rows,
                "seconds": time.monotonic() - began,
                "load": os.getloadavg()[0],
                "date": date.today().isoformat(),
                "machine": machine_name(),
                "threads": 1,
                "weights": digest,
            }
            # After every row: what was broken off keeps what it had found.
            if args.out:
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
