"""What we touch inside torch is still there, on the installed version, which each failure names."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from workbench.libraries import torch_ as library
from workbench.policy.load import for_training

VERSION = f"torch {torch.__version__}"


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_views_share_a_key_and_others_do_not(device: str) -> None:
    a, b = torch.empty(4, device=device), torch.empty(4, device=device)
    assert library.storage_key(a) == library.storage_key(a[1:]), VERSION
    assert library.storage_key(a) != library.storage_key(b), VERSION


def test_a_change_in_place_is_counted() -> None:
    a = torch.zeros(2)
    before = library.change_count(a)
    a.add_(1)
    assert library.change_count(a) > before, VERSION


def test_the_buffers_of_a_checkpoint_are_told_from_the_others() -> None:
    model = nn.Sequential(nn.Module())
    model[0].register_buffer("kept", torch.ones(1))
    model[0].register_buffer("left", torch.ones(1), persistent=False)
    assert [name for name, _ in library.persistent_buffers(model)] == ["0.kept"], VERSION
    assert list(model.state_dict()) == ["0.kept"]


def test_the_fused_kernel_is_there_on_the_meta_device_and_makes_no_matrix() -> None:
    seen = []

    class Seen(library.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            seen.extend(t.shape for t in library.tree_leaves(result) if isinstance(t, torch.Tensor))
            return result

    x = torch.empty(1, 2, 300, 8, device="meta")
    with Seen():
        assert library.fused_attention(x, x, x, None, True, None).shape == x.shape, VERSION
    assert seen, VERSION
    assert not any(tuple(shape[-2:]) == (300, 300) for shape in seen), f"{VERSION}: {seen}"


class OnAGpu(nn.Linear):
    """Says that it is on a GPU, and has what `for_training` reads of a model."""

    device = torch.device("cuda")
    config = SimpleNamespace()


@pytest.fixture
def cudnn_attention():
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.usefixtures("cudnn_attention")
def test_on_a_gpu_attention_does_not_go_through_cudnn() -> None:
    for_training(
        OnAGpu(2, 2), None, seed=0, source="", autocast=False, gradient_checkpointing=False
    )
    assert not torch.backends.cuda.cudnn_sdp_enabled(), VERSION
    # What is left is what a GPU attends by.
    assert torch.backends.cuda.flash_sdp_enabled(), VERSION
    assert torch.backends.cuda.mem_efficient_sdp_enabled(), VERSION


def test_processes_meet_beside_the_default_group() -> None:
    group = library.gloo_group(torch.distributed.HashStore(), 0, 1, timedelta(days=365))
    numbers = torch.arange(3.0)
    work = group.allreduce([numbers])
    work.wait()
    assert work.is_completed(), VERSION
    assert numbers.tolist() == [0, 1, 2], VERSION
    assert not torch.distributed.is_initialized(), VERSION
