"""What we touch inside peft is still there, on the installed version, which each failure names."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from rollout.tiny_models import build

from workbench.libraries import hf_peft as library

VERSION = f"peft {peft.__version__}"


def wrapped(**options: object) -> peft.PeftModel:
    with library.quiet_peft():
        return get_peft_model(build("llama"), LoraConfig(task_type="CAUSAL_LM", **options))


def test_a_wrapper_is_known_by_its_configs_and_holds_the_plain_model() -> None:
    plain = build("llama")
    assert not library.has_adapter(plain)
    assert library.plain_model(plain) is plain
    model = wrapped()
    assert library.has_adapter(model), f"{VERSION} keeps its configs by another name"
    assert library.active_adapters(model) == list(library.adapter_configs(model)) == ["default"]
    assert type(library.plain_model(model)) is type(plain), VERSION


def test_prompt_learning_is_refused_by_name() -> None:
    with library.quiet_peft():
        model = get_peft_model(
            build("llama"), peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
        )
    with pytest.raises(ValueError, match="'default' is prompt learning"):
        library.plain_model(model)


def test_without_its_marks_an_adapted_model_has_the_names_of_the_plain_one() -> None:
    names = dict(wrapped().get_base_model().named_parameters())
    base = {library.name_without_adapter(n) for n in names if not library.is_of_adapter(n)}
    assert base == set(dict(build("llama").named_parameters())), f"{VERSION} names weights anew"
    assert any(library.is_of_adapter(name) for name in names), VERSION


def test_a_fresh_adapter_starts_at_zero_in_the_matrix_that_we_take_for_it() -> None:
    for name, p in wrapped().named_parameters():
        if library.is_of_adapter(name):
            assert library.starts_at_zero(name) == bool((p == 0).all()), f"{VERSION}: {name}"


def test_saved_tensors_merge_into_a_plain_model() -> None:
    model = wrapped(init_lora_weights=False)
    tensors = library.adapter_tensors(model, "default")
    assert tensors
    config = library.adapter_configs(model)["default"]
    merged = library.merged_into(build("llama"), config, "default", tensors)
    ids = torch.arange(5)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            merged(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5, msg=lambda m: VERSION + m
        )


def test_wrapping_warns_of_nothing_that_a_user_could_not_mend() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with library.quiet_peft():
            get_peft_model(build("llama"), LoraConfig(task_type="CAUSAL_LM"))
