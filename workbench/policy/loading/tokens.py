"""The tokens that end a completion and that pad a batch, gathered from the four places where models
keep them."""

from __future__ import annotations

from typing import Any

from workbench.policy.policy import PolicyError
from workbench.policy.template import turn_end, wants_parts


def end_token_ids(model: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    """Every id that ends a completion: the one that the chat template puts after an answer first,
    then the generation config's, the model's and the tokenizer's. Ids outside the model's
    vocabulary are left out.

    Raises `PolicyError` when there is none.
    """
    turn = turn_end(tokenizer, parts=wants_parts(tokenizer))
    found = [] if turn is None else [turn]
    for eos in (
        getattr(model.generation_config, "eos_token_id", None),
        model.config.get_text_config(decoder=True).eos_token_id,
        tokenizer.eos_token_id,
    ):
        found += eos if isinstance(eos, list) else [] if eos is None else [eos]
    usable = [i for i in dict.fromkeys(found) if 0 <= i < vocabulary_of(model)]
    if not usable:
        raise PolicyError(
            f"policy {name!r} has no end token, so every completion would be truncated. Set "
            "tokenizer.eos_token and save it."
        )
    return tuple(usable)


def padding_id(model: Any, tokenizer: Any, eos: tuple[int, ...]) -> int:
    """The tokenizer's padding id, or the first end id where it has none that the model knows: masks
    tell the two apart."""
    pad = tokenizer.pad_token_id
    return pad if pad is not None and 0 <= pad < vocabulary_of(model) else eos[0]


def vocabulary_of(model: Any) -> int:
    """Rows of the embedding; often more than the tokenizer has tokens, sometimes fewer."""
    return int(model.get_input_embeddings().weight.shape[0])
