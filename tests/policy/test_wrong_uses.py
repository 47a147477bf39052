"""Ways to hold it wrong: each gives one clear error that names the remedy, within seconds."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from policy.tiny_folders import save_tiny

from workbench.config import GRPOConfig
from workbench.errors import WorkbenchError
from workbench.policy import PolicyError, free_memory, load_policy, save_policy
from workbench.policy.dtype import weight_dtype
from workbench.policy.loading import hub
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run

SECONDS = 8.0
"""Time in which each of them has to be known, on a busy machine; on a quiet one it is under a
second."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny Llama in a folder."""
    return save_tiny("llama", tmp_path / "model")


def edit_config(folder: Path, **values: Any) -> Path:
    """The folder with other values in its config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def cut(folder: Path) -> Path:
    """The folder with half of its weights' file."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder


def without_a_tensor(folder: Path) -> Path:
    """The folder with one tensor less."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def pickled(folder: Path) -> Path:
    """The folder with weights in another format."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def file_of(folder: Path, name: str, content: bytes) -> Path:
    """A file beside the model."""
    (folder / name).write_bytes(content)
    return folder / name


def adapter_alone(folder: Path, base: str) -> Path:
    """A saved adapter that names `base`."""
    save_policy(load_policy(folder, lora=2), folder / "adapter", adapter_only=True)
    path = folder / "adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))
    return folder / "adapter"


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a folder that is not there": (
        lambda m: load_policy(m / "nowhere"),
        "no such folder.*Check the path",
    ),
    "a folder without a model": (lambda m: load_policy(m.parent), "no config.json.*RUN/policy"),
    "the weights' file itself": (
        lambda m: load_policy(m / "model.safetensors"),
        "is a file. Give the folder",
    ),
    "no id": (lambda m: load_policy("my model!"), "cannot be a model id"),
    "an id while offline": (lambda m: load_policy("nope"), "HF_HUB_OFFLINE forbids.*Unset it"),
    "a text as .gguf": (
        lambda m: load_policy(file_of(m, "a.gguf", b"hello")),
        "does not begin like a .gguf",
    ),
    "an encoder": (
        lambda m: load_policy(edit_config(m, architectures=["BertModel"], model_type="bert")),
        "BertModel.*causal language model",
    ),
    "an encoder-decoder": (
        lambda m: load_policy(
            edit_config(
                m,
                architectures=["T5ForConditionalGeneration"],
                model_type="t5",
                is_encoder_decoder=True,
            )
        ),
        "encoder-decoder.*causal",
    ),
    "a reward model": (
        lambda m: load_policy(edit_config(m, architectures=["LlamaForSequenceClassification"])),
        "without a language-model head",
    ),
    "an unknown architecture": (
        lambda m: load_policy(edit_config(m, model_type="new-thing")),
        "config cannot be read.*new-thing",
    ),
    "foreign code": (
        lambda m: load_policy(
            edit_config(m, architectures=["Mine"], auto_map={"AutoModelForCausalLM": "mine.Mine"})
        ),
        "trust_remote_code=True",
    ),
    "cut weights": (
        lambda m: load_policy(cut(m)),
        "model.safetensors is damaged.*Fetch or save it again",
    ),
    "weights that lack a tensor": (
        lambda m: load_policy(without_a_tensor(m)),
        "1 of its weights are not in its files.*up_proj",
    ),
    "pickled weights": (lambda m: load_policy(pickled(m)), "no weights as safetensors"),
    "a LoRA target that is not there": (
        lambda m: load_policy(
            m, config=GRPOConfig(lora_rank=4, lora_target_modules="q_proj,query")
        ),
        "no layer 'query'. It has: .*q_proj",
    ),
    "a rank that is none": (lambda m: load_policy(m, lora="big"), "lora='big'.*rank such as 16"),
    "4 bits, all weights trained": (
        lambda m: load_policy(m, quantization="nf4"),
        "nothing to train. Add lora=16",
    ),
    "4 bits, all weights trained, in a config": (
        lambda m: GRPOConfig(quantization="nf4"),
        "lora_rank=16",
    ),
    "an unknown quantisation": (
        lambda m: load_policy(m, lora=2, quantization="q4"),
        "none, nf4, int8",
    ),
    "an unknown format": (lambda m: load_policy(m, dtype="fp8"), "dtype='fp8' is unknown.*float32"),
    "float16 weights trained": (
        lambda m: load_policy(m, config=GRPOConfig(dtype="float16")),
        "lora_rank=0.*dtype='auto'",
    ),
    "an adapter's base that is gone": (
        lambda m: load_policy(adapter_alone(m, "./gone")),
        "is an adapter for './gone'.*no such folder",
    ),
    "an adapter on an adapter": (
        lambda m: load_policy(adapter_alone(m, str(m)), lora=8),
        "keeps its own rank",
    ),
    "an adapter saved where there is none": (
        lambda m: save_policy(load_policy(m), m / "x", adapter_only=True),
        "has no adapter",
    ),
    "a completion beyond the context": (
        lambda m: run(m, max_completion_length=300),
        "no room for a prompt in the 128 positions.*Lower it",
    ),
    "a prompt beyond the context": (
        lambda m: run(m, max_completion_length=100),
        "prompts are too long.*never cut",
    ),
    "a group beyond the memory": (
        lambda m: run(m, num_generations=10**8),
        "keys and values.*Lower num_generations",
    ),
    "an adapter in the config alone": (
        lambda m: run(m, policy=load_policy(m), lora_rank=4),
        "has no adapter.*lora=4",
    ),
    "4 bits in the config alone": (
        lambda m: run(m, policy=load_policy(m, lora=4), lora_rank=4, quantization="nf4"),
        "quantised as 'none'.*load_policy",
    ),
    "checkpointing in the config alone": (
        lambda m: run(m, policy=load_policy(m), gradient_checkpointing=True),
        "loaded without it",
    ),
}


def run(folder: Path, policy: Any = None, **changes: Any) -> Any:
    """The start of a run."""
    config = GRPOConfig(**({"max_completion_length": 8, "num_eval_problems": 4} | changes))
    return start_run(
        folder / "run",
        policy=policy or load_policy(folder, config=config),
        task=arithmetic_task(0, 16, 8),
        config=config,
    )


@pytest.mark.parametrize("case", WRONG)
def test_one_clear_error_within_seconds(case: str, model: Path) -> None:
    load_policy(model)  # imports are not what is timed
    do, says = WRONG[case]
    began = time.monotonic()
    with pytest.raises(WorkbenchError, match=f"(?s){says}"):
        do(model)
    assert time.monotonic() - began < SECONDS


def test_weights_beyond_the_memory_are_not_read(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.policy.loading.checks.available_bytes", lambda device: 1000)
    with pytest.raises(PolicyError, match="its weights take .*quantization='nf4'"):
        load_policy(model)


def test_what_torch_keeps_for_itself_on_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("mem_get_info", (100, 1000)),
        ("memory_reserved", 700),
        ("memory_allocated", 300),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_memory.available_bytes(torch.device("cuda")) == 100 + 700 - 300


def test_logits_beyond_the_memory_name_the_setting_that_changes_no_result(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, config = load_policy(model), GRPOConfig(max_completion_length=8)
    assert free_memory.logit_bytes(policy.model, 32, 8) == 32 * 8 * 384 * 12
    assert free_memory.logit_bytes(policy.model, 10**6, 8) == 2**24 // (4 * 384) * 384 * 12, (
        "made a block at a time, they never stand there all at once"
    )
    assert free_memory.cache_bytes(policy.model, 128, 8) == 128 * 8 * 2 * 2 * 2 * 8 * 4
    monkeypatch.setattr(free_memory, "available_bytes", lambda device: 1_000_000)
    with pytest.raises(PolicyError, match="Set micro_batch_size="):
        free_memory.check_batch_fits(policy, config)
    free_memory.check_batch_fits(policy, config.replace(micro_batch_size=4))


def test_a_prompt_counts_once_for_its_completions_only_where_they_share_it(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(model)
    config = GRPOConfig(prompts_per_step=4, num_generations=8, max_completion_length=8)
    shared = free_memory.cache_bytes(policy.model, 32, 8)
    shared += free_memory.cache_bytes(policy.model, 4, 5000)
    monkeypatch.setattr(free_memory, "available_bytes", lambda device: shared)
    free_memory.check_batch_fits(policy, config.replace(micro_batch_size=1), 5000)
    grows = config.replace(micro_batch_size=1, rollout_engine="transformers")
    with pytest.raises(PolicyError, match="for its keys and values"):
        free_memory.check_batch_fits(policy, grows, 5000)
    policy.model.set_attn_implementation("eager")
    with pytest.raises(PolicyError, match="for its keys and values"):
        free_memory.check_batch_fits(policy, config.replace(micro_batch_size=1), 5000)


@pytest.mark.parametrize(
    ("package", "do", "says"),
    [
        (
            "gguf",
            lambda m: load_policy(file_of(m, "a.gguf", b"GGUF")),
            r"pip install gguf \(or pip install 'grpo-workbench\[gguf\]'\)",
        ),
        (
            "bitsandbytes",
            lambda m: load_policy(m, lora=2, quantization="int8"),
            "pip install bitsandbytes",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_command(
    package: str, do: Callable[[Path], Any], says: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else object()
    )
    with pytest.raises(PolicyError, match=says):
        do(model)


def test_bfloat16_weights_that_would_not_move_are_warned_of(model: Path) -> None:
    from workbench.config import ConfigWarning

    with pytest.warns(ConfigWarning, match="rounded away"):
        load_policy(model, config=GRPOConfig(dtype="bfloat16", learning_rate=1e-6))


@pytest.mark.parametrize(
    ("dtype", "device", "frozen", "bf16", "expected"),
    [
        (None, "cpu", True, True, torch.float32),
        ("auto", "cuda", True, True, torch.bfloat16),
        ("auto", "cuda", True, False, torch.float16),
        ("auto", "cuda", False, True, torch.float32),
        ("float16", "cpu", True, True, torch.float16),
        (torch.bfloat16, "cpu", False, True, torch.bfloat16),
    ],
)
def test_the_format_follows_the_device(
    dtype: Any,
    device: str,
    frozen: bool,
    bf16: bool,
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.policy.dtype.has_bfloat16", lambda device: bf16)
    assert weight_dtype(dtype, torch.device(device), frozen) == expected


# ----------------------------------------------------------------------------------------- the Hub

HUB: dict[str, tuple[int, str, dict[str, Any] | None]] = {
    "org/missing": (404, "RepoNotFound", None),
    "org/gated": (
        200,
        "",
        {"gated": "manual", "siblings": [{"rfilename": "model.safetensors", "size": 5}]},
    ),
    "org/gated/auth-check": (403, "GatedRepo", None),
    "org/huge": (200, "", {"siblings": [{"rfilename": "model.safetensors", "size": 10**16}]}),
    "org/pickled": (200, "", {"siblings": [{"rfilename": "pytorch_model.bin", "size": 5}]}),
    "org/encoder": (200, "", {"siblings": [{"rfilename": "model.safetensors", "size": 5}]}),
    "org/broken": (500, "", None),
    "org/two-layouts": (
        200,
        "",
        {
            "siblings": [
                {"rfilename": "consolidated.safetensors", "size": 300},
                {"rfilename": "model-00001-of-00002.safetensors", "size": 200},
                {"rfilename": "model-00002-of-00002.safetensors", "size": 100},
                {"rfilename": "model.safetensors.index.json", "size": 9},
                {"rfilename": "onnx/model.safetensors", "size": 300},
            ]
        },
    ),
    "org/one-file": (
        200,
        "",
        {
            "siblings": [
                {"rfilename": "model.safetensors", "size": 300},
                {"rfilename": "adapter.safetensors", "size": 7},
                {"rfilename": "config.json", "size": 7},
            ]
        },
    ),
    "org/consolidated": (
        200,
        "",
        {"siblings": [{"rfilename": "consolidated.safetensors", "size": 300}]},
    ),
}


class FakeHub(BaseHTTPRequestHandler):
    """Answers as the Hub does, for the models above; one of them never answers."""

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """A model's page of facts, or its config."""
        name = self.path.removeprefix("/api/models/").partition("?")[0]
        if name == "org/slow":
            time.sleep(3)
        status, code, values = HUB.get(name, (404, "EntryNotFound", None))
        if self.path == "/org/encoder/resolve/main/config.json":
            status, code, values = (
                200,
                "",
                {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            )
        body = (
            json.dumps({"id": name, "gated": False, "siblings": []} | values).encode()
            if values
            else b""
        )
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        for key, value in (
            ("X-Repo-Commit", "0" * 40),
            ("ETag", '"abc"'),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Hub on this machine, with an empty cache."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "PATIENCE", 1.0)
    yield address
    server.shutdown()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("org/missing", "could not be found.*Give 'embedded'"),
        ("org/gated", "gated. Accept its conditions.*hf auth login"),
        ("org/huge", r"needs 10000000.0 GB of disk.*Make room, or set HF_HOME"),
        ("org/pickled", "no weights as safetensors.*pytorch_model.bin"),
        (
            "org/consolidated",
            "no weights as safetensors by transformers' names.*only consolidated.safetensors",
        ),
        ("org/encoder", "BertForMaskedLM.*causal language model"),
        ("org/broken", "cannot be reached.*Check the network"),
        ("org/slow", "cannot be reached.*Check the network"),
    ],
)
def test_what_the_hub_says_is_one_clear_error(name: str, says: str, online: str) -> None:
    began = time.monotonic()
    with pytest.raises(PolicyError, match=f"(?s){says}"):
        load_policy(name)
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("name", ["org/two-layouts", "org/one-file"])
def test_the_disk_is_asked_for_what_is_fetched_alone(
    name: str, online: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.find_on_hub(name).download_bytes == 300
    monkeypatch.setattr(
        hub.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(900, 600, 300)
    )
    assert hub.find_on_hub(name).download_bytes == 300


def test_no_network_is_known_at_once(online: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(
        PolicyError,
        match=r"(?s)no such folder, it is not in the cache, and the Hub cannot be reached.*Give "
        r"'embedded'",
    ):
        load_policy("nope")
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("offline", [True, False])
def test_what_is_in_the_cache_needs_no_network(
    offline: bool, online: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    snapshot = tmp_path / "cache/models--org--tiny/snapshots" / ("0" * 40)
    save_tiny("llama", snapshot)
    (tmp_path / "cache/models--org--tiny/refs").mkdir()
    (tmp_path / "cache/models--org--tiny/refs/main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert hub.find_on_hub("org/tiny").cached_only
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(PolicyError, match="not in the cache"):
        hub.find_on_hub("org/tiny")


@pytest.mark.parametrize(
    "beside", [dict(lora=8), dict(quantization="nf4"), dict(dtype="float32"), dict(seed=0)], ids=str
)
def test_what_the_config_says_is_not_said_again(model: Path, beside: dict) -> None:
    with pytest.raises(PolicyError, match=f"config and {next(iter(beside))}: the config says"):
        load_policy(model, config=GRPOConfig(), **beside)
