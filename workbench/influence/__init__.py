"""Who taught it that? For the completions, or the tokens of one, whose probability moved most in a
step: which answers' gradients pushed them up, and which pulled them down.

    result.py     what was found: the matrix with its sums, as frames and as a file; needs no torch
    gradients.py  gradients of single completions, and the coefficients that the loss gives them
    movement.py   how an optimizer turns a gradient into a movement of the weights
    kept_step.py  a step of the record, ready to be made again
    replay.py     the policy moved along such steps, from the checkpoint before
    updates.py    the updates of that step, and what each began with
    targets.py    which completions or tokens moved most
    compute.py    the matrix of one step
    files.py      results beside the record
    begin.py      whose step it is, and the policy as it was when the step began
    ask.py        `who_taught`: a session or a stored run, its policy and the files
    mass.py       `mass_of_step`: how probable each completion was, before and after each update
    mass_file.py  that as arrays and as a file; needs no torch
    fork.py       `fork_here`: from one token on, what the policy of now would write
    fork_rewards.py  the run's rewards for it
    fork_result.py   that as plain values; needs no torch

The influence of answer i on completion j in an update is the first-order change of log pi(j) that
the gradient of i alone makes: <grad log pi(j), D g_i>, where g_i is minus the gradient of the part
of the loss that i has, and D what the optimizer makes of it (learning rate, clipping, AdamW's
division). It is TracIn (arXiv 2002.08484, eq. 2) with log-probabilities in place of losses, and
with D = learning rate x identity the Gram matrix of the completions' gradients.
"""

from workbench.lazy import lazy_names

_HOMES = {
    "who_taught": "workbench.influence.ask",
    "mass_of_step": "workbench.influence.mass",
    "stored_mass": "workbench.influence.mass_file",
    "Mass": "workbench.influence.mass_file",
    "fork_here": "workbench.influence.fork",
    "Continuation": "workbench.influence.fork_result",
    "Continuations": "workbench.influence.fork_result",
    "stored_influence": "workbench.influence.files",
    "Influence": "workbench.influence.result",
    "InfluenceError": "workbench.influence.result",
    "InfluenceCancelledError": "workbench.influence.result",
    "InfluenceWarning": "workbench.influence.result",
}
__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
