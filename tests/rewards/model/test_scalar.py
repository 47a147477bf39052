"""A reward model's numbers against its own hidden states, and against transformers' own reading of
the folder; and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from reward_examples import COMPLETIONS, MESSAGES
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from workbench.policy import load_policy
from workbench.rewards.model import RewardModelError, load_reward_model, reward_model_of


def by_hand(policy, made, messages, completion: str) -> float:
    """The head on the policy's own last hidden state, without padding."""
    ids = torch.tensor([made.encode(messages, completion)])
    hidden = policy.model.model(ids).last_hidden_state[0, -1]
    return float(made.model.score.weight[0] @ hidden)


def test_its_body_is_the_policys_and_its_number_the_head_at_the_last_token(tiny_policy, made):
    expected = [by_hand(tiny_policy, made, *row) for row in zip(MESSAGES, COMPLETIONS, strict=True)]
    scores = made.scores(MESSAGES, COMPLETIONS)
    torch.testing.assert_close(scores, torch.tensor(expected).sigmoid(), rtol=1e-4, atol=1e-5)
    made.kind = "pairs"
    torch.testing.assert_close(
        made.scores(MESSAGES, COMPLETIONS), torch.tensor(expected), rtol=1e-4, atol=1e-5
    )


def test_it_is_a_copy_and_the_policy_stays(tiny_policy, made) -> None:
    before = {name: p.clone() for name, p in tiny_policy.model.named_parameters()}
    with torch.no_grad():
        for p in made.model.parameters():
            p.add_(1)
    assert all(torch.equal(before[n], p) for n, p in tiny_policy.model.named_parameters())


def test_the_heads_seed_decides_its_numbers(tiny_policy, made) -> None:
    again, other = (reward_model_of(tiny_policy, "outcome", seed=seed) for seed in (3, 4))
    assert torch.equal(made.model.score.weight, again.model.score.weight)
    assert not torch.equal(made.model.score.weight, other.model.score.weight)


def test_a_save_that_is_broken_off_leaves_no_half_of_it(made, tmp_path, monkeypatch) -> None:
    """`workbench bench methods` takes a folder that is there for a whole model."""

    def broken_off(folder) -> None:
        raise OSError("no room")

    monkeypatch.setattr(made.tokenizer, "save_pretrained", broken_off, raising=False)
    with pytest.raises(OSError, match="no room"):
        made.save(tmp_path / "judge")
    assert not list(tmp_path.iterdir())
    # Beside somebody's own files it is written in place.
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.undo()
    made.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert load_reward_model(tmp_path).kind == "outcome"


def test_what_is_saved_is_transformers_own_and_comes_back_the_same(made, tmp_path) -> None:
    made.save(tmp_path, {"seed": 3})
    loaded = load_reward_model(tmp_path)
    scores = made.scores(MESSAGES, COMPLETIONS)
    assert loaded.kind == "outcome"
    assert torch.equal(loaded.scores(MESSAGES, COMPLETIONS), scores)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    for messages, completion, score in zip(MESSAGES, COMPLETIONS, scores, strict=True):
        ids = torch.tensor([made.encode(messages, completion)])
        assert theirs(ids).logits[0, 0].sigmoid().item() == pytest.approx(score.item(), abs=1e-6)
    assert json.loads((tmp_path / "reward_model.json").read_text())["seed"] == 3


def test_the_order_and_size_of_batches_change_nothing(made) -> None:
    many = [MESSAGES[i % 2] for i in range(7)]
    texts = [f"{'1+' * i}1" for i in range(7)]
    scores = made.scores(many, texts)
    made.batch_size = 2
    torch.testing.assert_close(made.scores(many, texts), scores, rtol=1e-5, atol=1e-6)


def test_each_step_has_the_number_that_its_text_alone_would_have(made) -> None:
    """The head is asked where the step ends, and a causal body sees nothing behind it."""
    text = COMPLETIONS[0]
    ends = [len("<think>7+8=15"), len("<think>7+8=15 1+2+1=4"), len(text)]
    (scores,) = made.step_scores([MESSAGES[0]], [text], [ends])
    ids, places = made.encode_steps(MESSAGES[0], text, ends)
    pieces = made.tokenizer.convert_ids_to_tokens(ids)
    assert pieces[places[0]] == "5"
    assert places[2] == len(ids) - 1
    assert pieces[-1] == "<|end|>"
    for place, score in zip(places, scores, strict=True):
        alone = made.model(torch.tensor([ids[: place + 1]])).logits[0, 0]
        assert alone.sigmoid().item() == pytest.approx(score, abs=1e-5)
    assert scores[2] == pytest.approx(made.scores([MESSAGES[0]], [text])[0].item(), abs=1e-5)


def test_where_padding_is_the_end_token_the_last_step_is_still_the_whole(tiny_policy) -> None:
    """transformers takes the last token that is no padding: then the one before the end."""
    tiny_policy.pad_token_id = tiny_policy.eos_token_ids[0]
    made = reward_model_of(tiny_policy, "process")
    (scores,) = made.step_scores([MESSAGES[1]], ["4"], [[1]])
    assert scores[0] == pytest.approx(made.scores([MESSAGES[1]], ["4"])[0].item(), abs=1e-6)
    padded = made.scores(MESSAGES, COMPLETIONS)
    assert padded[1].item() == pytest.approx(scores[0], abs=1e-5)
    # An end token in the middle, as an earlier answer has one, is not taken for padding.
    talk = [*MESSAGES[0], {"role": "assistant", "content": "45"}, *MESSAGES[1]]
    ids = made.encode(talk, "4")
    assert ids.count(tiny_policy.eos_token_ids[0]) == 2
    place = len(ids) - 2
    number = made.model(torch.tensor([ids[: place + 1]])).logits[0, 0].sigmoid().item()
    both = made.scores([talk, MESSAGES[0]], ["4", COMPLETIONS[0]])
    assert both[0].item() == pytest.approx(number, abs=1e-5)


def test_a_text_begins_once_whoever_else_would_write_its_beginning(made, tiny_policy) -> None:
    """A template that writes the first token, and a tokenizer that would add another."""
    from tokenizers.processors import TemplateProcessing

    made.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", 2)]
    )
    assert made.encode(MESSAGES[1], "4").count(2) == 1
    # Without a template it is the tokenizer's to write.
    made.tokenizer.chat_template = None
    assert made.encode(MESSAGES[1], "4").count(2) == 1


def test_padding_is_on_the_right_whatever_the_tokenizer_says(made) -> None:
    scores = made.scores(MESSAGES, COMPLETIONS)
    made.tokenizer.padding_side = "left"
    assert torch.equal(made.scores(MESSAGES, COMPLETIONS), scores)


def test_a_letter_over_several_tokens_ends_with_the_last_of_them(made) -> None:
    text = "1€2. 3"
    ids, places = made.encode_steps(MESSAGES[1], text, [1, 2, 3])
    pieces = made.tokenizer.convert_ids_to_tokens(ids)
    assert [pieces[place] for place in (places[0], places[2])] == ["1", "2"]
    # The three bytes of the sign stand between them.
    assert places[1] == places[0] + 3 == places[2] - 1


def test_an_adapter_is_merged_into_the_body(tiny_folder) -> None:
    policy = load_policy(tiny_folder, lora=4)
    with torch.no_grad():
        for name, p in policy.model.named_parameters():
            if "lora_B" in name:
                p.normal_(generator=torch.Generator().manual_seed(1))
    made = reward_model_of(policy, "pairs")
    ids = torch.tensor([made.encode(MESSAGES[0], "4")])
    hidden = policy.model.get_base_model().model(ids).last_hidden_state[0, -1]
    expected = float(made.model.score.weight[0] @ hidden)
    assert made.scores([MESSAGES[0]], ["4"])[0].item() == pytest.approx(expected, abs=1e-4)
    assert policy.has_adapter


def test_a_policy_of_another_family_without_a_template(tiny_folder, tmp_path) -> None:
    tokenizer = load_policy(tiny_folder).tokenizer
    tokenizer.chat_template = None
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64, eos_token_id=1
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = reward_model_of(load_policy(tmp_path), "process")
    assert made.text_of(MESSAGES[1], "4") == "2 + 2?\n\n4"
    (scores,) = made.step_scores([MESSAGES[1]], ["3. 4"], [[2, 4]])
    assert scores[1] == pytest.approx(made.scores([MESSAGES[1]], ["3. 4"])[0].item(), abs=1e-6)
    with pytest.raises(RewardModelError, match="of .* tokens is longer than the 64 positions"):
        made.scores([MESSAGES[1]], ["4" * 99])


def save_classifier(folder, tokenizer, **options) -> None:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        **options,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_somebody_elses_model_is_a_reward_as_it_is(tiny_policy, tmp_path) -> None:
    save_classifier(tmp_path, tiny_policy.tokenizer, num_labels=1, pad_token_id=0)
    loaded = load_reward_model(tmp_path)
    ids = torch.tensor([loaded.encode(MESSAGES[1], "4")])
    logit = loaded.model(ids).logits[0, 0].item()
    assert loaded.scores([MESSAGES[1]], ["4"])[0].item() == pytest.approx(logit, abs=1e-6)


def test_what_is_no_reward_model_is_refused(tiny_folder, tiny_policy, made, tmp_path) -> None:
    def refused(folder, match: str) -> None:
        with pytest.raises(RewardModelError, match=match):
            load_reward_model(folder)

    # The head of a causal model would be drawn at random, with a warning.
    refused(tiny_folder, "no weights for score.weight: .*noise")
    refused(tmp_path / "nowhere", "no such folder with a config.json")
    save_classifier(tmp_path / "two", tiny_policy.tokenizer, num_labels=2)
    refused(tmp_path / "two", r"2 labels \(LABEL_0, LABEL_1\)")
    made.save(tmp_path / "note")
    (tmp_path / "note" / "reward_model.json").write_text('{"kind": "rank"}')
    refused(tmp_path / "note", "names no kind")
    (tmp_path / "note" / "reward_model.json").write_text("[")
    refused(tmp_path / "note", "cannot be read")
    with pytest.raises(RewardModelError, match="kind='rank' is unknown"):
        reward_model_of(tiny_policy, "rank")


def test_what_cannot_be_scored_is_refused_in_words(tiny_policy, made, tmp_path) -> None:
    save_classifier(tmp_path, tiny_policy.tokenizer, num_labels=1, pad_token_id=None)
    with pytest.raises(RewardModelError, match="names no padding token"):
        load_reward_model(tmp_path).scores(MESSAGES, COMPLETIONS)
    made.tokenizer.chat_template = "{{ raise_exception('no system') }}"
    with pytest.raises(RewardModelError, match="cannot render the conversation: .*no system"):
        made.scores(MESSAGES, COMPLETIONS)
    made.tokenizer.chat_template = "{{ messages[0].content }}"
    with pytest.raises(RewardModelError, match="does not render the completion"):
        made.encode_steps(MESSAGES[0], "none of it", [3])
