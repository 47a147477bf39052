"""How good an estimate of the policy gradient one batch is, under any settings of the objective,
against the true gradient of a `World`.

Every weight comes from `workbench.objective`, as in training: the advantages of sampled groups, the
derivative of the policy term (ratio, clip, KL) at each token, the reduction. What is added up with
these weights are the gradients in the world's edges, so that a thousand batches take a second and
no policy.

Suffixes beside the world's: M batches, B completions of a batch, W = M x B.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.widgets.oracle.world import NO_EDGE, Array, World

if TYPE_CHECKING:
    from workbench.config import GRPOConfig

BATCHES = 200
LOSS_TYPES = ("grpo", "bnpo", "dapo", "dr_grpo", "cispo", "sapo", "reinforce")
"""The losses whose weight of a token asks for that token alone: a world knows no other tokens than
those at branches."""
PARTS = 10
"""Parts of the batches, left out one at a time for the standard errors."""
LONGEST = 1 << 20
CISPO_CAP = 5.0
"""What epsilon_high is for cispo where the setting leaves it open."""


@dataclass(frozen=True)
class Setting:
    """What an estimate is made with; the names are `GRPOConfig`'s, and three more."""

    loss_type: str = "grpo"
    num_generations: int = 8
    advantage_baseline: str = "group"
    scale_rewards: str = "group"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0

    updates: int = 1
    """mu: how often a batch is used; the k-th time it is k - 1 steps older."""

    stale: int = 0
    """How many steps old the sampler is at the first use."""

    clip: bool = True
    """False: a clip range that no ratio leaves."""


@dataclass(frozen=True)
class Quality:
    """What an estimate is worth. Errors are standard errors over the batches."""

    cosine_of_mean: float
    """Cosine between the mean of very many batches and the truth, freed of the noise that the mean
    of so few has left. 1 = unbiased up to a factor."""

    cosine_of_mean_error: float

    cosine_of_batch: float
    """Mean cosine between the gradient of one batch and the truth; a batch of nothing but dead
    groups counts 0."""

    cosine_of_batch_error: float

    signal_to_noise: float
    """Length of the mean over the root mean square distance of a batch from it."""

    dead: float
    """Share of groups whose rewards are all equal."""

    clipped: float
    """Share of tokens that are clipped, of all tokens."""

    cosine_M: Array
    """The cosine of each batch; NaN where it has no gradient."""

    length_M: Array
    """The length of each batch's gradient, over that of the mean."""

    side_M: Array
    """On which side of the truth it lies: 1 where the mean errs to, -1 on the other."""

    @property
    def bias_degrees(self) -> float:
        """The angle between the mean and the truth."""
        return math.degrees(math.acos(max(-1.0, min(1.0, self.cosine_of_mean))))


def config_of(setting: Setting, **more: Any) -> GRPOConfig:
    """The config that has these settings. Raises `ConfigError` for those that cannot be
    together."""
    from workbench.config import ConfigWarning, GRPOConfig

    own: dict[str, Any] = dict(epsilon=setting.epsilon, epsilon_high=setting.epsilon_high)
    if setting.loss_type == "cispo":
        # There epsilon_high is the cap itself, and has no default.
        own["epsilon_high"] = setting.epsilon_high or CISPO_CAP
    if not setting.clip:
        own = dict(epsilon=1 - 1e-6, epsilon_high=1000.0)
    with warnings.catch_warnings():
        # Half of what the page shows is what a warning warns of.
        warnings.simplefilter("ignore", ConfigWarning)
        return GRPOConfig(
            loss_type=setting.loss_type,
            num_generations=setting.num_generations,
            advantage_baseline=setting.advantage_baseline,
            scale_rewards=setting.scale_rewards,
            beta=setting.beta,
            max_completion_length=LONGEST,
            updates_per_rollout=1,
            **own,
            **more,
        )


RECIPES: dict[str, dict[str, Any]] = {
    "GRPO": dict(loss_type="grpo"),
    "GRPO, not scaled": dict(loss_type="grpo", scale_rewards="none"),
    "DAPO's loss": dict(loss_type="dapo"),
    "Dr. GRPO": dict(loss_type="dr_grpo", scale_rewards="none"),
    "RLOO": dict(loss_type="dr_grpo", scale_rewards="none", advantage_baseline="leave_one_out"),
    "CISPO": dict(loss_type="cispo", epsilon_high=CISPO_CAP),
    "REINFORCE": dict(loss_type="reinforce", scale_rewards="none", advantage_baseline="none"),
}
"""What each name changes of a `Setting`."""


def quality(world: World, setting: Setting, batches: int = BATCHES, seed: int = 0) -> Quality:
    """Draw batches of one group a prompt and hold their gradients against the truth. Equal seeds
    draw alike under all settings, so that differences between settings are sharper than errors.

    Raises ValueError for a sampler older than the world knows, `ConfigError` for settings that
    cannot be together.
    """
    oldest = setting.stale + setting.updates - 1
    if not 0 <= setting.stale <= oldest <= world.steps_back:
        raise ValueError(
            f"stale={setting.stale} with updates={setting.updates} asks for a sampler {oldest} "
            f"steps old; this world knows {world.steps_back}. Lower one of the two."
        )
    config = config_of(setting, prompts_per_step=len(world.questions))
    random = np.random.default_rng(seed)
    shape = (batches, len(world.questions), MOST_GENERATIONS)
    uniform_MNG = random.random(shape)[:, :, : setting.num_generations]
    total_MR = np.zeros((batches, world.factor_ER.shape[1]))
    dead = 0.0
    clipped = 0.0
    for stale in range(setting.stale, oldest + 1):
        one = gradients(world, config, stale, uniform_MNG)
        total_MR += one.gradient_MR
        dead += one.dead / setting.updates
        clipped += one.clipped / setting.updates
    return judged(total_MR, world.true_gradient(), dead, clipped)


MOST_GENERATIONS = 64


@dataclass(frozen=True)
class Gradients:
    """The gradients of M batches."""

    gradient_MR: Array
    """Uphill, in the basis of the world's factor."""

    dead: float
    """Share of groups whose rewards are all equal."""

    clipped: float
    """Share of the tokens that are clipped."""


def gradients(world: World, config: GRPOConfig, stale: int, uniform_MNG: Array) -> Gradients:
    """The gradient (uphill) of each batch, from samples of a stale policy."""
    batches = len(uniform_MNG)
    completion_W = draw(world, stale, uniform_MNG).reshape(-1)
    advantage_W, dead = _advantages(world, config, completion_W.reshape(batches, -1))
    push_WD, clipped_WD = pushes(world, config, stale, completion_W, advantage_W)
    share_W = _shares(world, config, completion_W.reshape(batches, -1))
    weight_WD = push_WD * share_W[:, None]

    # Into the edges, batch by batch: one flat index for both.
    edge_WD = world.edge_CD[completion_W]
    there = edge_WD != NO_EDGE
    edges = len(world.factor_ER)
    batch_W1 = np.repeat(np.arange(batches), len(completion_W) // batches)[:, None]
    flat = (batch_W1 * edges + edge_WD)[there]
    weight_ME = np.bincount(flat, weight_WD[there], batches * edges).reshape(batches, edges)
    tokens = float(world.length_C[completion_W].sum())
    return Gradients(weight_ME @ world.factor_ER, dead, float(clipped_WD.sum()) / tokens)


def draw(world: World, stale: int, uniform_MNG: Array) -> Array:
    """Completions drawn from the sampler, (M, N, G), by the inverse of its distribution."""
    probability_C = world.probability(stale)
    drawn = np.empty(uniform_MNG.shape, int)
    for n in range(len(world.questions)):
        own = np.flatnonzero(world.prompt_C == n)
        edges = np.cumsum(probability_C[own])
        place = np.searchsorted(edges / edges[-1], uniform_MNG[:, n], side="right")
        drawn[:, n] = own[np.minimum(place, len(own) - 1)]
    return drawn


def _advantages(world: World, config: GRPOConfig, completion_MB: Array) -> tuple[Array, float]:
    """(W,) advantages, batch by batch, and the share of dead groups."""
    import torch

    from workbench.objective import group_advantages

    parts = []
    dead = 0.0
    for completion_B in completion_MB:
        found = group_advantages(torch.from_numpy(world.reward_C[completion_B]), config)
        parts.append(found.advantage_B.numpy())
        dead += float(found.dead_N.float().mean()) / len(completion_MB)
    return np.concatenate(parts), dead


def pushes(
    world: World, config: GRPOConfig, stale: int, completion_W: Array, advantage_W: Array
) -> tuple[Array, Array]:
    """What grad log pi of each token at a branch is multiplied with before the reduction, (W, D),
    and which tokens are clipped."""
    import torch

    from workbench.objective import BatchTotals, policy_loss

    def on_branches(logp_E: Array) -> torch.Tensor:
        return torch.from_numpy(world.token_logps(logp_E)[completion_W])

    mask_WD = torch.from_numpy(world.edge_CD[completion_W] != NO_EDGE)
    logp_WD = on_branches(world.logp_SE[0]).requires_grad_()
    # A sum over sequences of which there is one: the terms as they are, not yet divided.
    summed = _with_reduction(config, "sequence_sum")
    loss = policy_loss(
        logp_WD,
        torch.from_numpy(advantage_W),
        mask_WD,
        summed,
        old_logp=on_branches(world.logp_SE[stale]),
        ref_logp=on_branches(world.ref_logp_E) if config.beta > 0 else None,
        num_items=BatchTotals(sequences=1, tokens=torch.tensor(1.0)),
    )
    (gradient_WD,) = torch.autograd.grad(loss.loss, logp_WD)
    clipped_WD = loss.per_token.clipped_low | loss.per_token.clipped_high
    return -gradient_WD.numpy(), clipped_WD.numpy()


def _with_reduction(config: GRPOConfig, name: str) -> GRPOConfig:
    from dataclasses import replace

    from workbench.config import ConfigWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return replace(config, loss_reduction=name)


def _shares(world: World, config: GRPOConfig, completion_MB: Array) -> Array:
    """What the reduction multiplies the terms of each completion with, (W,)."""
    import torch

    from workbench.config.losses import reduction_of
    from workbench.objective.reductions import REDUCTIONS, BatchTotals, Terms

    reduce = REDUCTIONS[reduction_of(config)]
    shares = []
    for completion_B in completion_MB:
        length_B1 = torch.from_numpy(world.length_C[completion_B]).double()[:, None]
        term_B1 = torch.ones_like(length_B1, requires_grad=True)
        totals = BatchTotals(sequences=len(completion_B), tokens=length_B1.sum())
        value = reduce(Terms(term_B1, length_B1, None, totals), config)
        shares.append(torch.autograd.grad(value, term_B1)[0][:, 0].numpy())
    return np.concatenate(shares)


# ------------------------------------------------------------------ figures


def judged(gradient_MR: Array, truth_R: Array, dead: float = 0.0, clipped: float = 0.0) -> Quality:
    """The figures of M independent gradients against the truth."""
    length_M = np.linalg.norm(gradient_MR, axis=1)
    truth = float(np.linalg.norm(truth_R))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine_M = (gradient_MR @ truth_R) / (length_M * truth)
    counted_M = np.nan_to_num(cosine_M)
    of_mean, ratio = _cosine_of_mean(gradient_MR, truth_R)
    # The jackknife: how much the figure moves when a tenth of the batches is left out.
    parts = np.array_split(np.arange(len(gradient_MR)), min(PARTS, len(gradient_MR)))
    left_out = [_cosine_of_mean(np.delete(gradient_MR, part, axis=0), truth_R)[0] for part in parts]
    known = [cosine for cosine in left_out if not math.isnan(cosine)]
    spread = np.var(known) * (len(parts) - 1) if known else math.nan
    mean = float(np.linalg.norm(gradient_MR.mean(0)))
    return Quality(
        cosine_of_mean=of_mean,
        cosine_of_mean_error=float(np.sqrt(spread)),
        cosine_of_batch=float(counted_M.mean()),
        cosine_of_batch_error=float(counted_M.std(ddof=1) / np.sqrt(len(counted_M))),
        signal_to_noise=ratio,
        dead=dead,
        clipped=clipped,
        cosine_M=cosine_M,
        length_M=length_M / mean if mean > 0 else length_M,
        side_M=_sides(gradient_MR, truth_R),
    )


def _sides(gradient_MR: Array, truth_R: Array) -> Array:
    mean_R = gradient_MR.mean(0)
    across_R = mean_R - truth_R * float(mean_R @ truth_R) / float(truth_R @ truth_R)
    sides_M: Array = np.where(gradient_MR @ across_R < 0, -1.0, 1.0)
    return sides_M


def _cosine_of_mean(gradient_MR: Array, truth_R: Array) -> tuple[float, float]:
    """The cosine of the expectation with the truth, and signal over noise.

    |mean|² of M batches is too large by the noise over M; that is taken off, so that the angle does
    not shrink as batches are added.
    """
    count = len(gradient_MR)
    mean_R = gradient_MR.mean(0)
    noise = float(((gradient_MR - mean_R) ** 2).sum() / max(count - 1, 1))
    signal = float(mean_R @ mean_R) - noise / count
    if signal <= 0:
        return float("nan"), 0.0
    along = float(mean_R @ truth_R) / float(np.linalg.norm(truth_R))
    of_mean = max(-1.0, min(1.0, along / math.sqrt(signal)))
    return of_mean, math.sqrt(signal / noise) if noise > 0 else math.inf


# ------------------------------------------------------------------ without drawing


@dataclass(frozen=True)
class Turned:
    """The expected gradient of one prompt under a sampler that is old."""

    cosine: float
    """Cosine between the expected gradient and the truth."""

    clipped: float
    """Share of the tokens that are clipped."""

    kl: float
    """KL(sampler || policy) of the completions, in nats."""


def expected(world: World, setting: Setting, prompt: int | None = None) -> Turned:
    """The expectation itself, with the advantage r - J of the sampler (a group without end, not
    scaled) and every token weighing alike: nothing is left but ratio and clip."""
    config = config_of(setting)
    stale = setting.stale
    every = np.arange(len(world.reward_C))
    baseline_N = world.expected_reward(stale)
    advantage_C = world.reward_C - baseline_N[world.prompt_C]
    push_CD, clipped_CD = pushes(world, config, stale, every, advantage_C)
    old_C = world.probability(stale)
    chosen_C = np.ones(len(every), bool) if prompt is None else world.prompt_C == prompt
    weight_C = np.where(chosen_C, old_C, 0.0)
    direction_R = world.direction(weight_C[:, None] * push_CD)
    tokens = float(weight_C @ world.length_C)
    log_ratio_C = world.token_logps(world.logp_SE[stale] - world.logp_SE[0]).sum(1)
    prompts = len(world.questions) if prompt is None else 1
    return Turned(
        cosine=cosine_to(world, direction_R, prompt),
        clipped=float((weight_C[:, None] * clipped_CD).sum()) / tokens,
        kl=float(weight_C @ log_ratio_C) / prompts,
    )


def cosine_to(world: World, direction_R: Array, prompt: int | None) -> float:
    """Cosine with the true gradient of all prompts, or of one."""
    from workbench.widgets.oracle.world import cosine

    return cosine(direction_R, world.true_gradient(prompt))
