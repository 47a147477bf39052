"""The made runs that other tests stand on: deterministic, and true to themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import PIECES, growing_run, make_run


def test_the_same_arguments_give_the_same_record(tmp_path: Path) -> None:
    one, two, other = (
        make_run(tmp_path / name, steps=5, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one.steps().equals(two.steps())
    assert one.samples(3).equals(two.samples(3))
    assert one.tokens(3).equals(two.tokens(3))
    assert one.evaluations().drop(columns="extra").equals(two.evaluations().drop(columns="extra"))
    assert not one.steps().equals(other.steps())


def test_metrics_samples_and_tokens_agree(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=4, prompts=6, group=3, tokens=12, truncation=0.25)
    row, batch, samples = run.steps().iloc[2], run.batch(3), run.samples(3)
    ratio_BT = np.exp(batch["logp_BT"].astype(float) - batch["old_logp_BT"])
    mask_BT, advantages_B1 = batch["mask_BT"], batch["advantages_B"][:, None]
    assert row["reward"] == pytest.approx(samples["reward"].mean())
    assert row["reward_std"] == pytest.approx(run.groups(3)["std"].mean())
    assert row["truncated_share"] == samples["truncated"].mean() == pytest.approx(4 / 18)
    assert row["ratio_mean"] == pytest.approx(ratio_BT[mask_BT].mean())
    assert row["clip_ratio_low"] == pytest.approx(
        ((ratio_BT < 0.8) & (advantages_B1 < 0))[mask_BT].mean()
    )
    assert row["tokens"] == mask_BT.sum() == samples["length"].sum()
    assert abs(samples.groupby("group")["advantage"].sum()).max() < 1e-6
    assert (
        samples["dead"].tolist()
        == (samples.groupby("group")["reward"].transform("nunique") == 1).tolist()
    )
    for i, text in enumerate(samples["completion"]):
        ids = batch["ids_BT"][i][mask_BT[i]]
        assert text == "".join(PIECES[t] for t in ids if t != 1)
        assert (ids[-1] == 1) == (not samples["truncated"][i])


def test_the_policy_learns(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=40, prompts=8)
    reward = run.steps()["reward"]
    assert reward[-10:].mean() > reward[:10].mean() + 0.3
    assert run.evaluations()["accuracy"].tolist() == [0.3, 0.4, 0.5, 0.6, 0.7]


def test_everything_can_be_overridden(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        steps=3,
        config={"beta": 0.0},
        metrics={"kl": lambda step: step / 10, "loss": [1, 2, 3], "entropy": None},
        rewards=lambda step: np.arange(16) % 4,
        reward_names=["r"],
        texts=lambda step: ["<b>"] * 16,
        knobs={2: {"epsilon": 0.1}},
        logps=lambda step, floats: {
            "logp": floats["old_logp"],
            "advantage": floats["old_logp"] * 0,
        },
        evaluations={3: (1, 2)},
        status="failed",
        reason="because",
    )
    steps = run.steps()
    assert steps["kl"].tolist() == [0.1, 0.2, 0.3]
    assert steps["loss"].tolist() == [1, 2, 3]
    assert "entropy" not in steps
    assert steps["ratio_max"].tolist() == [1, 1, 1]
    assert set(run.samples(2)["completion"]) == {"<b>"}
    assert run.samples(1)["reward"].tolist() == [0, 1, 2, 3] * 4
    assert list(run.tokens(1).columns[4:]) == [
        "sampler_logp",
        "old_logp",
        "logp",
        "entropy",
        "coefficient",
        "advantage",
    ]
    assert run.config_at(2)["epsilon"] == 0.1
    assert run.knobs()[["step", "name", "old", "new"]].values.tolist() == [[2, "epsilon", 0.2, 0.1]]
    assert run.evaluations()["step"].tolist() == [3]
    assert (run.meta.status, run.meta.reason) == ("failed", "because")


def test_a_growing_run_is_live_until_it_ends(tmp_path: Path) -> None:
    live = growing_run(tmp_path / "run")
    live.add(2)
    live.add()
    assert (live.run.last_step(), live.run.meta.status) == (3, "running")
    live.end()
    assert live.run.meta.status == "finished"
    assert make_run(tmp_path / "b", steps=1, status="interrupted").meta.status == "interrupted"
    assert make_run(tmp_path / "c", steps=1, status="running").is_live()
    assert not len(make_run(tmp_path / "d", steps=1, samples=False, keep_tokens=False).samples(1))
