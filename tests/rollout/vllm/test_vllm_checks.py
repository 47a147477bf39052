"""What asking for vLLM says before anything is loaded, and the server mode against a stand-in that
speaks its protocol.

These run everywhere: neither needs vLLM. The real engine and a real `vllm serve` are in
test_vllm.py.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rollout.tiny_models import EOS, PAD, build, full_forward_logp, ragged_prompts
from rollout.vllm_stand_in import StandIn, answering, engine_at, with_adapter

from workbench.config import GRPOConfig
from workbench.libraries import vllm_
from workbench.rollout import (
    RolloutCancelledError,
    Sampling,
    check_engine,
    make_engine,
)
from workbench.rollout.vllm import checks as vllm_checks
from workbench.rollout.vllm import colocate as vllm_colocate
from workbench.rollout.vllm.checks import VLLMError, adapter_rank, check_agreement, check_sampling
from workbench.rollout.vllm.colocate import Settings
from workbench.rollout.vllm.needs import check_room, numbers_of, one_sequence
from workbench.rollout.vllm.weights import base_weights, fingerprint, save_adapter

# ----------------------------------------------------------------------------------------------
# room before the start


def settings(model: Any, utilization: float = 0.3, tokens: int = 48) -> Settings:
    return Settings(tokens, 8, utilization, False, torch.bfloat16)


def test_a_share_too_small_for_the_base_is_refused_with_the_one_that_would_do() -> None:
    model, plain = with_adapter(), build("llama")
    need, total = (
        2 * sum(p.numel() for p in plain.parameters()) + 2 * one_sequence(plain.config, 48),
        2e9,
    )
    check_room(model, settings(model, 1.001 * need / total), free=total, total=total)
    too_little = settings(model, 0.999 * need / total)
    with pytest.raises(
        VLLMError,
        match=r"too little to start: it needs about .*vllm_gpu_memory_utilization=0\.\d+ would do",
    ):
        check_room(model, too_little, free=total, total=total)
    with pytest.raises(VLLMError, match="No value does with all else as it is, which leaves 10 MB"):
        check_room(model, too_little, free=1e7, total=total)


def test_a_share_above_what_is_free_is_refused_with_a_lower_one() -> None:
    model = with_adapter()
    with pytest.raises(
        VLLMError, match=r"asks for 6\.0 GB of 20\.0 GB, and 4\.1 GB are free\. Lower it to 0\.20"
    ):
        check_room(model, settings(model), free=4.1e9, total=20e9)
    check_room(model, settings(model, 0.2), free=4.1e9, total=20e9)


def test_a_quantised_base_counts_with_the_numbers_that_vllm_is_handed() -> None:
    from workbench.policy.quantization import quantize

    model = build("llama")
    before = numbers_of(model)
    quantize(model, "nf4", torch.float32)
    assert sum(p.numel() for p in model.parameters()) < before == numbers_of(model)
    with pytest.raises(VLLMError, match="quantisation does not shrink vLLM's copy"):
        check_room(model, settings(model, 1e-5), free=2e9, total=2e9)


class GPU:
    """A GPU of `total` bytes, `free` of them free, as far as `_start` asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: float, total: float) -> None:
        from contextlib import nullcontext

        self.emptied = False
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, total))
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: setattr(self, "emptied", True))
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())

    @staticmethod
    def engine(model: Any, utilization: float) -> Any:
        made = object.__new__(vllm_colocate.Colocated)
        made.model, made.settings, made.on_cpu, made.rank, made.folder = (
            lambda: model,
            settings(model, utilization),
            False,
            8,
            Path("nowhere"),
        )
        return made


def test_the_room_is_asked_before_vllm_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)  # to import it would be another error
    gpu = GPU(monkeypatch, 2e9, 2e9)
    with pytest.raises(VLLMError, match="too little to start"):
        gpu.engine(with_adapter(), 1e-5)._start()
    assert gpu.emptied


def test_a_start_that_fails_names_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: Any) -> None:
        raise RuntimeError("no room, says vLLM")

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=fail))
    monkeypatch.setattr(vllm_, "forget_groups", lambda: None)
    with pytest.raises(
        VLLMError,
        match=r"(?s)no room, says vLLM.*raise vllm_gpu_memory_utilization.*lower "
        r"vllm_gpu_memory_utilization.*native",
    ):
        GPU(monkeypatch, 20e9, 20e9).engine(with_adapter(), 0.3)._start()


# ---------------------------------------------------------------------------------- before loading


def test_without_vllm_there_is_one_error_with_the_command_before_weights_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from workbench.policy import load, load_policy

    monkeypatch.setattr(vllm_checks, "find_spec", lambda name: None)
    monkeypatch.setattr(load, "_read", lambda *a: pytest.fail("weights were read"))
    with pytest.raises(VLLMError, match=r"pip install 'grpo-workbench\[vllm\]'"):
        load_policy("embedded", config=GRPOConfig(rollout_engine="vllm"))
    with pytest.raises(VLLMError, match="not installed"):
        make_engine("vllm", build("llama"), EOS, PAD)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import _vllm_C_that_is_not_there", "ModuleNotFoundError: No module named '_vllm_C"),
        (
            "raise OSError('libcudart.so.12: cannot open\\n shared object file')",
            "cannot open shared",
        ),
        ("raise RuntimeError('built for another torch')", "RuntimeError: built for another torch"),
        ("raise ImportError", "ImportError: no reason is given"),
        ("", "AttributeError: module 'vllm' has no attribute 'LLM'"),
    ],
)
def test_a_vllm_that_cannot_be_imported_is_one_sentence_before_weights_load(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.policy import load, load_policy

    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(code + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "vllm", None)  # so that the module of this test is forgotten
    monkeypatch.delitem(sys.modules, "vllm")
    monkeypatch.setattr(load, "_read", lambda *a: pytest.fail("weights were read"))
    for start in (
        lambda: load_policy("embedded", config=GRPOConfig(rollout_engine="vllm")),
        lambda: make_engine("vllm", build("llama"), EOS, PAD),
    ):
        with pytest.raises(VLLMError) as e:
            start()
        assert said in str(e.value)
        assert "\n" not in str(e.value)
        assert "rollout_engine='native'" in str(e.value)
        assert "pip install 'grpo-workbench[vllm]'" in str(e.value)
    GRPOConfig(rollout_engine="vllm")  # and a server elsewhere needs no vLLM here
    check_engine(
        GRPOConfig(
            rollout_engine="vllm",
            vllm_mode="server",
            vllm_server_base_url="http://localhost:1",
            lora_rank=8,
        )
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(lora_rank=8, use_dora=True), "does not serve DoRA"),
        (dict(vllm_mode="server", vllm_server_base_url="http://localhost:1"), "never all weights"),
        (dict(lora_rank=1024), "up to rank 512"),
        (dict(top_k=5), "top_k=5 .*cut distribution"),
        (dict(top_p=0.9), "top_p=0.9.*cut distribution"),
        (dict(temperature=3.0), "temperature=3.0"),
    ],
)
@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
def test_the_config_alone_tells_what_cannot_work(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_checks, "find_spec", lambda name: object())
    with pytest.raises(VLLMError, match=message):
        check_engine(GRPOConfig(rollout_engine="vllm", **changes))
    check_engine(GRPOConfig(lora_rank=8))


def test_other_engines_ask_nothing_of_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_checks, "find_spec", lambda name: None)
    check_engine(GRPOConfig())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(use_dora=True), "uses DoRA"),
        (dict(bias="all"), "trains biases"),
        (dict(modules_to_save=["lm_head"]), "trains whole modules"),
        (dict(r=600), "rank 600"),
    ],
)
def test_adapters_that_vllm_would_get_wrong_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(VLLMError, match=message):
        adapter_rank(with_adapter(**options))


def test_what_is_trained_beside_the_adapter_is_refused() -> None:
    model = with_adapter()
    model.get_base_model().model.norm.weight.requires_grad_(True)
    with pytest.raises(VLLMError, match=r"not all that is trained: .*norm\.weight"):
        adapter_rank(model)


def test_ranks_are_rounded_up_to_those_of_vllm() -> None:
    assert [adapter_rank(with_adapter(r=r)) for r in (1, 4, 8, 9)] == [1, 8, 8, 16]
    assert adapter_rank(with_adapter(r=4, rank_pattern={"q_proj": 20})) == 32
    assert adapter_rank(build("llama")) == 0


def test_sampling_whose_logps_would_be_of_another_distribution_is_refused() -> None:
    check_sampling(Sampling(4, temperature=0.7), processed=True)
    check_sampling(Sampling(4, temperature=0.0, top_p=0.5), processed=True)
    check_sampling(Sampling(4, temperature=1.0, top_k=5), processed=False)
    for cut in (Sampling(4, top_p=0.9), Sampling(4, top_k=5)):
        with pytest.raises(VLLMError, match="cut"):
            check_sampling(cut, processed=True)
    with pytest.raises(VLLMError, match="--logprobs-mode processed_logprobs"):
        check_sampling(Sampling(4, temperature=0.7), processed=False)
    for temperature in (0.005, 3.0):
        with pytest.raises(VLLMError, match=r"0 or at 0\.01 to 2"):
            check_sampling(Sampling(4, temperature=temperature), processed=True)


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_an_engine_that_computes_something_else_is_refused(value: float) -> None:
    with pytest.raises(VLLMError, match="differ by"):
        check_agreement(torch.full((4,), value), torch.zeros(4), 0.25, "it", "Do that.")
    check_agreement(torch.full((4,), 0.2), torch.zeros(4), 0.25, "it", "Do that.")


# ----------------------------------------------------------------------------------------- weights


def test_no_change_goes_unseen() -> None:
    """Not even one that leaves no trace in torch's version counter, as those of 8-bit optimizers,
    nor a swap of two values."""
    model = with_adapter(init_lora_weights=False)
    weight = next(p for p in model.parameters() if p.requires_grad)
    before, base = fingerprint(model, trained=True), fingerprint(model, trained=False)
    assert before == fingerprint(model, trained=True)
    version, numbers = weight._version, weight.detach().numpy()
    numbers[0, 0] += 1e-3
    assert weight._version == version
    assert fingerprint(model, trained=True) != before
    numbers[0, 0] = numbers[0, 0] - 1e-3
    before = fingerprint(model, trained=True)
    with torch.no_grad():
        weight.copy_(weight.flip(0))
    assert fingerprint(model, trained=True) != before
    assert fingerprint(model, trained=False) == base
    with torch.no_grad():
        model.get_base_model().lm_head.weight[0, 0] += 1
    assert fingerprint(model, trained=False) != base


def test_the_base_has_the_names_of_a_checkpoint_and_its_own_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    plain = build("llama")
    plain.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    found = dict(base_weights(with_adapter(init_lora_weights=False)))
    assert saved.keys() <= found.keys()
    assert not [name for name in found if "lora" in name or "base_layer" in name]
    assert all(torch.equal(found[name], tensor) for name, tensor in saved.items())


def test_saving_the_adapter_touches_no_weight_and_keeps_its_scale(tmp_path: Path) -> None:
    model = with_adapter(init_lora_weights=False, use_rslora=True, lora_alpha=7)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    save_adapter(model, tmp_path / "a")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (
        config["r"],
        config["lora_alpha"],
        config["use_rslora"],
        config["init_lora_weights"],
    ) == (4, 7, True, True)


# ------------------------------------------------------------------------------------------ server


@pytest.fixture
def stand_in() -> Iterator[tuple[StandIn, str]]:
    state = StandIn()
    with answering(state) as url:
        yield state, url


def test_a_rollout_from_a_server(stand_in: tuple[StandIn, str]) -> None:
    state, url = stand_in
    engine = engine_at(url + "/v1/", state.model)
    first = engine.generate(
        ragged_prompts(), 3, Sampling(16, temperature=1.3), torch.Generator().manual_seed(0)
    )
    expected = full_forward_logp(state.model, first, 1.3)
    torch.testing.assert_close(first.sampler_logp_BT, expected, atol=1e-4, rtol=0)
    again = engine.generate(
        ragged_prompts(), 3, Sampling(16, temperature=1.3), torch.Generator().manual_seed(0)
    )
    assert first.completion_lists() == again.completion_lists()
    assert len({body["seed"] for body in state.seen[-5:]}) == 5
    assert len(state.adapters) == 1, "no change, no new adapter"
    greedy = engine.generate(ragged_prompts(), 2, Sampling(8, temperature=0.0), torch.Generator())
    native = make_engine("native", state.model, EOS, PAD).generate(
        ragged_prompts(), 2, Sampling(8, temperature=0.0), torch.Generator()
    )
    assert greedy.completion_lists() == native.completion_lists()


def test_a_changed_adapter_gets_a_new_name_and_the_old_one_leaves(
    stand_in: tuple[StandIn, str],
) -> None:
    state, url = stand_in
    engine = engine_at(url, state.model)
    [before] = state.adapters
    with torch.no_grad():
        next(p for p in state.model.parameters() if p.requires_grad).mul_(1.1)
    engine.generate(ragged_prompts(), 1, Sampling(4), torch.Generator())
    [after] = state.adapters
    assert after != before
    assert state.seen[-1]["model"] == after
    [server] = engine._server._all
    folder = server.folder
    assert [p.name for p in folder.iterdir()] == [after]
    engine.free()
    assert state.adapters == []
    assert not folder.exists()


def test_a_server_can_be_stopped_in_the_middle(stand_in: tuple[StandIn, str]) -> None:
    state, url = stand_in
    stopped = threading.Event()
    engine = engine_at(url, state.model, should_stop=stopped.is_set)
    state.slow = 3.0
    threading.Timer(0.3, stopped.set).start()
    began = time.monotonic()
    with pytest.raises(RolloutCancelledError):
        engine.generate(ragged_prompts(), 1, Sampling(4), torch.Generator())
    assert time.monotonic() - began < 2.5


def test_a_server_that_cannot_do_it_is_named_within_seconds(stand_in: tuple[StandIn, str]) -> None:
    state, url = stand_in
    began = time.monotonic()
    with pytest.raises(VLLMError, match=r"does not answer .* vllm serve MODEL --enable-lora"):
        engine_at("http://127.0.0.1:9", state.model)
    with pytest.raises(VLLMError, match="is no address"):
        engine_at("localhost:8000", state.model)
    state.takes_adapters = False
    with pytest.raises(VLLMError, match=r"404: Not Found(?s:.*)VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        engine_at(url, state.model)
    state.takes_adapters, state.max_model_len = True, 40
    with pytest.raises(VLLMError, match="--max-model-len 48"):
        engine_at(url, state.model)
    state.max_model_len, state.lists_models = 64, False
    with pytest.raises(VLLMError, match="lists no model"):
        engine_at(url, state.model)
    state.lists_models = True
    other = with_adapter(init_lora_weights=False)
    with torch.no_grad():
        other.get_base_model().lm_head.weight.copy_(
            other.get_base_model().lm_head.weight.flip(0) * 3
        )
    with pytest.raises(VLLMError, match=r"computes something else(?s:.*)serves 'base'"):
        engine_at(url, other)
    assert time.monotonic() - began < 10


def test_a_server_that_reports_raw_logps_serves_temperature_1_alone(
    stand_in: tuple[StandIn, str],
) -> None:
    state, url = stand_in
    state.processed = False
    engine = engine_at(url, state.model)
    engine.generate(ragged_prompts(), 1, Sampling(4, temperature=1.0), torch.Generator())
    with pytest.raises(VLLMError, match="--logprobs-mode processed_logprobs"):
        engine.generate(ragged_prompts(), 1, Sampling(4, temperature=0.7), torch.Generator())


def test_a_policy_without_an_adapter_is_refused_by_a_server(stand_in: tuple[StandIn, str]) -> None:
    with pytest.raises(VLLMError, match="takes adapters only"):
        engine_at(stand_in[1], build("llama"))


# ------------------------------------------------------------------------------------------- sleep


def test_sleep_comes_once_after_the_rollouts_and_waking_before_the_next() -> None:
    """The order of the calls, on a stand-in: sleeping for real needs CUDA."""
    from types import SimpleNamespace

    from workbench.rollout.vllm.colocate import Colocated, Settings

    calls: list[str] = []
    engine = SimpleNamespace(
        sleep=lambda level: calls.append(f"sleep {level}"),
        wake_up=lambda: calls.append("wake"),
        collective_rpc=lambda *a, **k: calls.append("load"),
        reset_prefix_cache=lambda: calls.append("reset") is None,
    )
    colocated = Colocated.__new__(Colocated)
    colocated.llm, colocated.settings = (
        SimpleNamespace(llm_engine=engine),
        Settings(64, 4, 0.3, True, torch.float32),
    )
    (
        colocated.asleep,
        colocated.rank,
        colocated.base_known,
        colocated.trained_known,
        colocated.adapter,
    ) = False, 0, None, None, None
    model = build("llama")
    colocated.sync(model)
    colocated.sleep()
    colocated.sleep()
    colocated.sync(model)
    colocated.sync(model)
    assert calls == ["load", "reset", "sleep 1", "wake"]
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    colocated.sync(model)
    assert calls[4:] == ["load", "reset"]
