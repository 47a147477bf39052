"""Tokens of a tokenizer that the model's embedding has no row for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NAMED = 5
"""Tokens that an error names before it only counts the rest."""


def rows_said_by(config: Any) -> int:
    """Rows of the embedding, as the model's config has them."""
    return int(config.get_text_config(decoder=True).vocab_size)


def too_many_tokens(tokenizer: Any, ids: Iterable[int], rows: int) -> str | None:
    """What is wrong with those of `ids` that have no row, and what to do, in words; None where all
    of them have one."""
    beyond = sorted({i for i in ids if i >= rows})
    if not beyond:
        return None
    named = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(beyond[:NAMED])))
    more = f" and {len(beyond) - NAMED} more" if len(beyond) > NAMED else ""
    return (
        f"the embedding has {rows} rows and the tokenizer {len(tokenizer)} tokens: there is none "
        f"for {named}{more}. If they were added, call "
        "model.resize_token_embeddings(len(tokenizer)) and save the model with its tokenizer; "
        "else the tokenizer is another model's."
    )
