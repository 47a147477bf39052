"""The prompt as the policy reads it: the template's markers in sight, hostile text inert, and words
where policy or task are not known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from inert_html import HOSTILE, assert_inert, text_of
from made_runs import make_run

from workbench.policy import load_policy
from workbench.policy.load import load_reader
from workbench.tasks.arithmetic import arithmetic_task
from workbench.widgets.base.source import RunSource
from workbench.widgets.tokens.prompt import MOST_TOKENS, Prompts, rendered_html
from workbench.widgets.tokens.view import TokensView

RECORDED = Path(__file__).parents[2] / "workbench/assets/recorded/long.sqlite"


def test_a_reader_renders_what_the_policy_does() -> None:
    policy, reader = load_policy("embedded"), load_reader("embedded")
    task = arithmetic_task(0, 8, 2)
    for problem in task.train:
        messages = task.messages(problem)
        assert reader.encode_prompt(messages) == policy.encode_prompt(messages)
    assert reader.source == policy.source


def test_the_markers_of_the_template_are_shown_on_demand() -> None:
    source = RunSource(RECORDED)
    view = TokensView()
    view.show([source], 5)
    assert view.prompt.value == ""
    view.prompt_box.value = True
    shown = text_of(view.prompt.value)
    assert_inert(view.prompt.value)
    assert "<|user|>" in shown
    assert "<|assistant|>" in shown
    asked = source.run.samples(5)["prompt"][view.row]
    assert asked.replace(" ", "·") in shown.replace("\n", "")
    assert 'class="t sp"' in view.prompt.value, "special tokens are framed"
    # It goes along with the completion.
    other = int((source.run.samples(5)["prompt"] != asked).to_numpy().argmax())
    view.pick(other)
    asked = source.run.samples(5)["prompt"][other]
    assert asked.replace(" ", "·") in text_of(view.prompt.value).replace("\n", "")
    view.prompt_box.value = False
    assert view.prompt.value == ""


def test_hostile_tokens_are_inert_and_keep_their_lines() -> None:
    """Others put tokens into their page as they were, and lost the line breaks."""
    html = rendered_html(list(enumerate(["a<b<c", "\n", *HOSTILE])))
    assert_inert(html)
    assert "a<b<c" in text_of(html)
    assert "⏎" in html
    assert "<br>" in html
    long = rendered_html([(1, "x")] * (MOST_TOKENS + 7))
    assert "7 tokens left out" in text_of(long)


@pytest.mark.parametrize(
    ("policy", "task", "words"),
    [
        ("embedded", "my own", "none that the workbench knows by name"),
        ("/nowhere/at/all", "arithmetic", "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_loaded_is_said(tmp_path: Path, policy: str, task: str, words: str) -> None:
    run = make_run(tmp_path / "run", steps=1)
    source = SimpleNamespace(run=_named(run, policy, task), session=None)
    html = Prompts().html(source, "train/0")
    assert words in text_of(html)
    assert_inert(html)


def _named(run, policy: str, task: str):
    """The run as if it had been made with these."""
    meta = SimpleNamespace(policy=policy, task=task, config=run.config)
    return SimpleNamespace(meta=meta, path=run.path, config_at=run.config_at)
