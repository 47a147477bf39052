"""Policies that would take for ever: a template that loops, a config of a thousand million layers,
an adapter that stands on itself. Each ends in one sentence, soon."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.plan import shape_of
from workbench.policy import PolicyError, load_policy
from workbench.policy import template as templates
from workbench.policy.adapter import saved_settings
from workbench.policy.loading.locate import locate

LOOP = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)


@pytest.fixture
def in_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half a second for a template, twenty for the test."""
    monkeypatch.setattr(templates, "RENDER_SECONDS", 0.5)
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """A copy of the tiny policy, to be spoilt."""
    shutil.copytree(tiny_folder, tmp_path / "policy")
    return tmp_path / "policy"


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def with_template(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)


def test_a_template_that_loops_is_refused_at_load(in_time: None, folder: Path) -> None:
    with_template(folder, LOOP)
    threads = threading.active_count()
    with pytest.raises(PolicyError, match="had not rendered one question after .* it loops"):
        load_policy(folder)
    # The loop was ended, not left to itself.
    assert threading.active_count() <= threads + 1


def test_a_template_that_loops_for_some_conversations_ends_in_an_error(
    in_time: None, folder: Path
) -> None:
    shown = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    with_template(folder, "{% if 'trap' in messages[0].content %}" + LOOP + "{% endif %}" + shown)
    policy = load_policy(folder)
    assert policy.encode_prompt([{"role": "user", "content": "1 + 1"}])
    with pytest.raises(PolicyError, match="cannot render the conversation: OutOfTimeError"):
        policy.encode_prompt([{"role": "user", "content": "a trap"}])


def test_a_template_that_loops_is_refused_outside_the_main_thread(
    in_time: None, folder: Path
) -> None:
    with_template(
        folder, "{% for a in range(300) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"
    )
    found: list[BaseException] = []

    def load() -> None:
        try:
            load_policy(folder)
        except PolicyError as error:
            found.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    thread.join(20)
    assert "it loops" in str(found[0])


@pytest.mark.parametrize(
    "says",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 1e30},
        {"num_key_value_heads": 10**12},
        {"text_config": {"num_hidden_layers": 10**9}},
        {"vision_config": {"num_experts": 10**9}},
    ],
)
def test_a_config_of_a_thousand_million_parts_is_refused(
    in_time: None, folder: Path, says: dict[str, object]
) -> None:
    change(folder / "config.json", **says)
    for use in (load_policy, shape_of):
        with pytest.raises(PolicyError, match="No model has as many"):
            use(folder)


@pytest.mark.parametrize("content", ["[1]", "", "{", "[" * 100_000, "3"])
def test_a_config_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    for use in (load_policy, shape_of):
        with pytest.raises(PolicyError, match="config.json (cannot be read|holds)"):
            use(folder)


def adapter(folder: Path, base: object, **more: object) -> Path:
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    says = {"base_model_name_or_path": base, "peft_type": "LORA", "r": 2, "lora_alpha": 4}
    (folder / "adapter_config.json").write_text(json.dumps(says | more))
    return folder


def test_an_adapter_that_stands_on_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapter(tmp_path / "a", str(tmp_path / "a"))
    adapter(tmp_path / "b", "./b/../b")
    adapter(tmp_path / "c", "d")
    adapter(tmp_path / "d", "c")
    for name, why in (
        ("a", "names the adapter itself"),
        ("b", "names the adapter itself"),
        ("c", "another adapter"),
        ("d", "another adapter"),
    ):
        with pytest.raises(PolicyError, match=why):
            locate(tmp_path / name)


def test_an_adapter_whose_settings_are_none_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", ["x"])
    with pytest.raises(PolicyError, match="names no base model"):
        locate(folder)
    for content in ("[1]", "{", "[" * 100_000):
        (folder / "adapter_config.json").write_text(content)
        with pytest.raises(PolicyError, match=r"adapter_config.json (cannot be read|holds)"):
            locate(folder)
        with pytest.raises(PolicyError, match=r"adapter_config.json (cannot be read|holds)"):
            saved_settings(folder)
    with pytest.raises(PolicyError, match="says r='many', wanted a number"):
        saved_settings(adapter(tmp_path / "b", "x", r="many"))
