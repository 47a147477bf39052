"""Who may come in, and what goes out: no socket, no code of a model's, no pickle, no secret of the
environment in a record, nobody's files but with the person's own umask."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.commands.lab import _jupyterlab
from workbench.policy import PolicyError, load_policy

ROOT = Path(__file__).parents[2]
QUICK = ("prompts_per_step=4", "num_generations=4", "max_completion_length=6", "save_steps=1")
SETTINGS = [word for pair in (*QUICK, "num_eval_problems=4") for word in ("--set", pair)]
COMMANDS = (
    ["train", "--out", "runs/a", "--steps", "2", *SETTINGS],
    ["plan", "--policy", "embedded"],
    ["doctor", "runs/a"],
    ["doctor"],
    ["runs", "runs"],
    ["task", "arithmetic"],
    ["export", "html", "runs/a", "--out", "page.html"],
    ["export", "csv", "runs/a", "--out", "csv"],
    ["export", "trl", "runs/a", "--out", "trl"],
)
GUARD = """
import json, sys
seen = []
def watch(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"):
        seen.append([event, repr(args[1:])])
sys.addaudithook(watch)
from workbench.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["workbench", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code or words[0] == "doctor", words
from workbench import Dashboard
Dashboard("runs/a")
found = list(seen)
import socket
socket.socket().connect_ex(("127.0.0.1", 9))
assert len(seen) == len(found) + 1, "the guard sees nothing"
print("SEEN", json.dumps(found))
"""
PLANTED = {
    "HF_TOKEN": "hf_plantedPlantedPlantedPlanted",
    "OPENAI_API_KEY": "sk-planted-0123456789",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+key",
    "MY_PASSWORD": "planted-password",
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A person's home in which all commands were run by a process with secrets, the Hub not
    switched off; and what was printed."""
    home = tmp_path_factory.mktemp("somebodys-home")
    work = home / "work"
    work.mkdir()
    env = {
        k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    }
    env |= PLANTED | {"HOME": str(home), "USER": "somebody-planted", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", GUARD, json.dumps(COMMANDS)],
        cwd=work,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        umask=0o077,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return work, found.stdout


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_no_command_opens_a_socket(done: tuple[Path, str]) -> None:
    line = next(line for line in done[1].splitlines() if line.startswith("SEEN "))
    assert json.loads(line.removeprefix("SEEN ")) == []


@pytest.mark.slow
def test_nothing_that_is_written_holds_a_secret_or_the_home(done: tuple[Path, str]) -> None:
    work, printed = done
    secrets = [*PLANTED.values(), "somebody-planted"]
    files = files_of(work)
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
        # Where the person lives is nobody's business who is given the run.
        assert str(work.parent).encode() not in content, path
    assert not [secret for secret in secrets if secret in printed]


@pytest.mark.slow
def test_what_is_written_has_the_persons_umask(done: tuple[Path, str]) -> None:
    for path in done[0].rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_jupyterlab_keeps_its_token_and_stays_on_this_machine() -> None:
    command = _jupyterlab(ROOT / "notebooks", browser=True, passed_on=[])
    assert not [
        word
        for word in command
        if any(
            part in word.lower() for part in ("token", "password", "ip=", "allow_origin", "xsrf")
        )
    ]


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """A copy of the tiny policy, to be spoilt."""
    shutil.copytree(tiny_folder, tmp_path / "policy")
    return tmp_path / "policy"


class _Opened:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.file),)


def test_a_model_with_code_of_its_own_is_refused_in_words(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own"}))
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(folder / 'hit')!r})")
    with pytest.raises(PolicyError, match="trust_remote_code|code of its own"):
        load_policy(folder)
    assert not (folder / "hit").exists()


def test_a_tokenizer_with_code_of_its_own_runs_none(folder: Path) -> None:
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings |= {"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}, "tokenizer_class": "T"}
    file.write_text(json.dumps(settings))
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(folder / 'hit')!r})")
    try:
        load_policy(folder)
    except PolicyError as error:
        assert "Traceback" not in str(error)
    assert not (folder / "hit").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "optimizer.pt"])
def test_weights_come_from_safetensors_alone(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(_Opened(folder / "hit")))
    load_policy(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(PolicyError, match="no weights as safetensors"):
        load_policy(folder)
    assert not (folder / "hit").exists()


def test_a_pickle_in_an_adapters_folder_is_not_opened(tmp_path: Path, tiny_folder: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    says = {"base_model_name_or_path": str(tiny_folder), "peft_type": "LORA", "r": 2}
    (adapter / "adapter_config.json").write_text(json.dumps(says))
    for name in ("adapter_model.bin", "training_args.bin", "optimizer.pt"):
        (adapter / name).write_bytes(pickle.dumps(_Opened(tmp_path / "hit")))
    with pytest.raises(PolicyError, match=r"no adapter_model\.safetensors"):
        load_policy(adapter)
    assert not (tmp_path / "hit").exists()


HEADERS: dict[str, bytes] = {
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header of 90 MB that is not there": struct.pack("<Q", 90_000_000) + b"{}",
    "a header of brackets": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "a tensor beyond the file": (lambda text: struct.pack("<Q", len(text)) + text)(
        b'{"a":{"dtype":"F32","shape":[999999999999],"data_offsets":[0,3999999999996]}}'
    ),
    "a shape that overflows": (lambda text: struct.pack("<Q", len(text)) + text)(
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}'
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_bomb_of_a_header_is_one_sentence(folder: Path, what: str) -> None:
    (folder / "model.safetensors").write_bytes(HEADERS[what])
    with pytest.raises(PolicyError, match=r"model\.safetensors is damaged"):
        load_policy(folder)


REACHING = (
    "{{ messages.__class__.__mro__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.mkdir('hit') }}",
    "{{ self.__init__.__globals__ }}",
    "{% for x in messages %}{{ x.update({'content': 'changed'}) }}{% endfor %}",
    "{{ raise_exception.__globals__['os'].mkdir('hit') }}",
    "{% import 'evil.jinja' as evil %}{{ evil.x }}",
    "{{ 'x' * 10**12 }}",
)


@pytest.mark.parametrize("template", REACHING)
def test_a_template_that_reaches_for_more_is_refused(
    folder: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    shown = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    (folder / "chat_template.jinja").write_text(template + shown)
    with pytest.raises(PolicyError, match="template"):
        load_policy(folder)
    assert not (folder / "hit").exists()
