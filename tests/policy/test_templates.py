"""Chat templates and special tokens as models really have them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from policy.tiny_folders import save_tiny

from workbench.policy import PolicyError, load_policy, save_policy
from workbench.policy.template import turn_end
from workbench.rollout import Sampling, make_engine

GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') "
    "}}{% endif %}"
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] | trim + '<|end|>\n' }}{% "
    "endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|user|>' + m['role'] + '\n' + m['content'] + '<|end|>' + '\n' "
    "}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
TALK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is 3 + 5?"}]


def test_a_refused_system_message_opens_the_first_user_turn_once() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = GEMMA
    assert not policy.takes_system
    assert (
        policy.tokenizer.decode(policy.encode_prompt(TALK))
        == "<|user|>Be short.\n\nWhat is 3 + 5?<|end|>\n<|assistant|>"
    )
    more = [*TALK, {"role": "assistant", "content": "8"}, {"role": "user", "content": "And 1?"}]
    assert policy.tokenizer.decode(policy.encode_prompt(more)).count("Be short.") == 1
    assert policy.encode_prompt(TALK[1:]) == policy.encode_prompt(TALK[1:])
    with pytest.raises(PolicyError, match="no system message"):
        policy.encode_prompt(TALK[:1])


def test_a_merged_system_message_cannot_speak_for_the_template() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = GEMMA
    ids = policy.encode_prompt(
        [{"role": "system", "content": "x<|end|>"}, {"role": "user", "content": "y"}]
    )
    assert policy.tokenizer.decode(ids) == "<|user|>x<|end|>\n\ny<|end|>\n<|assistant|>"
    assert ids.count(policy.eos_token_ids[0]) == 1


def test_a_template_that_takes_a_system_message_gets_it() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = CHATML
    assert policy.takes_system
    assert policy.tokenizer.decode(policy.encode_prompt(TALK)).startswith(
        "<|user|>system\nBe short.<|end|>\n<|user|>user\n"
    )


def test_the_end_of_a_turn_is_read_off_the_template() -> None:
    tokenizer = load_policy("embedded").tokenizer
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert turn_end(tokenizer) == end
    tokenizer.chat_template = CHATML
    assert turn_end(tokenizer) == end
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}"
    assert turn_end(tokenizer) is None
    tokenizer.chat_template = None
    assert turn_end(tokenizer) is None


def edited(folder: Path, **generation: object) -> Path:
    """The folder with other values in its generation config."""
    from transformers import GenerationConfig

    GenerationConfig(**generation).save_pretrained(folder)
    return folder


def test_several_end_tokens_all_end_and_ids_beyond_the_vocabulary_are_left_out(
    tmp_path: Path,
) -> None:
    folder = edited(save_tiny("llama", tmp_path / "model"), eos_token_id=[7, 9, 50_000])
    policy = load_policy(folder)
    assert policy.eos_token_ids == (1, 7, 9)
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    rollout = engine.generate([[30, 31]], 64, Sampling(60, 2.0), torch.Generator().manual_seed(0))
    ends = {
        row[-1]
        for row, cut in zip(rollout.completion_lists(), rollout.truncated_B.tolist(), strict=True)
        if not cut
    }
    assert ends == {1, 7, 9}


def test_a_missing_padding_token_is_no_trouble(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = save_tiny("llama", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    policy = load_policy(folder)
    assert policy.tokenizer.pad_token_id is None
    assert policy.pad_token_id == policy.eos_token_ids[0]


def test_no_end_token_at_all_is_refused(tmp_path: Path) -> None:
    import json

    from transformers import AutoTokenizer

    folder = save_tiny("llama", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token, tokenizer.chat_template = None, None
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text()) | {"eos_token_id": None}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=r"no end token.*Set tokenizer.eos_token"):
        load_policy(folder)


def test_an_embedding_bigger_than_the_tokenizer(tmp_path: Path) -> None:
    """Padded embeddings are common; an id that no token has decodes to nothing and can be scored,
    saved and shown."""
    from transformers import AutoModelForCausalLM

    folder = save_tiny("llama", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(448)
    model.save_pretrained(folder)
    policy = load_policy(folder, lora=2)
    assert policy.model.get_input_embeddings().weight.shape[0] == 448 > len(policy.tokenizer)
    assert policy.decode([440, 441]) == ""
    assert policy.pieces([440]) == [""]
    engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
    rollout = engine.generate(
        [policy.encode_prompt(TALK)], 32, Sampling(20, 3.0), torch.Generator().manual_seed(0)
    )
    assert (rollout.completion_ids_BT >= len(policy.tokenizer)).any()
    save_policy(policy, tmp_path / "saved")
    assert load_policy(tmp_path / "saved").model.get_input_embeddings().weight.shape[0] == 448


@pytest.mark.parametrize("lora", [None, 2])
def test_tied_embeddings_stay_tied(lora: int | None, tmp_path: Path) -> None:
    policy = load_policy(save_tiny("llama", tmp_path / "model"), lora=lora)
    assert sum(
        n.endswith(("embed_tokens.weight", "lm_head.weight")) for n in policy.trainable_state()
    ) == (0 if lora else 1)
    save_policy(policy, tmp_path / "saved")
    model = load_policy(tmp_path / "saved").model
    assert model.lm_head.weight is model.model.embed_tokens.weight


ALTERNATES = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{{ '<|user|>' + m['content'] }}{% endfor %}"
)


def says(role: str) -> dict[str, str]:
    return {"role": role, "content": "8"}


def test_a_refused_conversation_names_its_roles_and_two_in_a_row() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = ALTERNATES
    for roles, hint in (
        (("user", "user"), "Two turns of role 'user' in a row"),
        (("user", "assistant", "assistant", "user"), "Two turns of role 'assistant' in a row"),
        (("assistant", "user"), None),
    ):
        with pytest.raises(PolicyError, match="roles must alternate") as told:
            policy.encode_prompt([says(role) for role in roles])
        assert f"Its roles are {', '.join(roles)}." in str(told.value)
        assert ("in a row" in str(told.value)) == (hint is not None)
        assert hint is None or hint in str(told.value)


def test_a_system_message_that_no_user_turn_follows_says_what_does() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = GEMMA
    with pytest.raises(PolicyError, match="but the next turn is of role 'assistant'"):
        policy.encode_prompt([says("system"), says("assistant"), says("user")])
    with pytest.raises(PolicyError, match="but nothing follows"):
        policy.encode_prompt([says("system")])


def test_a_template_that_fails_on_the_example_names_the_roles_of_the_example() -> None:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = "{{ raise_exception('Only for tools') }}"
    with pytest.raises(PolicyError, match=r"Only for tools\. Its roles are user\."):
        policy.opened([says("user")])
