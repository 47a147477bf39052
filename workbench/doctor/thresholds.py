"""The doctor's thresholds, each with its reason. None is a law: they are where a practitioner would
look twice."""

from __future__ import annotations

# ------------------------------------------------------------ windows

WINDOW = 10
"""Steps that "recent" means. One step's batch is a handful of prompts and jumps; ten still notice a
change while it is new."""

FEWEST_STEPS = 3
"""Steps that a statement on the present state needs: one could be chance, and a person should not
wait long."""

FEWEST_VALUES = 5
"""Values of a window that a comparison needs: with fewer a standard deviation is a guess."""

RECENT_SAMPLES = 5
"""Steps whose samples are looked into: with 16 groups each these are 80 groups, enough for a share
within about ±10 %."""

MARGIN_ERRORS = 3.0
"""Standard errors that a difference must exceed. Some thirty comparisons are made every few steps,
so that the usual two would raise a false alarm on most runs."""

LARGEST_INFLATION = 10.0
"""The most by which autocorrelation may widen a squared error: a trend inside a window looks like
autocorrelation as well."""

# ------------------------------------------------------------ the objective

LOSS_NEAR_ZERO = 0.1
"""|loss| below this is called near 0. Advantages are about 1 in size, so a surrogate that did not
cancel would be about 1."""

NO_GRADIENT = 1e-8
"""A gradient norm that is rounding: float32 has a relative precision of 1e-7."""

CLIPPED_HIGH = 0.3
"""Share of tokens clipped, among the updates that can clip: above it the batch is largely thrown
away. PPO practice stays below 0.1 to 0.2."""

CLIPPED_TOO_HIGH = 0.6
"""The same where most tokens are clipped: the later updates of a rollout hardly do anything."""

CLIPPED_HIGH_SEQUENCE = 0.6
"""Warning level for ratios per sequence: GSPO (arXiv 2507.18071, section 5.2) works with clip
fractions two orders above GRPO's."""

KL_HIGH = 2.0
"""Nats per token: e^2, about seven times likelier than under the reference, is another language
than the reference's."""

KL_TOO_HIGH = 10.0
"""Nats per token: every token is one that the reference would hardly ever write; k3 is then
dominated by a few tokens."""

KL_GROWTH = 4.0
"""Factor between two neighbouring windows that counts as running away; a policy that learns drifts
by less than twofold."""

KL_NOTICED = 0.1
"""Nats per token below which a growing KL is no news: it starts from 0, so that early growth is
large in any run."""

# ------------------------------------------------------------ groups and rewards

DEAD_NOTED, DEAD_HIGH, DEAD_TOO_HIGH = 0.5, 0.7, 0.95
"""Share of groups that teach nothing. At a half a step's batch is worth half its cost; near 1
nothing is learned at all."""

MOST = 2 / 3
"""Share of the dead groups that must be of one kind (all paid the most, or the least) to say which
kind it is."""

NEAR_END = 0.25
"""A dead group within this share of the reward's range from the top was paid the most, from the
bottom the least."""

PAID_BEYOND = 0.1
"""By how much the share of groups that were all paid the most must exceed what held-out accuracy
allows before the two are said to contradict each other: training problems and held-out ones are not
the same."""

NOT_SCORED = 0.2
"""Share of completions for which a function gave None: a fifth of the group's comparisons then lack
that function."""

SATURATED = 0.97
"""Reward, as a share of the range seen, from which on there is little left to gain."""

SOLVED = 0.9
"""Held-out accuracy that a saturated reward should go with, where it pays what we want."""

RARE = 0.03
"""Share of completions that a function pays, below which it is rarely seen: in groups of 8 it then
shows up in one of five."""

PAID_BESIDE = 0.1
"""Share of the completions that one function pays, from which on another that pays for none of them
is worth a word: a tenth of the last five steps is too many to be chance."""

DOMINATES = 0.9
"""Share of the functions' summed variances within groups that one function makes: the others then
hardly move an advantage."""

SCALE_FACTOR = 5.0
"""Ratio of the ranges (times weights) of two functions from which on the larger one wins by scale,
not by merit."""

FLAT_PART = 1 / 3
"""A curve is called flat when it surely moved by less than this share of the spread inside a live
group: that spread is what GRPO can turn into a gain. A fall must be as large to be called one."""

DROP = 0.5
"""A sudden fall must be this share of a live group's spread: less is what a hard batch of prompts
does by itself."""

OVER_OPTIMISED = 0.25
"""Share of the range of a watched reward's step means that it must have come down from its best
window, beside being more than noise: the best of several windows is lucky by a part of that range,
and a mean of steps that stays where it was comes back to it."""

PROGRESS_STEPS = 40
"""Steps after which a flat reward is worth a word; short flat stretches are common at the start of
a run."""

# ------------------------------------------------------------ completions

TRUNCATED_HIGH, TRUNCATED_TOO_HIGH = 0.15, 0.5
"""Share of completions cut off. A truncated answer is usually scored 0 whatever its merit; at a
half that is what is learned."""

NOTHING_ENDS = 0.98
"""Truncated share from which on the end token is missing rather than late."""

LENGTH_FACTOR = 1.5
"""Length now against the start: half as long again is more than tasks of one kind differ by."""

ENTROPY_COLLAPSED = 0.1
"""Entropy now against the start: at a tenth the completions of a group are nearly the same."""

ENTROPY_NONE = 0.02
"""Nats per token at which a policy is deterministic for practical purposes: a token in 300 or so is
a real choice. A small or fine-tuned policy may begin just above it, so that it counts only together
with `ENTROPY_FELL`."""

ENTROPY_FELL = 1 / 3
"""Median entropy now against the first steps' median: learning a task halves it in a healthy run of
a policy that began low."""

ENTROPY_EXPLODED = 1.5
"""Entropy now against the start. GRPO sharpens a policy; half as much again means that it is losing
what it knew."""

ENTROPY_NOTICED = 0.5
"""Nats that an explosion must amount to as well: from 0.02 to 0.04 is twice, and nothing."""

# ------------------------------------------------------------ sampler and optimizer

MISMATCH_HIGH, MISMATCH_TOO_HIGH = 0.02, 0.1
"""Mean |log-probability difference| between sampler and trainer, nats. Rounding in bfloat16 makes
up to about 0.01; more means other weights, another temperature or another attention."""

SPIKE_FACTOR = 10.0
"""A gradient norm this many times the median is a spike: norms of healthy runs vary by factors of 2
to 4."""

SPIKE_STEPS = 30
"""Steps that are searched for spikes."""

SPIKES_MANY = 3
"""From so many spikes on they are no accident."""

ALWAYS_CLIPPED = 0.9
"""Share of steps with a norm above max_grad_norm that counts as nearly always."""

FAR_ABOVE = 10.0
"""Times max_grad_norm that the median norm must reach to be a warning: then only the direction of
the gradient is used."""

LEARNING_RATE_MOVED = 0.01
"""Relative change of the learning rate worth a word."""

# ------------------------------------------------------------ the record against itself

AUDITED_STEPS = 3
"""Steps whose tokens are reckoned again. What is found there is no statistics but a sum that does
not come out, so that few are enough; reading tokens is the dearest thing that the doctor does."""

FEWEST_ROWS = 8
"""Completions that a statement on all of them needs."""

SURELY = 0.95
"""Share from which on "all of them" is said: a mistake in code hits every one, but a completion may
stand at a clip bound or have a coefficient of 0 by rounding."""

SCALE_OFF = 0.02
"""Relative error of a coefficient that is no rounding: they are recorded in float32 (1e-7), and the
logits of a bfloat16 policy differ by about 0.01 between two passes."""

KL_OFF = 0.01
"""Relative difference between the KL that was recorded and that of the recorded tokens; both come
from the same numbers, so that rounding alone is left (of a small k3 four digits remain)."""

KL_TOLD_APART = 1e-5
"""Nats per token from which on k3 and its inversion differ by more than float32's rounding: below,
both are d^2 / 2."""

MISMATCH_IN_FLOAT32 = 0.002
"""As `MISMATCH_HIGH`, for a policy in float32, whose rounding makes 1e-5: a two-thousandth of a
probability is other weights already."""

EXPLAINS_TEMPERATURE = 0.6
"""Share of a mismatch's squares that a temperature must explain to be named: nearly all where it is
the cause, a part where the policy has become surer since the sampler got its weights."""

TEMPERATURE_OFF = 0.03
"""Relative difference of two temperatures worth the name."""

SHIFT_NATS = 1.0
"""Mean nats per token by which a policy that wrote the tokens itself may not think them rarer than
its entropy says: read in the right places they are equal on average."""

ADAM_SLACK = 10.0
"""Times the largest step that Adam's rule allows. max(1, (1 - beta1) / sqrt(1 - beta2)) learning
rates is that bound (Kingma and Ba, arXiv 1412.6980, section 2.1); weight decay and the rounding of
the weights' format come on top."""

LEAKED = 0.9
"""Share of the prompts that hold their own gold answer from which on it is no coincidence."""

LEAKED_MORE = 0.5
"""By how much that must exceed the share of prompts that hold another prompt's gold: in multiple
choice every prompt holds every answer, and among small numbers some stand there by chance."""

FEWEST_PROMPTS = 10
"""Different prompts that a statement on prompts needs."""

FEWEST_TEXTS = 20
"""Completions (or pairs of equal ones) that a statement on what texts are paid needs."""

SWAPPED = 0.1
"""Share of pairs of equal completions to one prompt that are paid differently. A function of the
text pays them alike; a tenth is no single lapse of it."""

# ------------------------------------------------------------ single methods

CRITIC_STEPS = 30
"""Steps that a critic is given: it begins at 0 and has to learn what the reward is first."""

CRITIC_EXPLAINS = 0.05
"""Share of the returns' variance that a critic should explain by then. One number for all explains
0, and what is left of a twentieth is within a batch's noise."""

CHOSEN_FELL = 1.0
"""Nats by which the chosen answers must have become rarer than under the reference: a factor of e.
In online pairs they are the policy's own, whose log-ratio is above 0 in the mean (it is a KL), so
that a fall is no accident (arXiv 2402.13228 and 2410.08847 on the same in offline pairs)."""

REVERSE_KL_NOTICED = 0.01
"""Nats per token below which the policy is the teacher, for practical purposes."""

# ------------------------------------------------------------ run and evaluation

PHASE_DOMINATES = 0.6
"""Share of a step's time from which on speeding up anything else gains little (Amdahl: less than
1.7-fold)."""

REWARD_SLOW = 0.4
"""The same for the reward functions, which should cost next to nothing beside the model."""

INTERVAL_WIDE = 0.1
"""Half width of an accuracy's 95 % interval; ±10 points hide most gains of a run of this size (n of
about 100)."""

INTERVAL_WANTED = 0.05
"""Half width that the doctor recommends: n of about 400."""

KNOB_STEPS = 20
"""Steps for which a knob change is news: two windows, time enough to see what followed."""
