"""From characters to tokens, held against oracles that know the tokens' places by other ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workbench.policy import load_policy
from workbench.policy.template import AnswerFrame
from workbench.rewards.steps import arithmetic_steps, step_tensors, token_ends

ALPHABET = "ab 1+=é€😀\n"
CORPUS = ["aa bb 1+1=2 é€ 😀😀 a€b", "ab ab ab 11 == é é 😀 1+1=1", "a\nb\n\n1=1"]


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """A byte-level BPE with few merges, as GPT-2's: a letter of several bytes is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=275,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def sentencepiece_like() -> PreTrainedTokenizerFast:
    """As Llama 2's: a word begins with a mark of its space, which the decoder drops at the start,
    and unknown letters are bytes."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "a", "b", "1", "+", "=", "▁a", "ab", "1+", "+1", "▁1"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    merges = [("▁", "a"), ("a", "b"), ("1", "+"), ("+", "1"), ("▁", "1")]
    model = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def decoder(tokenizer: PreTrainedTokenizerFast) -> Callable[[Sequence[int]], str]:
    return lambda ids: tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)


def tokens_by_bytes(bytes_of_tokens: Sequence[int], text: str) -> list[int]:
    """For each character of `text` the token with which its last byte is there."""
    until = list(accumulate(bytes_of_tokens))
    ends = [len(text[: place + 1].encode()) for place in range(len(text))]
    return [next(i for i, there in enumerate(until) if there >= end) for end in ends]


@given(st.text(alphabet=ALPHABET, min_size=1, max_size=12))
def test_byte_level_tokens_are_found_by_their_bytes(byte_level, text: str) -> None:
    ids = byte_level(text)["input_ids"]
    sizes = [len(byte_level.convert_ids_to_tokens(i)) for i in ids]
    ends = range(1, len(text) + 1)
    assert token_ends(decoder(byte_level), ids, ends) == tokens_by_bytes(sizes, text)


def test_a_letter_over_several_tokens_belongs_to_the_last_of_them(byte_level) -> None:
    ids = [byte_level.convert_tokens_to_ids(byte) for byte in "ðŁĺĢa"]
    assert decoder(byte_level)(ids) == "😀a"
    assert token_ends(decoder(byte_level), ids, [1, 2]) == [3, 4]


@given(st.text(alphabet="ab1+= é€", min_size=1, max_size=12).filter(lambda t: t[0] != " "))
def test_sentencepiece_tokens_are_found_by_their_bytes(sentencepiece_like, text: str) -> None:
    ids = sentencepiece_like(text)["input_ids"]
    assert decoder(sentencepiece_like)(ids) == text
    pieces = sentencepiece_like.convert_ids_to_tokens(ids)
    sizes = [1 if piece.startswith("<0x") else len(piece) for piece in pieces]
    # The decoder drops the space before the first word.
    sizes[0] -= 1
    ends = range(1, len(text) + 1)
    assert token_ends(decoder(sentencepiece_like), ids, ends) == tokens_by_bytes(sizes, text)


def test_a_replacement_character_of_the_text_itself_is_there_with_the_next_token(byte_level):
    ids = byte_level("\ufffda1")["input_ids"]
    assert len(ids) == 5
    assert token_ends(decoder(byte_level), ids, [1, 2, 3]) == [3, 3, 4]


@pytest.fixture(scope="module")
def policy():
    return load_policy("embedded", trainable=False)


MESSAGES = [{"role": "user", "content": "What is 17 + 28?"}]


def test_steps_of_the_embedded_policys_completions_end_at_their_tokens(policy) -> None:
    text = "<think>7+8=15 1+2+1=5</think><answer>45</answer>"
    ids = policy.encode_completion(text)
    cut = ids[:9]
    completions = [policy.decode(ids, MESSAGES), policy.decode(cut, MESSAGES)]
    steps = arithmetic_steps(["?"] * 2, completions, answer=["45"] * 2)
    rewards, ends = step_tensors(policy, [ids, cut], [MESSAGES] * 2, steps)
    pieces = policy.pieces(ids)
    assert rewards[0].tolist() == [1, 0, 1]
    assert "".join(pieces[: ends[0, 0] + 1]) == "<think>7+8=15"
    assert "".join(pieces[: ends[0, 1] + 1]) == "<think>7+8=15 1+2+1=5"
    # The end token belongs to the last step.
    assert ends[0, 2] == len(ids) - 1
    assert pieces[-1] == "<|end|>"
    # Fewer steps: padded.
    assert ends[1].tolist()[-1] == -1
    assert rewards[1].isnan().tolist() == (ends[1] == -1).tolist()
    assert ends[1][ends[1] >= 0].max() == len(cut) - 1


def test_what_the_chat_template_opened_is_no_token_of_the_policys(policy, monkeypatch) -> None:
    frame = AnswerFrame(opened="<think>1+1=2 ", closing_tags=("</answer>",))
    monkeypatch.setattr(type(policy), "_frame", lambda self, messages: frame)
    ids = policy.encode_completion("<think>1+1=2 2+2=4</think><answer>4</answer>", MESSAGES)
    whole = policy.decode(ids, MESSAGES)
    assert whole == "<think>1+1=2 2+2=4</think><answer>4</answer>"
    steps = arithmetic_steps(["?"], [whole], answer=["4"])
    rewards, ends = step_tensors(policy, [ids], [MESSAGES], steps)
    assert ends[0, 0] == -1
    assert rewards[0].isnan().tolist() == [True, False, False]
    assert policy.decode(ids[: ends[0, 1] + 1], MESSAGES) == "<think>1+1=2 2+2=4"
    assert ends[0, 2] == len(ids) - 1


def test_no_completions_tokens_or_steps_are_no_error(policy) -> None:
    rewards, ends = step_tensors(policy, [[], [1]], [MESSAGES] * 2, [[], []])
    assert torch.equal(ends, torch.full((2, 1), -1))
    assert rewards.isnan().all()


def test_an_end_outside_the_text_is_refused(byte_level) -> None:
    with pytest.raises(ValueError, match="ends at character 3: the completion's text has 2"):
        token_ends(decoder(byte_level), byte_level("ab")["input_ids"], [3])
