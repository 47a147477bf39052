"""The text of a completion: all that the policy wrote, but for its end and the padding."""

from __future__ import annotations

from pathlib import Path

from policy.tiny_folders import save_tiny
from transformers import AutoTokenizer

from workbench.policy import Policy, load_policy
from workbench.rewards import RewardSet

TEXT = "<think>3+5=8</think><answer>8</answer>"


def with_tokenizer(folder: Path, *special: str, **fields: str) -> Policy:
    """A tiny policy whose tokenizer calls these tokens special."""
    save_tiny("llama", folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)} | fields)
    tokenizer.save_pretrained(folder)
    return load_policy(folder)


def test_tags_that_are_special_tokens_are_paid(tmp_path: Path) -> None:
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    policy = with_tokenizer(tmp_path / "model", *tags)
    assert set(tags) <= set(policy.tokenizer.all_special_tokens)
    ids = policy.encode_completion(TEXT)
    assert policy.pieces(ids)[0] == "<think>"
    assert policy.decode(ids) == TEXT
    message = [[{"role": "assistant", "content": policy.decode(ids)}]]
    table = RewardSet(["format", "answer"]).score([[]], message, step=1, columns={"answer": ["8"]})
    assert table.rewards_BK.tolist() == [[1.0, 1.0]]


def test_a_padding_token_that_is_an_ordinary_letter_is_kept_in_the_text(tmp_path: Path) -> None:
    """Tokenizers without a padding token are often given one that is in use."""
    policy = with_tokenizer(tmp_path / "model", pad_token="!")
    ids = policy.encode_completion("8! = 40320!")
    assert policy.pad_token_id in ids
    assert policy.decode(ids) == "8! = 40320!"
    assert policy.decode(ids + [policy.pad_token_id] * 3) == "8! = 40320!"
    assert policy.decode(ids[:-1]) == "8! = 40320!"


def test_a_turn_that_the_policy_opens_itself_is_seen() -> None:
    """It speaks for the user: a judge that does not see it pays for more than one answer."""
    policy = load_policy("embedded")
    own = policy.encode_completion(TEXT)[:-1]
    (user,) = policy.tokenizer.convert_tokens_to_ids(["<|user|>"])
    assert policy.decode([*own, user]) == f"{TEXT}<|user|>"


def test_each_of_several_end_tokens_ends_the_text() -> None:
    policy = load_policy("embedded")
    policy.eos_token_ids = tuple(policy.tokenizer.convert_tokens_to_ids(["<|end|>", "<|user|>"]))
    own = policy.encode_completion(TEXT)[:-1]
    for end in policy.eos_token_ids:
        assert policy.decode([*own, end, policy.pad_token_id]) == TEXT
