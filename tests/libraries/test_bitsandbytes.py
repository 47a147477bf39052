"""What we touch inside bitsandbytes is still there, on the installed version, which each failure
names."""

from __future__ import annotations

import bitsandbytes
import pytest
import torch
from torch import nn

from workbench.libraries import bitsandbytes_ as library

VERSION = f"bitsandbytes {bitsandbytes.__version__}"


def layer(kind: str) -> tuple[nn.Linear, nn.Module]:
    torch.manual_seed(0)
    plain = nn.Linear(64, 32)
    made = library.quantized_layer(plain.weight.data, plain.bias, kind, torch.float32)
    return plain, made


@pytest.mark.parametrize(("kind", "error"), [("nf4", 0.2), ("int8", 0.02)])
def test_a_quantised_weight_is_read_as_the_numbers_that_it_multiplies_with(
    kind: str, error: float
) -> None:
    plain, made = layer(kind)
    model = nn.Sequential(made).eval()
    library.keep_from_changing(model)
    weight = made.weight
    assert library.is_quantized(weight), VERSION
    assert not library.is_quantized(plain.weight)
    assert library.count_of(weight) == 64 * 32, f"{VERSION}: the shape of {kind} is elsewhere"
    numbers = library.plain_numbers(made, weight)
    assert (numbers - plain.weight).abs().max() < error * plain.weight.abs().max(), VERSION
    x = torch.randn(3, 64)
    with torch.no_grad():
        expected = x @ numbers.T + plain.bias
        torch.testing.assert_close(made(x), expected, atol=5e-3, rtol=5e-3, msg=VERSION)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_layer_that_is_kept_computes_alike_in_both_modes_and_never_changes(kind: str) -> None:
    _, made = layer(kind)
    model = nn.Sequential(made)
    library.keep_from_changing(model)
    before = library.plain_numbers(made, made.weight).clone()
    x = torch.randn(3, 64)
    with torch.no_grad():
        training, evaluation = model.train()(x), model.eval()(x)
    assert torch.equal(training, evaluation), VERSION
    assert torch.equal(before, library.plain_numbers(made, made.weight)), VERSION


def test_four_bits_compute_in_the_format_that_is_asked_for() -> None:
    _, made = layer("nf4")
    library.compute_four_bits_in(nn.Sequential(made), torch.float16)
    assert library.plain_numbers(made, made.weight).dtype == torch.float16, VERSION
    assert made.compute_dtype == torch.float16
