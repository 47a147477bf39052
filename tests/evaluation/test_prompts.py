"""Prompts that are too long are found before a run, and shown before that."""

import pytest

from workbench.evaluation.preview import preview
from workbench.evaluation.prompts import check_prompts
from workbench.policy import PolicyError, load_policy
from workbench.tasks import load_task


@pytest.fixture(scope="module")
def policy():
    return load_policy("embedded", device="cpu")


def talk(n, before=()):
    return {"prompt": [*before, {"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1)}


def test_earlier_turns_count_towards_the_length(policy):
    long = [{"role": "user", "content": "9 " * 200}, {"role": "assistant", "content": "9"}]
    task = load_task([talk(1), talk(2), talk(3, long)], held_out=[talk(4)])
    with pytest.raises(PolicyError, match="1 of 3 prompts are too long"):
        check_prompts(policy, task, task.train, 8, 100)
    with pytest.raises(PolicyError, match=r"--set max_prompt_length=, --set max_completion_len"):
        check_prompts(policy, task, task.train, 8, 100)
    positions = policy.model.config.max_position_embeddings
    assert preview(policy, task, None, positions - 9).limit == 9, "as check_prompts has it"
    shown = preview(policy, task, 100)
    assert shown.too_long == 1
    assert "1 (25.0%) over max_prompt_length=100" in str(shown)


def test_a_preview_shows_the_special_tokens_and_what_the_template_leaves_out(policy):
    task = load_task([talk(1), talk(2)], held_out=1)
    shown = preview(policy, task)
    question = task.train[0].question
    assert shown.text == f"<|user|>{question}<|assistant|>"
    assert shown.tokens == len(policy.encode_prompt(task.messages(task.train[0])))
    assert "leaves the system message out" in str(shown)
    assert "no limit is set" in str(shown)


def test_a_preview_spells_out_what_a_terminal_would_obey(policy):
    rows = [{"question": f"{n} \x1b[2J", "answer": "1"} for n in range(2)]
    task = load_task(rows, held_out=1, system_prompt=None)
    assert "\x1b" not in str(preview(policy, task))


def test_a_preview_says_that_no_chat_template_marks_the_turns():
    base = load_policy("embedded", device="cpu")
    before = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "1"}]
    task = load_task([talk(2, before), talk(3)], held_out=1)
    assert "no chat template" not in str(preview(base, task))
    base.tokenizer.chat_template = None
    shown = preview(base, task)
    assert shown.without_template
    assert "no chat template" in str(shown)
    assert "\n\n" in shown.text
