"""The tokens that end a completion and that pad a batch, gathered from the four places where models
keep them."""

from __future__ import annotations

from typing import Any

from workbench.policy.policy import MARK, PolicyError


def end_token_ids(model: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    """Every id that ends a completion: the one that the chat template puts after an answer first,
    then the generation config's, the model's and the tokenizer's. Ids outside the model's
    vocabulary are left out.

    Raises `PolicyError` when there is none.
    """
    turn = turn_end(tokenizer)
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


def turn_end(tokenizer: Any) -> int | None:
    """The control token that the chat template writes after an answer, such as <|im_end|>; None
    where it writes none.

    A file in GGUF format, and many a base model with a template, name only the end of a text as
    their end token.
    """
    if not tokenizer.chat_template:
        return None
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
    after = tokenizer.apply_chat_template(talk, tokenize=False).rpartition(MARK)[2]
    ids = tokenizer(after, add_special_tokens=False)["input_ids"][:1]
    special = {
        *tokenizer.all_special_ids,
        *(i for i, token in tokenizer.added_tokens_decoder.items() if token.special),
    }
    return ids[0] if ids and ids[0] in special else None


def padding_id(model: Any, tokenizer: Any, eos: tuple[int, ...]) -> int:
    """The tokenizer's padding id, or the first end id where it has none that the model knows: masks
    tell the two apart."""
    pad = tokenizer.pad_token_id
    return pad if pad is not None and 0 <= pad < vocabulary_of(model) else eos[0]


def vocabulary_of(model: Any) -> int:
    """Rows of the embedding; often more than the tokenizer has tokens, sometimes fewer."""
    return int(model.get_input_embeddings().weight.shape[0])
