"""The parts of which a team is made, without a second process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import digits_reward
from hypothesis import given
from hypothesis import strategies as st

from workbench.config import METHODS, ConfigError, GRPOConfig
from workbench.distributed.starting import check_devices
from workbench.distributed.tensors import as_bytes, from_bytes, in_buckets, share_out
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.rollout.native import NativeEngine
from workbench.rollout.sampler import uniforms
from workbench.rollout.types import Sampling
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run
from workbench.training.shared.checks import check_shared
from workbench.training.shared.engine import joined


@given(st.lists(st.floats(0, 100), max_size=12), st.integers(1, 4))
def test_shares_are_all_the_work_and_about_equal(costs: list[float], shares: int) -> None:
    found = share_out(costs, shares)
    assert sorted(i for share in found for i in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in found)
    sums = [sum(costs[i] for i in share) for share in found]
    assert max(sums) - min(sums) <= max(costs, default=0) + 1e-9
    if all(costs):
        counts = [len(share) for share in found]
        assert min(counts) >= min(1, len(costs) // shares)


@given(st.lists(st.sampled_from([1, 3, 10, 40]), max_size=12), st.integers(1, 100))
def test_buckets_hold_all_in_order_and_no_more_than_their_limit(sizes: list[int], at_most: int):
    kinds = [torch.float32, torch.float16]
    tensors = [torch.zeros(size, dtype=kinds[size % 2]) for size in sizes]
    buckets = list(in_buckets(tensors, at_most * 4))
    assert [id(t) for bucket in buckets for t in bucket] == [id(t) for t in tensors]
    for bucket in buckets:
        assert len({t.dtype for t in bucket}) == 1
        assert len(bucket) == 1 or sum(t.nbytes for t in bucket) <= at_most * 4


def test_objects_come_back_from_bytes() -> None:
    given = {"a": torch.arange(3), "b": (GRPOConfig(beta=0.5), None)}
    found = from_bytes(as_bytes(given))
    assert torch.equal(found["a"], given["a"])
    assert found["b"] == given["b"]


def test_a_rollout_in_parts_is_the_rollout(tiny_folder: Path) -> None:
    policy = load_policy(tiny_folder)
    engine = NativeEngine(policy.model, policy.eos_token_ids, policy.pad_token_id)
    prompts = [[5, 6, 7], [8, 9], [5, 6, 7], [10]]
    how = Sampling(12)
    whole = engine.generate(prompts, 3, how, torch.Generator().manual_seed(3))
    parts = []
    for places in ([0, 3], [1, 2]):
        rows = [place * 3 + i for place in places for i in range(3)]

        def draw(count, generator, device, rows=rows):
            return uniforms(12, generator, device)[rows]

        own = [prompts[i] for i in places]
        generator = torch.Generator().manual_seed(3)
        parts.append((places, engine.generate(own, 3, how, generator, draw)))
    found = joined(prompts, parts, policy.pad_token_id)
    for name in ("prompt_ids_NP", "prompt_mask_NP", "completion_ids_BT", "mask_BT", "truncated_B"):
        assert torch.equal(getattr(found, name), getattr(whole, name)), name
    torch.testing.assert_close(found.sampler_logp_BT, whole.sampler_logp_BT)


@pytest.mark.parametrize(
    ("words", "settings", "others"),
    [
        ("rollout_engine='native'", {"rollout_engine": "transformers"}, {}),
        (
            "rollout_staleness=0",
            {"rollout_staleness": 1, "importance_sampling_mode": "token_mask"},
            {},
        ),
        ("a critic beside the policy", {"method": "ppo"}, {}),
        ("a teacher beside the policy", {"method": "distill", "teacher": "embedded"}, {}),
        ("into one process", {}, {"fault": "reward_always_one"}),
        ("at least 1", {}, {"processes": 0}),
    ],
)
def test_what_is_not_shared_out_is_refused_by_name(
    tmp_path: Path, words: str, settings: dict, others: dict
) -> None:
    method = METHODS[settings.get("method", "grpo")]
    config = GRPOConfig(**{"max_steps": 1, **method.sets, **settings})
    with pytest.raises(ConfigError, match=words):
        start_run(
            tmp_path / "run",
            policy=load_policy("embedded"),
            task=arithmetic_task(0, 16, 4),
            rewards=RewardSet(digits_reward),
            config=config,
            **{"processes": 2, **others},
        )
    assert not (tmp_path / "run").exists()


def test_vllm_in_the_leaders_process_is_refused_and_servers_are_not() -> None:
    with pytest.raises(ConfigError, match="vllm_mode='server'"):
        check_shared(GRPOConfig(rollout_engine="vllm", lora_rank=4), None)
    servers = dict(vllm_mode="server", vllm_server_base_url="http://localhost:8000")
    check_shared(GRPOConfig(rollout_engine="vllm", lora_rank=4, **servers), None)


def test_processes_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices(2, torch.device("cuda"))
    check_devices(3, torch.device("cpu"))
    with pytest.raises(ConfigError, match="there are 2 GPUs"):
        check_devices(3, torch.device("cuda"))
    with pytest.raises(ConfigError, match="processes=1"):
        check_devices(2, torch.device("mps"))


def test_another_number_than_torchruns_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from workbench.training.shared import trainer_of

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="torchrun has started 4"):
        trainer_of(2)
