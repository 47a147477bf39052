"""Which device is taken, and what each kind refuses; Apple's GPU with torch's answers made up."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from apple_gpu import Metal, apple_gpu, pretend

from workbench.commands import doctor
from workbench.config import ConfigWarning, GRPOConfig
from workbench.experiment import room
from workbench.libraries import devices, torch_
from workbench.plan.devices import this_device
from workbench.policy import PolicyError, load_policy
from workbench.policy.dtype import wants_autocast, weight_dtype
from workbench.policy.free_memory import available_bytes
from workbench.rollout.vllm.checks import VLLMError, check_device
from workbench.training.random_state import load_random_tensors, random_tensors
from workbench.training.session import Session

MPS = torch.device("mps")


@pytest.fixture
def metal(monkeypatch: pytest.MonkeyPatch) -> Metal:
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    return pretend(monkeypatch)


def test_cuda_then_apples_gpu_then_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    found = []
    for cuda, mps in ((True, True), (False, True), (False, False)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        found.append(devices.default_device().type)
    assert found == ["cuda", "mps", "cpu"]


def test_the_environment_has_the_last_word(metal: Metal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    assert devices.default_device() == torch.device("cpu")
    assert load_policy("embedded").device.type == "cpu"
    monkeypatch.setenv(devices.VARIABLE, "gpu")
    with pytest.raises(devices.DeviceError, match="'gpu' is no device. Use cpu, cuda, mps"):
        load_policy("embedded")


def test_weights_are_float32_and_bfloat16_needs_a_newer_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert weight_dtype("auto", MPS, frozen=False) == torch.float32
    assert weight_dtype("auto", MPS, frozen=True) == torch.float32
    assert weight_dtype("float16", MPS, frozen=True) == torch.float16
    assert not wants_autocast("auto", MPS, frozen=False)
    for newer in (True, False):
        asked = {(14, 0): newer}
        monkeypatch.setattr(
            torch.backends.mps, "is_macos_or_newer", lambda *v, asked=asked: asked[v]
        )
        if newer:
            assert weight_dtype("bfloat16", MPS, frozen=True) == torch.bfloat16
    with pytest.raises(PolicyError, match="Apple's GPU before macOS 14 has no bfloat16"):
        weight_dtype("bfloat16", MPS, frozen=True)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantised_weights_are_refused(metal: Metal, kind: str) -> None:
    with pytest.raises(PolicyError, match=f"in {kind}: .*device='cpu'"):
        load_policy("embedded", lora=4, quantization=kind)


def test_vllm_in_the_same_process_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        inside = GRPOConfig(rollout_engine="vllm", vllm_mode="colocate")
        address = "http://localhost:8000"
        served = inside.replace(vllm_mode="server", lora_rank=16, vllm_server_base_url=address)
    with pytest.raises(VLLMError, match="Use rollout_engine='native'"):
        check_device(inside, "mps")
    check_device(served, "mps")
    check_device(inside, "cuda")


def test_the_oracle_needs_float64(metal: Metal) -> None:
    from workbench.oracle import enumerate_completions

    with apple_gpu():
        policy = load_policy("embedded")
        with pytest.raises(devices.DeviceError, match="float64, which mps:0 does not have"):
            enumerate_completions(policy, (1, 2), max_new_tokens=2)


def test_memory_is_what_metal_leaves(metal: Metal) -> None:
    assert available_bytes(MPS) == 9 * 10**9
    device = this_device()
    assert (device.name, device.memory) == ("Apple's GPU (mps)", 9 * 10**9)
    assert device.flops == (), "how fast it is nobody has measured"


def test_its_random_generator_is_kept_and_put_back(metal: Metal) -> None:
    unused = torch.Generator()
    kept = random_tensors(unused)
    before = metal.generator.get_state()
    with torch_.fork_rng(MPS):
        torch_.seed_global_generators(7, MPS)
        assert metal.generator.initial_seed() == 7
    assert torch.equal(metal.generator.get_state(), before)
    torch_.seed_global_generators(7, MPS)
    load_random_tensors(unused, kept)
    assert torch.equal(metal.generator.get_state(), before)


def test_a_checkpoint_of_a_mac_goes_on_elsewhere(
    metal: Metal, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = torch.Generator()
    kept = random_tensors(unused)
    assert "mps" in kept
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: pytest.fail("it is not there"))
    load_random_tensors(unused, kept)


def test_a_session_that_is_freed_gives_back_what_torch_keeps(
    metal: Metal, tiny_folder: Path, tmp_path: Path
) -> None:
    policy = load_policy(tiny_folder, device="cpu")
    config = GRPOConfig(num_eval_problems=4, eval_steps=0)
    session = Session(policy, "arithmetic", config=config, out=tmp_path / "run")
    session.free()
    assert metal.emptied == 1


def test_the_doctor_says_that_nobody_tried_it(metal: Metal) -> None:
    [found] = doctor._gpus()
    assert found.status == "note"
    assert "nobody has tried" in found.detail
    assert "WORKBENCH_DEVICE=cpu" in found.remedy


def test_runs_on_a_gpu_go_one_at_a_time(metal: Metal) -> None:
    assert room._that_fit([], None, 4)[0] == 1
