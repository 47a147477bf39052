"""Models whose files are quantised already, as people with a T4 load them: memory, number format,
and what the record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from policy.tiny_folders import save_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from workbench.commands.saving import save_trained
from workbench.config import GRPOConfig
from workbench.policy import PolicyError, load_policy, save_policy
from workbench.policy.loading.checks import skeleton, weight_bytes
from workbench.policy.quantization import loading_config, stored_kind


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny Llama as bitsandbytes stored it, computing in bfloat16, by kind."""
    root = tmp_path_factory.mktemp("stored")
    plain, made = save_tiny("llama", root / "plain"), {}
    AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16).save_pretrained(plain)
    for kind in ("nf4", "int8"):
        model = AutoModelForCausalLM.from_pretrained(
            plain,
            dtype=torch.bfloat16,
            quantization_config=loading_config(kind, torch.bfloat16),
            device_map={"": "cpu"},
        )
        model.save_pretrained(root / kind)
        AutoTokenizer.from_pretrained(plain).save_pretrained(root / kind)
        made[kind] = root / kind
    return made


def formats(policy: Any) -> set[torch.dtype]:
    """In which formats the base computes: its plain weights', and its 4-bit layers'."""
    base = policy.model.get_base_model()
    layers = {m.compute_dtype for m in base.modules() if hasattr(m, "compute_dtype")}
    states = {p.quant_state.dtype for p in base.parameters() if hasattr(p, "quant_state")}
    return (
        layers
        | states
        | {
            p.dtype
            for n, p in base.named_parameters()
            if p.is_floating_point() and "lora_" not in n
        }
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_they_compute_in_the_format_of_this_machine_not_of_whoever_stored_them(
    kind: str, dtype: str, stored: dict[str, Path]
) -> None:
    policy = load_policy(stored[kind], lora=2, dtype=dtype)
    assert policy.quantization == kind
    assert formats(policy) == {getattr(torch, dtype)}
    logits = policy.model(torch.tensor([[20, 21, 22]])).logits
    assert logits.dtype == getattr(torch, dtype)
    assert logits.isfinite().all()


def test_a_gpu_without_bfloat16_gets_float16(
    stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice of the T4, read here onto the CPU."""
    monkeypatch.setattr(
        "workbench.policy.load.weight_dtype", lambda dtype, device, frozen: torch.float16
    )
    assert formats(load_policy(stored["nf4"], lora=2)) == {torch.float16}


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_their_numbers_are_those_of_the_same_model_quantised_here(
    kind: str, stored: dict[str, Path]
) -> None:
    ids = torch.tensor([[20, 21, 22]])
    here = load_policy(stored[kind].parent / "plain", lora=2, quantization=kind)
    torch.testing.assert_close(
        load_policy(stored[kind], lora=2).model(ids).logits,
        here.model(ids).logits,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_memory_is_asked_for_them_too(
    kind: str, stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.policy.loading.checks.available_bytes", lambda device: 1000)
    with pytest.raises(
        PolicyError, match=f"its weights take .*as {kind}, the rest float32.*Use a smaller model"
    ):
        load_policy(stored[kind], lora=2)


def test_a_7b_stored_in_4_bits_takes_its_4_bits() -> None:
    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        vocab_size=32000,
    )
    config.quantization_config = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
    }
    assert stored_kind(config) == "nf4"
    assert weight_bytes(skeleton(config), torch.float16, stored_kind(config)) == pytest.approx(
        4.17e9, rel=0.01
    )


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True, "bnb_4bit_quant_type": "fp4"},
            "int8",
        ),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "fp4"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        (None, "none"),
    ],
)
def test_the_kind_is_read_from_the_config(says: dict[str, Any] | None, kind: str) -> None:
    config = LlamaConfig()
    if says:
        config.quantization_config = says
    assert stored_kind(config) == kind


def test_asking_for_what_they_are_is_the_same_and_for_another_kind_an_error(
    stored: dict[str, Path],
) -> None:
    assert load_policy(stored["nf4"], lora=2, quantization="nf4").quantization == "nf4"
    with pytest.raises(
        PolicyError, match="quantised already, as 'nf4'. Leave out quantization='int8'"
    ):
        load_policy(stored["nf4"], lora=2, quantization="int8")
    with pytest.raises(PolicyError, match="stand still. Add lora=16"):
        load_policy(stored["nf4"])


def test_the_record_says_how_the_weights_are_kept(stored: dict[str, Path], tmp_path: Path) -> None:
    from workbench.commands.train import train_command
    from workbench.runs import Run

    changes = dict(
        lora_rank=2,
        max_steps=1,
        prompts_per_step=2,
        num_generations=4,
        max_completion_length=8,
        num_eval_problems=4,
    )
    again = dict(
        policy=str(stored["nf4"]),
        task="arithmetic",
        rewards=None,
        preset=None,
        threads=1,
        as_json=True,
    )
    train_command(**again, changes=changes, out=tmp_path / "r", resume=False)
    assert Run.open(tmp_path / "r").config["quantization"] == "nf4"
    train_command(**again, changes={"max_steps": 2}, out=tmp_path / "r", resume=True)
    assert load_policy(tmp_path / "r/policy").quantization == "none"
    assert load_policy(tmp_path / "r/adapter").quantization == "nf4"


def test_an_adapter_on_one_is_saved_and_found_again(
    stored: dict[str, Path], tmp_path: Path
) -> None:
    policy = load_policy(stored["nf4"], config=GRPOConfig(lora_rank=2, quantization="nf4"))
    save_policy(policy, tmp_path / "adapter", adapter_only=True)
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(stored["nf4"])
    assert save_trained(policy, tmp_path / "r")[0] == tmp_path / "r/policy"
