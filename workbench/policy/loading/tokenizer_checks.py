"""Does the tokenizer fit the model, and does its chat template render what training asks? Known
before any weights are read."""

from __future__ import annotations

import re
from typing import Any

from workbench.policy.policy import PolicyError
from workbench.policy.template import (
    QUESTION,
    RENDER_SECONDS,
    control_ids,
    finished_talks,
    question_for,
    render,
    template_forms,
    wants_parts,
)
from workbench.policy.vocabulary import too_many_tokens
from workbench.rewards.time_limit import OutOfTimeError
from workbench.tasks.format import SYSTEM_PROMPT


def check_template(tokenizer: Any, name: str) -> None:
    """Raises `PolicyError` for a chat template that cannot render a question, tried with one.

    No template at all is no error: contents are then plain paragraphs. Nor is one that wants
    contents as lists of parts: it gets them so.
    """
    if not tokenizer.chat_template:
        return
    forms = template_forms(tokenizer)
    if len(forms) > 1 and "default" not in forms:
        some = next(iter(forms))
        raise PolicyError(
            f"policy {name!r} has chat templates called {', '.join(map(repr, forms))}, and none "
            f"called 'default'. Choose one, tokenizer.chat_template = "
            f"tokenizer.chat_template[{some!r}], and save the tokenizer."
        )
    try:
        _try_in_time(tokenizer)
        parts = wants_parts(tokenizer)
        shown = QUESTION in render(tokenizer, question_for(tokenizer, parts), parts=parts)
    except OutOfTimeError as e:
        raise PolicyError(
            f"the chat template of policy {name!r} had not rendered one question after "
            f"{RENDER_SECONDS:.0f} s: it loops. Mend it, or set another one, "
            "tokenizer.chat_template = … (None: plain paragraphs), and save the tokenizer."
        ) from e
    # A template is a program of somebody else's: it may raise anything.
    except Exception as e:
        raise PolicyError(
            f"the chat template of policy {name!r} cannot render a question: "
            f"{type(e).__name__}: {e}. Mend it, or set another one, tokenizer.chat_template = … "
            "(None: plain paragraphs), and save the tokenizer."
        ) from e
    if not shown:
        raise PolicyError(
            f"the chat template of policy {name!r} leaves the user's message out: the policy would "
            "never see a question. Set another one, tokenizer.chat_template = …, and save the "
            "tokenizer."
        )


def _try_in_time(tokenizer: Any) -> None:
    """Render one question where a loop can be ended. Raises `OutOfTimeError`."""
    try:
        render(tokenizer, [{"role": "user", "content": QUESTION}], apart=False)
    except OutOfTimeError:
        raise
    # Whether another conversation is taken is tried next, and told there.
    except Exception:
        return


def check_vocabulary(tokenizer: Any, rows: int, name: str) -> None:
    """Raises `PolicyError` for tokens that have no row among the `rows` of the embedding, and that
    a text or the template can bring in.

    Many a tokenizer has a control token too many, for padding or for pictures. It is never used:
    where a text spells it, it is encoded as the letters that it is.
    """
    missing = {i for i in tokenizer.get_vocab().values() if i >= rows}
    if not missing:
        return
    never_used = control_ids(tokenizer) - set(_written_ids(tokenizer)) - _format_ids(tokenizer)
    wrong = too_many_tokens(tokenizer, missing - never_used, rows)
    if wrong:
        raise PolicyError(f"policy {name!r}: {wrong}")


def _written_ids(tokenizer: Any) -> list[int]:
    """The tokens of an example as the template writes it."""
    if not tokenizer.chat_template:
        return []
    parts = wants_parts(tokenizer)
    texts = [
        render(tokenizer, question_for(tokenizer, parts), parts=parts),
        *finished_talks(tokenizer, parts),
    ]
    ids: list[int] = tokenizer("".join(texts), add_special_tokens=False)["input_ids"]
    return ids


def _format_ids(tokenizer: Any) -> set[int]:
    """The tags of the answer format where they are tokens: rewards ask for them."""
    vocabulary = tokenizer.get_vocab()
    tags = re.findall(r"</?\w+>", SYSTEM_PROMPT)
    return {vocabulary[tag] for tag in tags if tag in vocabulary}
