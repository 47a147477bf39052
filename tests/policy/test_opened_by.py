"""Where the assistant's header ends and its answer begins, in the shapes that templates have."""

from __future__ import annotations

import pytest
from helpers import in_one_test

from workbench.policy import Policy, load_policy
from workbench.rewards import strict_correct

ANSWER = "<think>a</think><answer>4</answer>"
QUESTION = [{"role": "user", "content": "Q"}]
EMPTY = "<think>\n\n</think>\n\n"
IF_ASSISTANT = "{% if m.role == 'assistant' %}"
SINGLE = "{% if messages|length > 2 %}{{ raise_exception('one question only') }}{% endif %}"


def turns(turn: str, prompt: str = "") -> str:
    """A template that writes `turn` for each message `m`."""
    asked = f"{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    return f"{{% for m in messages %}}{turn}{{% endfor %}}{asked}"


def two(user: str, assistant: str, prompt: str = "") -> str:
    """A template with a form of its own for the assistant's turns; C is the content."""
    turn = f"{IF_ASSISTANT}{assistant}{{% else %}}{user}{{% endif %}}"
    return turns(turn.replace("C", "{{ m.content }}"), prompt)


CHATML = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
CHATML_HEADER = "<|im_start|>assistant\n"
LLAMA = "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
GEMMA = (
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n"
)
QWEN3 = (
    f"<|im_start|>{{{{ m.role }}}}\n{IF_ASSISTANT}{{% if loop.last %}}{EMPTY}{{% endif %}}"
    "{% endif %}{{ m.content }}<|im_end|>\n"
)
SMOLLM3 = (
    CHATML_HEADER
    + "{% if messages[0].role == 'system' and '/no_think' in messages[0].content %}"
    + EMPTY
    + "{% endif %}"
)
NO_THINK = [{"role": "system", "content": "/no_think"}, *QUESTION]
AFTER = "[{{ m.role }}]{{ m.content }}{% if loop.last and m.role == 'user' %}WORDS{% endif %}\n"
SYSTEM_LAST = (
    "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    "{% for m in messages if m.role == 'system' %}[S]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think>{% endif %}"
)
BEHIND = [{"role": "system", "content": "Write <think> and <answer>."}, *QUESTION]


def with_template(template: str) -> Policy:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = template
    return policy


SHAPES = {
    "ChatML": (turns(CHATML, CHATML_HEADER), ""),
    "Llama 3": (turns(LLAMA, "<|start_header_id|>assistant<|end_header_id|>\n\n"), ""),
    "Llama 3, always opened": (
        two(
            "<|start_header_id|>user<|end_header_id|>\n\nC<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "C<|eot_id|>",
        ),
        "",
    ),
    "Gemma": (turns(GEMMA, "<start_of_turn>model\n"), ""),
    "Gemma, one question": (SINGLE + turns(GEMMA, "<start_of_turn>model\n"), ""),
    "Gemma 4, not thinking": (
        turns(
            "<|turn>{{ m.role }}\n{{ m.content }}<turn|>\n",
            "<|turn>assistant\n<|channel>thought\n<channel|>",
        ),
        "<|channel>thought\n<channel|>",
    ),
    "Zephyr": (turns("<|{{ m.role }}|>\n{{ m.content }}</s>\n", "<|assistant|>\n"), ""),
    "Phi 3": (
        turns("<|{{ m.role }}|>\n{{ m.content }}<|end|>\n", "<|assistant|>\n")
        + "{% if not add_generation_prompt %}<|endoftext|>{% endif %}",
        "",
    ),
    "Baichuan 2": (two("<reserved_106>C", "<reserved_107>C", "<reserved_107>"), ""),
    "Baichuan 2, ended": (two("<reserved_106>C", "<reserved_107>C</s>", "<reserved_107>"), ""),
    "Yuan": (two("C<sep>", "C<eod>"), ""),
    "Hunyuan": (two("<hy_User>C", "<hy_Assistant>C<hy_place>", "<hy_Assistant>"), ""),
    "AI_assistant": (two("<Human> C", "<AI_assistant> C", "<AI_assistant> "), ""),
    "response": (two("<query>C</query>", "<response>C</response>", "<response>"), ""),
    "reply": (two("<user>C</user>", "<reply>C</reply>", "<reply>"), ""),
    "Qwen3": (turns(QWEN3, CHATML_HEADER), ""),
    "Qwen3, not thinking": (turns(QWEN3, CHATML_HEADER + EMPTY), EMPTY),
    "Qwen3, thinking": (turns(QWEN3, CHATML_HEADER + "<think>\n"), "<think>\n"),
    "R1-distill": (
        two("<｜User｜>C", "<｜Assistant｜>C<｜eos｜>", "<｜Assistant｜><think>\n"),
        "<think>\n",
    ),
    "Mistral": (two("[INST] C [/INST]", " C</s>", "[THINK]"), "[THINK]"),
    "Kimi": (turns(CHATML, CHATML_HEADER + "◁think▷"), "◁think▷"),
    "OpenThinker": (
        turns(CHATML, CHATML_HEADER + "<|begin_of_thought|>"),
        "<|begin_of_thought|>",
    ),
    # No finished turn has the header, or has another one: a speaker's name all the same.
    "a header that only prompts have": (two("C<sep>", "C<sep>", "<bot_turn>"), ""),
    "marks that only prompts have": (two("C<|end|>", "C<|end|>", "<|assistant|>"), ""),
    "another header": (turns("[{{ m.role }} {{ loop.index }}]{{ m.content }}", "[next x]"), ""),
    # A part of the template's own: its thought is cut out of earlier turns.
    "a part of its own": (
        two("<user>C", "<bot><plan>{{ m.content.split('</plan>')[-1] }}", "<bot><plan>"),
        "<plan>",
    ),
    "half a tag in common": (
        turns(
            f"<|{{{{ m.role }}}}|>\n{IF_ASSISTANT}{{% if loop.last %}}<think></think>"
            "{% else %}</think>{% endif %}{% endif %}{{ m.content }}<|end|>",
            "<|assistant|>\n<think></think>",
        ),
        "<think></think>",
    ),
    # Words behind the last question are the question's.
    "words behind": (
        turns(AFTER.replace("WORDS", " Think first."), "[assistant]<think>"),
        "<think>",
    ),
    "words on the format behind": (
        turns(AFTER.replace("WORDS", " Use <think></think> and <answer>."), "[assistant]"),
        "",
    ),
    "a system message behind": (SYSTEM_LAST, "<think>"),
}


@in_one_test(
    dict(template=template, opened=opened, name=name) for name, (template, opened) in SHAPES.items()
)
def test_what_a_template_opens(name: str, template: str, opened: str) -> None:
    talk = BEHIND if name == "a system message behind" else QUESTION
    policy = with_template(template)
    assert policy.opened(talk) == opened, name
    if not opened:
        ids = policy.tokenizer(ANSWER)["input_ids"]
        assert strict_correct(policy.decode(ids, talk), "4"), name


def test_a_thought_that_the_system_message_switches_off() -> None:
    policy = with_template(turns(CHATML, SMOLLM3))
    assert policy.opened(NO_THINK) == EMPTY
    assert policy.opened(QUESTION) == ""


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("ChatML", CHATML_HEADER),
        ("Llama 3", "<|start_header_id|>assistant<|end_header_id|>"),
        ("Llama 3, always opened", "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("Zephyr", "<|assistant|>"),
        ("Phi 3", "<|assistant|>\n"),
        ("Baichuan 2", "<reserved_107>"),
        ("Qwen3, thinking", CHATML_HEADER),
        ("Qwen3, thinking", CHATML_HEADER + "<think>\n"),
    ],
)
def test_a_header_that_the_model_repeats_is_dropped(name: str, header: str) -> None:
    template, opened = SHAPES[name]
    policy = with_template(template)
    ids = policy.tokenizer(header + ANSWER.removeprefix(opened.strip()))["input_ids"]
    text = policy.decode(ids, QUESTION)
    assert text.replace("\n", "") == ANSWER
    assert strict_correct(text, "4")


def test_any_other_mark_of_a_turn_is_judged() -> None:
    policy = with_template(SHAPES["ChatML"][0])
    for said in ("<|im_start|>user\n" + ANSWER, ANSWER + CHATML_HEADER, "assistant\n" + ANSWER):
        assert policy.decode(policy.tokenizer(said)["input_ids"], QUESTION) == said
    # Words alone are no mark: they may be the answer's.
    policy = with_template(turns("{{ m.role }}: {{ m.content }}\n", "assistant: "))
    said = "assistant: 4"
    assert policy.decode(policy.tokenizer(said)["input_ids"], QUESTION) == said
