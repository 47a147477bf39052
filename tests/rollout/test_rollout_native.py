"""The native engine: identical to `model.generate`, and its record identical to a full forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rollout.tiny_models import (
    EOS,
    FULL_ATTENTION,
    PAD,
    V,
    build,
    full_forward_logp,
    ragged_prompts,
)
from torch import Tensor

from workbench.rollout import RolloutCancelledError
from workbench.rollout.native import NativeEngine
from workbench.rollout.types import Rollout, Sampling

GREEDY = Sampling(16, temperature=0.0)
WARM = Sampling(16, temperature=1.3)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _rollout(
    model: Any, sampling: Sampling = WARM, generations: int = 4, seed: int = 0, **options: Any
) -> Rollout:
    return NativeEngine(model, EOS, PAD, **options).generate(
        ragged_prompts(), generations, sampling, _generator(seed)
    )


def _hf_greedy(
    model: Any, prompts: list[list[int]], tokens: int, eos: tuple[int, ...] = EOS
) -> list[list[int]]:
    """`model.generate`, one prompt at a time: no padding and no batch that could share an error
    with ours."""
    completions = []
    for prompt in prompts:
        ids = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=list(eos),
            pad_token_id=PAD,
        )
        completions.append(ids[0, len(prompt) :].tolist())
    return completions


@pytest.mark.parametrize("name", FULL_ATTENTION)
def test_greedy_is_token_for_token_what_generate_gives(name: str) -> None:
    model = build(name)
    rollout = _rollout(model, GREEDY, generations=1)
    assert rollout.completion_lists() == _hf_greedy(model, ragged_prompts(), 16)


@pytest.mark.parametrize("name", FULL_ATTENTION)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_recorded_logp_is_that_of_a_full_forward(name: str, attention: str) -> None:
    """The test of cache, mask, positions and compaction at once: rows end at very different times
    here."""
    model = build(name)
    model.set_attn_implementation(attention)
    rollout = _rollout(model)
    assert len(rollout.lengths_B.unique()) > 3
    torch.testing.assert_close(
        rollout.sampler_logp_BT, full_forward_logp(model, rollout, 1.3), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("fullgraph", [True, False])
def test_both_forms_of_the_mask_give_the_same(
    fullgraph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that transformers cannot compile gets the 2D mask."""
    model = build("llama")
    monkeypatch.setattr(type(model), "_can_compile_fullgraph", fullgraph)
    rollout = _rollout(model)
    torch.testing.assert_close(
        rollout.sampler_logp_BT, full_forward_logp(model, rollout, 1.3), atol=1e-5, rtol=0
    )


def test_prompts_of_one_length_need_no_mask_and_are_still_right() -> None:
    model = build("qwen2")
    rollout = NativeEngine(model, EOS, PAD).generate(
        ragged_prompts((6, 6, 6)), 3, WARM, _generator()
    )
    assert rollout.prompt_mask_NP.all()
    torch.testing.assert_close(
        rollout.sampler_logp_BT, full_forward_logp(model, rollout, 1.3), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "options", [{"compact_below": 0.0}, {"compact_below": 1.0}, {"check_every": 5}], ids=str
)
def test_when_rows_leave_the_batch_changes_nothing(name: str, options: dict[str, Any]) -> None:
    model = build(name)
    plain, other = _rollout(model), _rollout(model, **options)
    assert plain.completion_lists() == other.completion_lists()
    torch.testing.assert_close(plain.sampler_logp_BT, other.sampler_logp_BT, atol=1e-5, rtol=0)


def test_finished_rows_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    rows: list[int] = []
    forward = type(model).forward

    def counting(self: Any, input_ids: Tensor, **kwargs: Any) -> Any:
        rows.append(len(input_ids))
        return forward(self, input_ids=input_ids, **kwargs)

    # Made first: it tries both of its decoders.
    engine = NativeEngine(model, EOS, PAD, compact_below=1.0)
    monkeypatch.setattr(type(model), "forward", counting)
    monkeypatch.setattr(counting, "__wrapped__", forward, raising=False)
    rollout = engine.generate(ragged_prompts(), 4, WARM, _generator())
    lengths = rollout.lengths_B
    assert rows[0] == 5, "each prompt is prefilled once"
    assert rows[1:] == [int((lengths > t).sum()) for t in range(1, int(lengths.max()))]


def test_equal_prompts_share_one_prefill_and_sample_apart() -> None:
    model, prompt = build("llama"), ragged_prompts((4,))[0]
    together = NativeEngine(model, EOS, PAD).generate([prompt, prompt], 4, WARM, _generator())
    assert torch.equal(together.prompt_ids_NP, torch.tensor([prompt, prompt]))
    assert len({tuple(c) for c in together.completion_lists()}) > 4
    as_one = NativeEngine(model, EOS, PAD).generate([prompt], 8, WARM, _generator())
    assert as_one.completion_lists() == together.completion_lists()


def test_rows_of_one_prompt_differ_when_sampled_and_agree_when_greedy() -> None:
    model = build("llama")
    sampled = _rollout(model, generations=6).completion_lists()
    greedy = _rollout(model, GREEDY, generations=3).completion_lists()
    for first in range(0, len(sampled), 6):
        assert len({tuple(c) for c in sampled[first : first + 6]}) > 2
    for first in range(0, len(greedy), 3):
        assert greedy[first] == greedy[first + 1] == greedy[first + 2]


def test_end_tokens_masks_padding_and_truncation() -> None:
    rollout = _rollout(build("llama"))
    assert rollout.completion_ids_BT.shape == (20, int(rollout.lengths_B.max()))
    assert 0 < int(rollout.truncated_B.sum()) < 20
    for row, ids in enumerate(rollout.completion_lists()):
        ends = [i for i, token in enumerate(ids) if token in EOS]
        assert rollout.truncated_B[row] == (not ends)
        assert ends == [] if rollout.truncated_B[row] else ends == [len(ids) - 1], (
            "the end token is the last one kept"
        )
        assert len(ids) == 16 or not rollout.truncated_B[row]
    assert (rollout.completion_ids_BT[~rollout.mask_BT] == PAD).all()
    assert (rollout.sampler_logp_BT[~rollout.mask_BT] == 0).all()
    assert (rollout.sampler_logp_BT[rollout.mask_BT] < 0).all()
    assert rollout.sampler_logp_BT.dtype == torch.float32


def test_an_end_token_at_the_last_place_is_no_truncation() -> None:
    model, prompts = build("llama"), ragged_prompts()
    greedy = _hf_greedy(model, prompts, 4, eos=())
    last = tuple(
        {completion[3] for completion in greedy} - {token for c in greedy for token in c[:3]}
    )
    assert last, "some completion's fourth token comes for the first time"
    rollout = NativeEngine(model, last, PAD).generate(
        prompts, 1, Sampling(4, temperature=0.0), _generator()
    )
    assert rollout.lengths_B.tolist() == [4] * 5
    assert rollout.truncated_B.tolist() == [completion[3] not in last for completion in greedy]


def test_padding_may_be_an_end_token() -> None:
    model = build("llama")
    rollout = NativeEngine(model, EOS, EOS[0]).generate(ragged_prompts(), 4, WARM, _generator())
    assert rollout.completion_lists() == _rollout(model).completion_lists()


def test_one_token_and_no_end_token_at_all() -> None:
    model = build("llama")
    one = NativeEngine(model, EOS, PAD).generate(ragged_prompts(), 2, Sampling(1), _generator())
    assert one.completion_ids_BT.shape == (10, 1)
    endless = NativeEngine(model, (), PAD).generate(ragged_prompts(), 2, WARM, _generator())
    assert endless.truncated_B.all()
    assert endless.mask_BT.all()
    assert endless.completion_ids_BT.shape == (10, 16)


def test_the_same_generator_state_gives_the_same_rollout() -> None:
    model = build("llama")
    torch.manual_seed(1)
    first = _rollout(model)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = _rollout(model)
    assert torch.equal(first.completion_ids_BT, second.completion_ids_BT)
    assert torch.equal(first.sampler_logp_BT, second.sampler_logp_BT)
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left alone"
    assert first.completion_lists() != _rollout(model, seed=1).completion_lists()


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_the_rest_of_the_batch_does_not_change_a_greedy_row(name: str) -> None:
    model, prompts = build(name), ragged_prompts()
    together = (
        NativeEngine(model, EOS, PAD).generate(prompts, 1, GREEDY, _generator()).completion_lists()
    )
    alone = [
        NativeEngine(model, EOS, PAD).generate([p], 1, GREEDY, _generator()).completion_lists()[0]
        for p in prompts
    ]
    assert together == alone


def test_a_rollout_uses_the_weights_of_the_moment() -> None:
    model = build("llama")
    engine = NativeEngine(model, EOS, PAD)
    before = engine.generate(ragged_prompts(), 4, WARM, _generator())
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(-1)
    after = engine.generate(ragged_prompts(), 4, WARM, _generator())
    assert before.completion_lists() != after.completion_lists()
    torch.testing.assert_close(
        after.sampler_logp_BT, full_forward_logp(model, after, 1.3), atol=1e-5, rtol=0
    )


def test_a_lora_adapter_is_active_in_the_rollout() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        build("llama"), LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)
    )
    rollout = _rollout(model.eval())
    torch.testing.assert_close(
        rollout.sampler_logp_BT, full_forward_logp(model, rollout, 1.3), atol=1e-5, rtol=0
    )
    with model.disable_adapter():
        assert _rollout(model).completion_lists() != rollout.completion_lists()


def test_dropout_is_off_and_every_module_gets_its_mode_back() -> None:
    model = build("gpt2").train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    rollout = _rollout(model)
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(
        rollout.sampler_logp_BT, full_forward_logp(model.eval(), rollout, 1.3), atol=1e-5, rtol=0
    )


def test_the_tensors_serve_as_constants_in_training() -> None:
    model = build("llama")
    rollout = _rollout(model)
    logits = model(rollout.completion_ids_BT).logits
    assert not rollout.sampler_logp_BT.requires_grad
    assert not rollout.sampler_logp_BT.is_inference()
    (logits.logsumexp(-1) * rollout.sampler_logp_BT).sum().backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0


def test_a_rollout_can_be_cancelled_between_two_tokens() -> None:
    model = build("llama").train()
    calls: list[int] = []
    engine = NativeEngine(
        model, EOS, PAD, should_stop=lambda: len(calls) >= 3 or calls.append(0) is not None
    )
    with pytest.raises(RolloutCancelledError):
        engine.generate(ragged_prompts(), 2, WARM, _generator())
    assert model.training
    engine.should_stop = None
    assert engine.generate(ragged_prompts(), 2, WARM, _generator()).completion_ids_BT.shape[0] == 10


def test_weights_that_are_not_numbers_are_reported_with_the_place() -> None:
    model = build("llama")
    with torch.no_grad():
        model.lm_head.weight[V - 1] = torch.nan
    with pytest.raises(FloatingPointError, match="nan for token 0 of completion 0 of prompt 0"):
        _rollout(model)


def test_whoever_looks_sees_a_completion_grow_and_changes_no_token() -> None:
    model = build("llama")
    looks: list[tuple[int, list[int]]] = []
    engine = NativeEngine(model, EOS, PAD)
    engine.on_look = lambda look: looks.append((look.finished, look.written()))
    watched = engine.generate(ragged_prompts(), 4, WARM, _generator(9))
    alone = _rollout(model, seed=9)
    assert torch.equal(watched.completion_ids_BT, alone.completion_ids_BT)
    assert torch.equal(watched.sampler_logp_BT, alone.sampler_logp_BT)
    # Each look has one token more, of a completion that is there in the end: the same one until it
    # has ended, then another.
    completions = watched.completion_lists()
    followed = [
        next(row for row, ids in enumerate(completions) if ids[: t + 1] == written[: len(ids)])
        for t, (_, written) in enumerate(looks)
    ]
    assert [len(written) for _, written in looks] == list(range(1, len(looks) + 1))
    assert followed == sorted(followed)
    assert 1 < len(set(followed)) < len(completions)
    finished = [done for done, _ in looks]
    assert finished == sorted(finished)
    assert finished[-1] <= len(completions)
