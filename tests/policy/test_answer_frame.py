"""What a chat template writes in the assistant's name: judges, SFT and pages count it to the
answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import in_one_test
from inert_html import assert_inert, text_of

from workbench.config import GRPOConfig
from workbench.doctor import diagnose
from workbench.evaluation import greedy_accuracy
from workbench.methods.supervised import pad_examples
from workbench.policy import Policy, PolicyError, load_policy
from workbench.policy.template import answer_frame, wants_parts
from workbench.rewards import RewardSet, strict_correct
from workbench.rollout import make_engine
from workbench.runs import Run
from workbench.tasks import load_task
from workbench.tasks.format import SYSTEM_PROMPT
from workbench.training import start_run
from workbench.widgets.base.source import RunSource
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.tokens.view import TokensView

SAID = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|assistant|>OPENED{% endif %}"


def with_template(template: str) -> Policy:
    policy = load_policy("embedded")
    policy.tokenizer.chat_template = template
    return policy


def opening(opened: str) -> Policy:
    """The embedded policy with its own template, whose generation prompt now opens the answer."""
    own = load_policy("embedded").tokenizer.chat_template
    header = "{% if add_generation_prompt %}<|assistant|>"
    assert header in own
    return with_template(own.replace(header, header + opened))


ALWAYS_OPEN = SAID.replace("m.content", "('<think>' if m.role == 'assistant' else '') + m.content")
OPEN_AT_THE_END = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


@in_one_test(
    dict(template=template, opened=opened)
    for template, opened in (
        (SAID + PROMPT.replace("OPENED", ""), ""),
        (SAID + PROMPT.replace("OPENED", "<think>\n"), "<think>\n"),
        (SAID + PROMPT.replace("OPENED", "<think>\n\n</think>\n\n"), "<think>\n\n</think>\n\n"),
        (SAID + PROMPT.replace("OPENED", "[THINK]"), "[THINK]"),
        (SAID + PROMPT.replace("OPENED", "Let us see: "), "Let us see: "),
        (SAID + PROMPT.replace("OPENED", "\n"), ""),
        # Finished turns have the tag as well, or an empty thought, or only the last one has.
        (ALWAYS_OPEN + PROMPT.replace("OPENED", "<think>"), "<think>"),
        (OPEN_AT_THE_END, "<think>\n"),
        # Tags that say who speaks open no answer.
        (
            "{% for m in messages %}<turn><{{ m.role }}>{{ m.content }}</turn>{% endfor %}"
            "{% if add_generation_prompt %}<turn><assistant>{% endif %}",
            "",
        ),
        # It opens the answer whether it is asked to or not, and takes one question only.
        ("<|user|>{{ messages[0].content }}<|assistant|><think>", "<think>"),
        (None, ""),
    )
)
def test_what_the_generation_prompt_says_of_the_answer(template: str, opened: str) -> None:
    assert with_template(template).opened() == opened


def test_the_templates_that_people_have(tmp_path: Path) -> None:
    """Those that TRL ships: real models' own."""
    trl = pytest.importorskip("trl")
    tokenizer = load_policy("embedded").tokenizer
    thinking = {"deepseek_r1_distill", "deepseekv3", "nemotron_3_nano", "qwen3_5_think", "qwen3_6"}
    others = {"qwen3", "qwen2_5", "gemma3", "gptoss", "llama3_1", "phi3", "glm4moe", "smolvlm"}
    for name in sorted(thinking | others):
        file = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
        tokenizer.chat_template = file.read_text(encoding="utf-8")
        frame = answer_frame(tokenizer, parts=wants_parts(tokenizer))
        assert frame.opened == ("<think>\n" if name in thinking else ""), name
        assert frame.closing_tags == (), name


def test_a_sample_is_judged_with_what_the_template_opened() -> None:
    """The sample of a report: right, and 0 by every reward, since its first tag is in the
    prompt."""
    policy = opening("<think>\n")
    ids = policy.encode_completion("7-3=4 9-6=3</think><answer>34</answer>")
    text = policy.decode(ids)
    assert text == "<think>\n7-3=4 9-6=3</think><answer>34</answer>"
    assert strict_correct(text, "34")
    message = [[{"role": "assistant", "content": text}]]
    table = RewardSet(["format", "answer"]).score([[]], message, step=1, columns={"answer": ["34"]})
    assert table.rewards_BK.tolist() == [[1.0, 1.0]]


def test_an_empty_thought_stands_for_one_and_is_not_doubled() -> None:
    policy = opening("<think>\n\n</think>\n\n")
    short = policy.decode(policy.encode_completion("<answer>34</answer>"))
    assert short == "<think>\n\n</think>\n\n<answer>34</answer>"
    assert strict_correct(short, "34")
    thought = "<think>7-3=4</think><answer>34</answer>"
    assert policy.decode(policy.encode_completion(thought)) == thought


def test_a_system_message_that_the_template_goes_by(tmp_path: Path) -> None:
    """SmolLM3's template writes an empty thought after the system message "/no_think"."""
    own = "<think>\n\n</think>\n\n"
    policy = with_template(
        SAID
        + "{% if add_generation_prompt %}<|assistant|>"
        + "{% if '/no_think' in messages[0].content %}"
        + own
        + "{% endif %}{% endif %}"
    )
    quick = [{"role": "system", "content": "/no_think"}, {"role": "user", "content": "3?"}]
    assert policy.opened() == policy.opened(quick[1:]) == ""
    assert policy.opened(quick) == own
    ids = policy.encode_completion("<answer>3</answer>", quick)
    assert strict_correct(policy.decode(ids, quick), "3")
    assert not strict_correct(policy.decode(ids, quick[1:]), "3")


def test_tags_that_the_system_message_speaks_of_open_nothing() -> None:
    """Also where the template puts it behind the question, as Mistral's does before it."""
    behind = (
        "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}"
        "{% if loop.last %}\n{{ messages[0].content }}{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    task = load_task("arithmetic")
    talk = [{"role": "system", "content": SYSTEM_PROMPT}, *task.messages(task.train[0])[-1:]]
    for template in (behind, SAID + PROMPT.replace("OPENED", "")):
        policy = with_template(template)
        assert SYSTEM_PROMPT in policy.tokenizer.decode(policy.encode_prompt(talk))
        assert policy.opened(talk) == ""


def test_a_closing_tag_whose_place_the_end_token_takes() -> None:
    closing = SAID.replace(
        "m.content", "m.content + ('</answer>' if m.role == 'assistant' else '')"
    )
    policy = with_template(closing + PROMPT.replace("OPENED", "<think>"))
    end = policy.tokenizer.convert_tokens_to_ids("<|end|>")
    ids = policy.encode_completion("4</think><answer>34</answer>")
    assert policy.pieces(ids)[-2:] == ["4", "<|end|>"]
    assert policy.decode(ids) == "<think>4</think><answer>34</answer>"
    # Cut off, it has not ended; and what the model closed itself is not closed again.
    assert policy.decode(ids[:-1]) == "<think>4</think><answer>34"
    written = policy.tokenizer("4</think><answer>34</answer>")["input_ids"]
    assert policy.decode([*written, end]) == "<think>4</think><answer>34</answer>"


def test_an_end_token_that_is_a_closing_tag(tmp_path: Path) -> None:
    """The turn ends with </answer> itself, a control token of this tokenizer."""
    from policy.tiny_folders import save_tiny
    from transformers import AutoTokenizer

    folder = save_tiny("llama", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<answer>", "</answer>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
        "{% if m.role == 'assistant' %}</answer>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    policy = load_policy(folder)
    assert policy.pieces(policy.eos_token_ids[:1]) == ["</answer>"]
    whole = "<think>4</think><answer>34</answer>"
    ids = policy.encode_completion(whole)
    assert policy.pieces(ids).count("</answer>") == 1
    assert policy.decode(ids) == whole


def test_sft_learns_what_follows_the_prompt() -> None:
    policy = opening("<think>\n")
    prompt = policy.encode_prompt([{"role": "user", "content": "9-6"}])
    whole = "<think>\n7</think><answer>3</answer>"
    ids = policy.encode_completion(whole)
    assert ids == policy.encode_completion("7</think><answer>3</answer>")
    assert ids == policy.encode_completion("<think>7</think><answer>3</answer>")
    assert policy.tokenizer.decode(prompt + ids).count("<think>") == 1
    labels_T = pad_examples([(prompt, ids)], 0)[2][0]
    assert policy.decode(labels_T[labels_T >= 0].tolist()) == whole
    with pytest.raises(PolicyError, match=r"'3' does not follow the prompt.*opened '<think>\\n'"):
        policy.encode_completion("3")


@pytest.mark.slow
def test_held_out_accuracy_counts_the_whole_message() -> None:
    task = load_task("arithmetic")
    problems = task.held_out[:60]
    correct = []
    for policy in (load_policy("embedded"), opening("<think>")):
        engine = make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)
        correct.append(greedy_accuracy(engine, policy, task, problems, 48).correct)
    assert correct[0] == correct[1] > 0


@pytest.fixture(scope="module")
def opened_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of the embedded policy behind a template that opens the thought."""
    out = tmp_path_factory.mktemp("opened") / "run"
    config = GRPOConfig(
        max_steps=3, prompts_per_step=4, num_generations=4, num_eval_problems=20, save_steps=3
    )
    seen: list[str] = []

    def watching(completions, **columns) -> list[float]:
        seen.extend(c[0]["content"] for c in completions)
        return [0.0] * len(completions)

    policy = opening("<think>")
    rewards = RewardSet(["format", watching])
    trainer = start_run(
        out, policy=policy, task=load_task("arithmetic"), rewards=rewards, config=config
    )
    trainer.train()
    assert len(seen) == 48
    assert all(text.startswith("<think>") for text in seen)
    return out


@pytest.mark.slow
def test_a_run_keeps_whole_messages_and_says_what_was_the_templates(opened_run: Path) -> None:
    run = Run.open(opened_run)
    assert run.meta.environment["opened_answer"] == "<think>"
    assert RunSource(run).opened == "<think>"
    samples = run.samples(3)
    assert samples["completion"].str.startswith("<think>").all()
    assert samples["rewards/format_reward"].mean() > 0.3


def test_the_pages_grey_what_the_template_wrote(opened_run: Path) -> None:
    source = RunSource(Run.open(opened_run))
    greyed = (
        '<span class="wb-dim wb-opened" title="written by the chat template, not by the policy">'
        "&lt;think&gt;</span>"
    )
    groups = GroupsView()
    groups.show([source], 3)
    # Equal completions stand once.
    assert groups.box.html.count(greyed) == groups.box.html.count("<tr data-row=") >= 4
    assert "<think><think>" not in text_of(groups.box.html)
    tokens = TokensView()
    tokens.show([source], 3)
    assert tokens.body.html.count(greyed) == tokens.body.html.count('class="wb-pane"') >= 1
    assert_inert(groups.box.html)


def test_the_doctor_tells_of_a_reward_that_pays_nothing_beside_one_that_does(
    opened_run: Path,
) -> None:
    found = {finding.key: finding for finding in diagnose(opened_run)}
    assert "watching has paid for no completion yet" in found["component_never_pays"].what


def test_the_embedded_policy_has_nothing_of_the_sort() -> None:
    policy = load_policy("embedded")
    assert policy.opened() == ""
    ids = torch.arange(4, 60).tolist()
    assert policy.decode(ids) == policy.tokenizer.decode(ids)
