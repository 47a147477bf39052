"""The two published sets of problems that the field trains on, from the Hugging Face Hub. They need
a network or the cache of an earlier load, so only who names one reaches them."""

from __future__ import annotations

from workbench.tasks.from_data import task_from_data
from workbench.tasks.types import Task

MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
PUBLISHED = {
    "gsm8k": "hf:openai/gsm8k/main",
    "math": f"hf:EleutherAI/hendrycks_math/{'+'.join(MATH_SUBJECTS)}",
}
"""Where the tasks of these names lie. Of MATH there is a second: the 500 problems of its test split
that OpenAI's "Let's verify step by step" kept, hf:HuggingFaceH4/MATH-500."""


def gsm8k_task(seed: int = 0) -> Task:
    """GSM8K (Cobbe et al. 2021, arXiv 2110.14168) in its own splits: 7,473 problems to train on,
    1,319 held out, whatever the `seed`. Raises `TaskError` when the data cannot be had."""
    return task_from_data(PUBLISHED["gsm8k"], seed, name="gsm8k")


def math_task(seed: int = 0) -> Task:
    """MATH (Hendrycks et al. 2021, arXiv 2103.03874) in its own splits: 7,500 problems to train on,
    5,000 held out, with subject and level (1 to 5), whatever the `seed`; repeated questions are
    left out. Raises `TaskError` when the data cannot be had."""
    return task_from_data(PUBLISHED["math"], seed, name="math")
