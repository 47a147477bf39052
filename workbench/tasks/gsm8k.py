"""GSM8K from the Hugging Face Hub (arXiv 2110.14168). Needs a network, so only a user who names it
reaches this."""

from __future__ import annotations

from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.reading.columns import Keys
from workbench.tasks.reading.rows import problem_of_row
from workbench.tasks.types import Task, TaskError

DATASET = "openai/gsm8k"


def gsm8k_task(seed: int = 0) -> Task:
    """GSM8K's own splits: 7,473 problems to train on, 1,319 held out. They are published, so that
    `seed` changes nothing. Raises `TaskError` when the data cannot be had."""
    from datasets import load_dataset

    try:
        data = load_dataset(DATASET, "main")
    # What datasets and the Hub client raise without a network, ConnectionError included.
    except OSError as error:
        raise TaskError(
            f"{DATASET!r} could not be loaded from the Hub ({error}). Without a network, give the "
            "path of a local copy: load_task('folder/train.jsonl')."
        ) from error
    keys = Keys("question", "answer")
    train = [problem_of_row(row, keys).problem for row in data["train"]]
    held_out = [problem_of_row(row, keys).problem for row in data["test"]]
    return Task("gsm8k", train, held_out, SYSTEM_PROMPT)
