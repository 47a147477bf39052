"""A rule on where the record comes from."""

from __future__ import annotations

from workbench.doctor.facts import Facts
from workbench.doctor.finding import Finding, quoted

FIGURES = {
    "loss": "the loss",
    "grad_norm": "the gradient's norm",
    "kl": "the KL",
    "entropy": "the entropy",
    "clip_ratio_region": "the share of clipped tokens",
    "completion_length": "lengths in tokens",
    "truncated_share": "cut-off completions",
    "seconds/step": "times",
}
"""Metrics that a run of the workbench has -> how the finding names them."""
ARRAYS = {
    "logp": "log-probabilities of the updated policy",
    "old_logp": "those before the update",
    "ref_logp": "the reference's",
    "sampler_logp": "the sampler's",
}
"""The same of what a run keeps for each token."""

REMEDIES = {
    "trl": (
        "A run of TRL is recorded with all of this while it trains: `from workbench import watch; "
        "watch(trainer)` before trainer.train()."
    ),
}
OTHER_REMEDY = (
    "Let the trainer log what is missing and import again: `workbench import --help` names the "
    "columns, those of tokens and log-probabilities among them."
)


def imported(facts: Facts) -> Finding | None:
    """The record was imported: what its files did not hold is not known."""
    if facts.imported is None:
        return None
    lacking = [words for name, words in FIGURES.items() if not len(facts.values(name))]
    lacking += _lacking_tokens(facts)
    if not len(facts.evaluations):
        lacking.append("held-out accuracy")
    return Finding(
        "imported",
        "note",
        f"The run was imported from files of {quoted(facts.imported)}: it says what they hold and "
        "no more. Rules that ask for the rest are silent, which is no sign that all is well there.",
        f"not in the record: {', '.join([*lacking, 'most settings'])}",
        REMEDIES.get(facts.imported, OTHER_REMEDY),
    )


def _lacking_tokens(facts: Facts) -> list[str]:
    """What of the tokens is not there, by the last step that has completions."""
    recent = facts.recent_samples
    arrays = facts.run.token_arrays(recent[-1].step) if recent else {}
    if not arrays:
        return ["tokens and their log-probabilities"]
    return [words for name, words in ARRAYS.items() if name not in arrays]
