"""What a run leaves: the adapter always, the whole policy where memory and disk have room for
it."""

from __future__ import annotations

import re
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from policy.tiny_folders import save_tiny

from workbench.commands.saving import save_trained
from workbench.policy import Policy, load_policy, save, save_policy
from workbench.policy.save import no_room_to_save, whole_bytes

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(params=["none", "nf4", "int8"])
def adapted(request: pytest.FixtureRequest, tmp_path: Path) -> Policy:
    """A tiny Qwen2 with an adapter that has learnt something."""
    policy = load_policy(save_tiny("qwen2", tmp_path / "model"), lora=2, quantization=request.param)
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.add_(0.05)
    return policy


def test_the_bytes_of_a_whole_policy_are_those_of_its_file(adapted: Policy, tmp_path: Path) -> None:
    save_policy(adapted, tmp_path / "whole")
    header = 20_000
    assert (
        whole_bytes(adapted)
        <= (tmp_path / "whole/model.safetensors").stat().st_size
        <= whole_bytes(adapted) + header
    )


def test_tied_weights_are_held_twice_while_they_are_merged(tmp_path: Path) -> None:
    policy = load_policy(save_tiny("llama", tmp_path / "model"), lora=2)
    assert whole_bytes(policy, twice_tied=True) - whole_bytes(policy) == 384 * 32 * 4


def test_both_are_written_where_there_is_room(adapted: Policy, tmp_path: Path) -> None:
    assert save_trained(adapted, tmp_path) == (tmp_path / "policy", "")
    ids = torch.tensor([[20, 21, 22]])
    expected = adapted.model(ids).logits
    torch.testing.assert_close(
        load_policy(tmp_path / "policy").model(ids).logits, expected, rtol=1e-4, atol=1e-4
    )
    alone = load_policy(tmp_path / "adapter", quantization=adapted.quantization)
    torch.testing.assert_close(alone.model(ids).logits, expected, rtol=1e-5, atol=1e-5)


def test_without_memory_the_adapter_is_kept_and_the_notice_says_how_to_merge(
    adapted: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = int(save.ROOM * whole_bytes(adapted, twice_tied=True))
    monkeypatch.setattr(save, "available_bytes", lambda device: need - 1)
    monkeypatch.setattr(save, "merged", lambda policy: pytest.fail("merged without room"))
    kept, notice = save_trained(adapted, tmp_path / "r")
    assert kept == tmp_path / "r/adapter"
    assert not (tmp_path / "r/policy").exists()
    assert "merging takes" in notice
    assert ("--quantization" in notice) == (adapted.quantization != "none")
    monkeypatch.undo()
    monkeypatch.setattr(save, "available_bytes", lambda device: need + 1)
    assert no_room_to_save(adapted, tmp_path / "r/policy") is None
    call = re.search(r"workbench.policy: (save_policy\(.*\))$", notice)
    assert call is not None
    exec(
        call[1], {"save_policy": save_policy, "load_policy": load_policy}
    )  # the notice's own words
    ids = torch.tensor([[20, 21, 22]])
    torch.testing.assert_close(
        load_policy(tmp_path / "r/policy").model(ids).logits,
        adapted.model(ids).logits,
        rtol=1e-4,
        atol=1e-4,
    )


def test_without_disk_it_says_so_and_names_what_is_there_of_old(
    adapted: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_trained(adapted, tmp_path)
    monkeypatch.setattr(save.shutil, "disk_usage", lambda place: Usage(10**9, 10**9, 1000))
    kept, notice = save_trained(adapted, tmp_path)
    assert kept == tmp_path / "adapter"
    assert "GB of disk" in notice
    assert "of an earlier save" in notice


def test_all_weights_without_disk_stay_in_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(save_tiny("llama", tmp_path / "model"))
    monkeypatch.setattr(save, "available_bytes", lambda device: 0)
    assert no_room_to_save(policy, tmp_path / "r/policy") is None, (
        "nothing is merged, so no memory is asked for"
    )
    monkeypatch.setattr(save.shutil, "disk_usage", lambda place: Usage(10**9, 10**9, 1000))
    kept, notice = save_trained(policy, tmp_path / "r")
    assert kept == tmp_path / "r/checkpoints"
    assert "--resume --out" in notice


def test_a_machine_that_does_not_say_its_memory_merges(
    adapted: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "available_bytes", lambda device: None)
    assert no_room_to_save(adapted, tmp_path) is None
