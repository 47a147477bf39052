"""Tokenizers that do not fit the model, and chat templates of every shape: handled, or refused at
load in a sentence that helps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from helpers import in_one_test
from policy.tiny_folders import save_tiny
from transformers import AutoTokenizer

from workbench.policy import Policy, PolicyError, load_policy, save_policy

TALK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "3 + 5?"}]
numbers = count()


def saved(folder: Path, change: Callable[[Any], None]) -> Path:
    """A tiny policy with a changed tokenizer, as a person saves it."""
    folder = save_tiny("llama", folder / str(next(numbers)))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    change(tokenizer)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    return folder


def templated(folder: Path, template: Any) -> Path:
    return saved(folder, lambda tokenizer: setattr(tokenizer, "chat_template", template))


def prompt_of(policy: Policy) -> str:
    text: str = policy.tokenizer.decode(policy.encode_prompt(TALK))
    return text


PLAIN = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LOUD = PLAIN.replace("{{ m.content }}", "!{{ m.content }}")
PARTS = PLAIN.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}")
TYPED_PARTS = PLAIN.replace(
    "{{ m.content }}",
    "{% for part in m.content if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}",
)
USER_PARTS = PLAIN.replace(
    "{{ m.content }}",
    "{% if m.role == 'system' %}{{ '' + m.content }}{% else %}"
    "{% for part in m.content %}{{ part['text'] }}{% endfor %}{% endif %}",
)
ASKED = "<|system|>Be short.<|end|><|user|>3 + 5?<|end|><|assistant|>"


@in_one_test(
    dict(template=template, prompt=prompt)
    for template, prompt in (
        (PLAIN, ASKED),
        # Contents as lists of parts.
        (PARTS, ASKED),
        (TYPED_PARTS, ASKED),
        (USER_PARTS, "<|user|>Be short.\n\n3 + 5?<|end|><|assistant|>"),
        # Several forms.
        ({"default": PLAIN, "tool_use": LOUD}, ASKED),
        ({"chat": PLAIN}, ASKED),
        # It refuses a system message with an error of Python's own.
        (
            PLAIN.replace("{{ m.content }}", "{{ {'user': m.content}[m.role] + '' }}"),
            "<|user|>Be short.\n\n3 + 5?<|end|><|assistant|>",
        ),
        # It must have one.
        (
            "{{ '' if messages[0].role == 'system' else raise_exception('no system') }}" + PLAIN,
            ASKED,
        ),
        (None, "Be short.\n\n3 + 5?\n\n"),
    )
)
def test_templates_that_can_be_served(tmp_path: Path, template: Any, prompt: str) -> None:
    policy = load_policy(templated(tmp_path, template))
    assert prompt_of(policy) == prompt
    assert policy.opened() == ""
    save_policy(policy, tmp_path / "again" / str(next(numbers)))


@in_one_test(
    dict(template=template, says=says)
    for template, says in (
        ("{{ raise_exception('Only for tools.') }}", r"cannot render a question.*Only for tools\."),
        ("{{ wanted_token + 'x' }}", r"'wanted_token' is undefined.*set another one"),
        ("{{ messages[7].content }}", "cannot render a question"),
        ("{% for m in messages %}{{ m.content }", "cannot render a question.*Syntax"),
        ("<|user|><|assistant|>", "leaves the user's message out"),
        (
            {"tools": PLAIN, "rag": PLAIN},
            r"called 'rag', 'tools'|called 'tools', 'rag'.*none called 'default'. Choose one",
        ),
    )
)
def test_templates_that_cannot(tmp_path: Path, template: Any, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        load_policy(templated(tmp_path, template))


def test_a_template_set_later_is_told_where_it_is_used() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = "{{ raise_exception('Only for tools.') }}"
    with pytest.raises(PolicyError, match=r"cannot render the conversation.*Only for tools\."):
        policy.encode_prompt(TALK)


@in_one_test(
    dict(change=change, says=says)
    for change, says in (
        # The report: tags added, the embedding left as it was.
        (
            lambda t: (
                t.add_special_tokens({"additional_special_tokens": ["<|x|>", "<reason>", "<|y|>"]})
                and setattr(t, "chat_template", PLAIN.replace("<|end|>", "<|x|>"))
            ),
            r"384 rows and the tokenizer 387 tokens: there is none for '<\|x\|>'\. If they were "
            r"added, call model\.resize_token_embeddings\(len\(tokenizer\)\)",
        ),
        # Words that a text may hold.
        (lambda t: t.add_tokens(["plus", "minus"]), "none for 'plus', 'minus'"),
        (lambda t: t.add_tokens([f"word{i}" for i in range(9)]), "'word4' and 4 more"),
    )
)
def test_tokens_without_a_row(tmp_path: Path, change: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        load_policy(saved(tmp_path, change))


def test_tags_of_the_format_without_a_row(tmp_path: Path) -> None:
    """A model smaller than the embedded tokenizer, whose last tokens are the four tags."""
    import transformers as hf
    from policy.tiny_folders import SIZES

    folder = tmp_path / "small"
    hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES | {"vocab_size": 380})).save_pretrained(folder)
    AutoTokenizer.from_pretrained(save_tiny("llama", tmp_path / "base")).save_pretrained(folder)
    tags = "'<think>', '</think>', '<answer>', '</answer>'"
    with pytest.raises(PolicyError, match=f"none for {tags}. If they were added"):
        load_policy(folder)


@in_one_test(
    dict(change=change)
    for change in (
        lambda t: t.add_special_tokens({"pad_token": "[PAD]"}),
        lambda t: t.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]}),
    )
)
def test_a_control_token_too_many_is_no_trouble(
    tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    """Llama 2 with a padding token, Gemma 3 with one for pictures."""
    policy = load_policy(saved(tmp_path, change))
    assert len(policy.tokenizer) == 385
    question = [{"role": "user", "content": "What is <image_soft_token> or [PAD]?"}]
    assert max(policy.encode_prompt(question)) < 384
    assert policy.pad_token_id < 384


def test_tokens_added_to_a_loaded_policy(tmp_path: Path) -> None:
    policy = load_policy("embedded")
    policy.tokenizer.add_tokens(["plus"])
    for use in (
        lambda: policy.encode_completion("3 plus 5"),
        lambda: policy.encode_prompt([{"role": "user", "content": "3 plus 5"}]),
    ):
        with pytest.raises(PolicyError, match=r"none for 'plus'.*resize_token_embeddings"):
            use()
