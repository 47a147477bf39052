"""What we touch inside transformers is still there, on the installed version, which each failure
names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import transformers
from rollout.tiny_models import FULL_ATTENTION, build

from workbench.libraries import hf_transformers as library
from workbench.rollout.cache import PreallocatedCache

VERSION = f"transformers {transformers.__version__}"
FAMILIES = [name for name in FULL_ATTENTION if name != "gpt2"]


@contextmanager
def no_deprecation() -> Iterator[None]:
    """A deprecation of ours is the next release's breakage."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        warnings.simplefilter("error", DeprecationWarning)
        yield


@pytest.mark.parametrize("name", FULL_ATTENTION)
def test_every_family_takes_a_cache_by_a_name_that_is_known(name: str) -> None:
    model = build(name)
    assert library.cache_argument(model) in library.CACHE_ARGUMENTS, (
        f"{VERSION} calls the cache of {type(model).__name__}.forward by none of "
        f"{library.CACHE_ARGUMENTS}: add the new name in workbench/libraries/hf_transformers.py"
    )


def test_a_forward_fills_our_cache_and_gives_it_back_without_a_deprecation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, ids = build("llama"), torch.arange(5)[None]
    cache = PreallocatedCache(model.config.num_hidden_layers, capacity=8)
    with torch.no_grad(), no_deprecation():
        output = library.forward_with_cache(model, cache, input_ids=ids)
        more = library.forward_with_cache(model, cache, input_ids=ids[:, :1])
        whole = model(input_ids=torch.cat([ids, ids[:, :1]], 1), use_cache=False)
    assert library.cache_of(output) is cache, f"{VERSION} gives another cache back"
    assert torch.allclose(more.logits[:, -1], whole.logits[:, -1], atol=1e-5), VERSION
    assert "deprecated" not in caplog.text, f"{VERSION}: {caplog.text}"


def test_a_forward_that_is_given_no_cache_makes_one() -> None:
    with torch.no_grad():
        output = library.forward_with_cache(build("llama"), None, input_ids=torch.arange(5)[None])
    assert library.cache_of(output).get_seq_length() == 5, VERSION


def test_a_forward_without_a_cache_is_refused_by_name() -> None:
    class Plain(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor) -> None: ...

    with pytest.raises(TypeError, match="past_key_values"):
        library.forward_with_cache(Plain(), None, input_ids=torch.zeros(1, 1))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_mask_of_our_own_reaches_the_attention_as_it_is(name: str, attention: str) -> None:
    model = build(name)
    model.set_attn_implementation(attention)
    assert library.attention_of(model) == attention, VERSION
    if not library.takes_own_mask(model):
        assert name == "opt", f"{VERSION}: {name} is no longer packed; see takes_own_mask"
        return
    ids = torch.arange(6)[None]
    places = torch.arange(6)[None]  # OPT would count them off its mask
    own = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()
    own[..., 3:, :3] = False  # a mask that no causal one equals
    with torch.no_grad():
        mask = library.mask_as_attended(model, own)
        masked = model(input_ids=ids, attention_mask=mask, position_ids=places).logits
        causal = model(input_ids=ids).logits
        changed = ids.clone()
        changed[0, 0] = 9
        again = model(input_ids=changed, attention_mask=mask, position_ids=places).logits
    assert torch.allclose(masked[:, :3], causal[:, :3], atol=1e-5), VERSION
    assert torch.allclose(masked[:, 5], again[:, 5], atol=1e-5), (
        f"{VERSION}: {name} does not attend by the mask that it is given"
    )


def test_attention_of_our_own_is_called_by_the_inner_layers_alone() -> None:
    model, calls = build("llama"), []

    def counted(module, query, key, value, mask, scaling=None, **_):
        calls.append(query.shape)
        return query.transpose(1, 2).contiguous(), None

    kind = library.attention_of(model)
    library.use_attention(model, "workbench_test", counted)
    with torch.no_grad():
        model(input_ids=torch.arange(4)[None], use_cache=False)
    assert len(calls) == model.config.num_hidden_layers, VERSION
    assert library.attention_of(model) == kind, f"{VERSION}: the outer config was changed"


def test_the_classes_that_continue_a_text_are_known_by_model_type() -> None:
    classes = library.causal_lm_classes()
    assert "LlamaForCausalLM" in classes["llama"], VERSION
    assert "bert" not in classes or "BertLMHeadModel" in classes["bert"], VERSION
