"""GSM8K from the Hugging Face Hub (arXiv 2110.14168). Needs a network, so only a user who names it
reaches this."""

from __future__ import annotations

from workbench.tasks.format import SYSTEM_PROMPT
from workbench.tasks.rows import Keys, problem_of_row
from workbench.tasks.types import Task, TaskError

DATASET = "openai/gsm8k"


def gsm8k_task() -> Task:
    """GSM8K's own splits: 7,473 problems to train on, 1,319 held out. Raises `TaskError` when it
    cannot be had."""
    from datasets import load_dataset

    try:
        data = load_dataset(DATASET, "main")
    except OSError as error:  # what datasets and the Hub client raise without a network, ConnectionError included
        raise TaskError(
            f"{DATASET!r} could not be loaded from the Hub ({error}). Without a network, give the path of a local "
            "copy: load_task('folder/train.jsonl')."
        ) from error
    keys = Keys("question", "answer")
    train, held_out = (
        [problem_of_row(row, keys) for row in data[split]] for split in ("train", "test")
    )
    return Task("gsm8k", train, held_out, SYSTEM_PROMPT)
