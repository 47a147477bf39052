"""Making the runs: the same numbers in this process and in others, going on after a kill, stopping
cleanly, what fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest

from workbench.config import GRPOConfig
from workbench.experiment import Experiment, ExperimentError, Progress
from workbench.experiment import room as room_module
from workbench.experiment.progress import left_words, seconds_left
from workbench.experiment.room import how_many
from workbench.runs import Run, diff_configs

SMALL = GRPOConfig(
    prompts_per_step=2,
    num_generations=4,
    updates_per_rollout=2,
    max_completion_length=12,
    max_steps=2,
    num_eval_problems=8,
    eval_steps=0,
    save_steps=1,
)


def tags(completions: list[object], **columns: object) -> list[float]:
    """A reward function that other processes cannot have."""
    return [float("<think>" in str(c)) for c in completions]


def fails_at_seed_1(completions: list[object], **columns: object) -> list[float]:
    if not FAULTS:
        return [float(i % 2) for i in range(len(completions))]
    raise ValueError("no such luck")


FAULTS: list[str] = []


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two variants and both controls, one seed, made in this process."""
    out = tmp_path_factory.mktemp("here")
    experiment = Experiment({"A": {}, "B": {"epsilon": 0.05}}, 1, out=out, config=SMALL)
    experiment.run(processes=1)
    return experiment


def rewards_of(folder: Path, step: int) -> pd.DataFrame:
    return Run.open(folder).samples(step)[["problem_id", "completion", "reward"]]


def test_runs_are_normal_runs_that_are_paired(here: Experiment) -> None:
    folders = {name: here.out / f"{name}-seed0" for name in ("A", "B", "shuffled", "random")}
    runs = {name: Run.open(folder) for name, folder in folders.items()}
    assert {run.meta.status for run in runs.values()} == {"finished"}
    assert runs["random"].meta.reward_names == ["coin_for_format_reward", "coin_for_answer_reward"]
    # Only what the variants say differs; the first step's prompts and samples are the same.
    differing = diff_configs([runs["A"], runs["B"]])
    assert set(differing.index) == {"epsilon"}
    first = rewards_of(folders["A"], 1)
    for name in ("B", "shuffled", "random"):
        other = rewards_of(folders[name], 1)
        pd.testing.assert_frame_equal(
            first[["problem_id", "completion"]], other[["problem_id", "completion"]]
        )
    coins = Run.open(folders["random"]).samples(1)["rewards/coin_for_format_reward"]
    assert set(coins) == {0.0, 1.0}
    assert here.result().is_whole
    assert "drew other prompts" not in str(here.result())
    bigger = Experiment(
        {"A": {}, "D": {"prompts_per_step": 4, "max_steps": 1}},
        1,
        (),
        out=here.out,
        config=SMALL,
    )
    assert "D drew other prompts in the first step than A" in str(bigger.run(processes=1))
    # A second call makes nothing.
    records = {name: (folder / "run.sqlite").read_bytes() for name, folder in folders.items()}
    here.run(processes=1)
    assert records == {name: (f / "run.sqlite").read_bytes() for name, f in folders.items()}


def test_a_function_of_this_process_and_a_run_that_fails(tmp_path: Path) -> None:
    experiment = Experiment(
        {"own": {"rewards": tags}, "faulty": {"rewards": fails_at_seed_1}},
        [1],
        (),
        out=tmp_path,
        config=SMALL,
    )
    with pytest.raises(ExperimentError, match="'tags' is a Python function of this process"):
        experiment.run(processes=2)
    FAULTS.append("now")
    with pytest.raises(ExperimentError, match="1 of 2 runs failed. faulty-seed1: .*no such luck"):
        experiment.run()
    assert experiment.progress().done == 1
    assert experiment.status == "failed"
    assert "Runs of faulty failed" in str(experiment.result())
    stored = Experiment.open(tmp_path)
    with pytest.raises(ExperimentError, match="'fails_at_seed_1' of variant 'faulty' is a Python"):
        stored.run()
    FAULTS.clear()
    assert experiment.run().is_whole


def test_a_stop_keeps_what_is_whole_and_the_next_call_goes_on(tmp_path: Path) -> None:
    config = SMALL.replace(max_steps=30)
    experiment = Experiment({"A": {}}, 1, (), out=tmp_path, config=config)
    experiment.start(processes=1)
    deadline = time.monotonic() + 120
    while experiment.progress().steps_done < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    experiment.stop()
    assert not experiment.wait().is_whole
    done = experiment.progress()
    assert done.status == "stopped"
    assert 2 <= done.steps_done < 30
    assert Run.open(tmp_path / "A-seed0").meta.status == "stopped"
    quick = Experiment.open(tmp_path)
    told: list[Progress] = []
    assert quick.run(processes=1, progress=told.append).is_whole
    assert told[-1].status == "finished"
    # Uninterrupted, the same numbers.
    whole = Experiment({"A": {}}, 1, (), out=tmp_path / "whole", config=config)
    whole.run(processes=1)
    pd.testing.assert_frame_equal(
        rewards_of(tmp_path / "A-seed0", 30), rewards_of(tmp_path / "whole" / "A-seed0", 30)
    )


def test_two_processes_on_one_folder_share_the_work(tmp_path: Path) -> None:
    """Each waits for what the other has in hand, however long that takes, and both have all."""
    config = SMALL.replace(max_steps=6)
    asked = [
        Experiment({"A": {}}, 2, (), out=tmp_path, config=config, rewards="format")
        for _ in range(2)
    ]
    # As two processes: a runner of its own each. Both begin at once.
    for one in asked:
        one.start(processes=1)
    assert all(one.wait().is_whole for one in asked)
    for seed in (0, 1):
        run = Run.open(tmp_path / f"A-seed{seed}")
        assert run.steps()["step"].tolist() == [1, 2, 3, 4, 5, 6]
        assert run.meta.environment["variant"]["name"] == "A"


def test_a_metric_that_no_run_has_is_said_after_the_first(tmp_path: Path) -> None:
    experiment = Experiment(
        {"A": {}}, 20, (), out=tmp_path, config=SMALL.replace(max_steps=12), metric="rewrad"
    )
    with pytest.raises(ExperimentError, match="'rewrad' is none that the run"):
        experiment.run(processes=1)
    assert 1 <= experiment.progress().done < 20
    assert not experiment.is_running
    # What was made is not lost.
    assert Experiment.open(tmp_path, metric="reward").result()["A"].values


def test_the_plan_decides_how_many_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variants = Experiment({"A": {}, "B": {"epsilon": 0.1}}, 4, (), out=tmp_path).plan.variants
    need = 10 * 2**30
    monkeypatch.setattr(room_module, "cores", lambda: 8)
    monkeypatch.setattr(room_module, "_memory", lambda variants, on_gpu: (need, 25 * 2**30))
    assert how_many(variants, None, 8) == (
        2,
        "2 at once, not 8 (8 cores): by the plan a run needs up to 10.7 GB, 26.8 GB are free",
    )
    assert how_many(variants, 2, 8)[0] == 2
    assert how_many(variants, 4, 8)[1].startswith("2 at once, not 4 (4 were asked for)")
    assert how_many(variants, None, 1)[0] == 1
    assert how_many(variants, 1, 8) == (1, "one run at a time")
    monkeypatch.setattr(room_module, "_memory", lambda variants, on_gpu: (need, None))
    assert how_many(variants, 3, 8)[0] == 3
    with pytest.raises(ExperimentError, match="processes=0"):
        how_many(variants, 0, 8)


def test_the_time_left_goes_by_the_pace_of_this_sitting() -> None:
    assert seconds_left(30, 10, 5.0) == 15.0
    assert seconds_left(0, 0, 5.0) == 0.0
    assert seconds_left(30, 0, 5.0) is None
    assert left_words(None) == "time left not known yet"
    assert left_words(42) == "about 40 seconds left"
    assert left_words(1500) == "about 25 minutes left"
    assert left_words(9000) == "about 2.5 hours left"


SCRIPT = """
import sys
from workbench.config import GRPOConfig
from workbench.experiment import Experiment

config = GRPOConfig(prompts_per_step=2, num_generations=4, updates_per_rollout=2,
                    max_completion_length=12, max_steps={steps}, num_eval_problems=8, eval_steps=0,
                    save_steps=1)
variants = {{"A": {{}}, "B": {{"epsilon": 0.05}}, "C": {{"rewards": "own_rewards:pays"}}}}
Experiment(variants, 1, out=sys.argv[1], config=config).run(processes=2)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_make_the_same_runs_and_a_kill_loses_none(here: Experiment, tmp_path: Path) -> None:
    """From a script without a guard, beside which its reward lies."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(steps=2)))
    pays = "def pays(completions, **columns):\n    print('aloud')\n    return [1.0] * 8\n"
    (tmp_path / "own_rewards.py").write_text(pays)
    out = tmp_path / "out"
    subprocess.run([sys.executable, str(script), str(out)], check=True, timeout=600)
    assert Run.open(out / "C-seed0").meta.reward_names == ["pays"]
    assert "aloud" in "".join(log.read_text() for log in (out / "logs").iterdir())
    for name in ("A", "B", "shuffled", "random"):
        pd.testing.assert_frame_equal(
            rewards_of(out / f"{name}-seed0", 2), rewards_of(here.out / f"{name}-seed0", 2)
        )
    # Long runs, killed with their parent in the middle, and stopped by Ctrl-C the next time.
    # So long that a busy machine does not end them before it is looked at.
    script.write_text(textwrap.dedent(SCRIPT.format(steps=600)))
    out = tmp_path / "long"
    for how, at_least in ((signal.SIGKILL, 3), (signal.SIGINT, 8)):
        process = subprocess.Popen([sys.executable, str(script), str(out)])
        _wait_steps(out, at_least)
        os.kill(process.pid, how)
        code = process.wait(timeout=300)
        assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    # The workers of the killed parent ended by themselves, those of the stopped one with it.
    made = [Run.open(folder.parent) for folder in sorted(out.glob("*/run.sqlite"))]
    assert len(made) >= 2
    assert not any(run.is_live() for run in made)
    assert "stopped" in {run.meta.status for run in made}
    before = sum(run.last_step() for run in made)
    experiment = Experiment.open(out)
    assert experiment.progress().steps_done == before
    assert experiment.status == "ready"


def _wait_steps(out: Path, at_least: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        is_there = (out / "experiment.json").is_file()
        if is_there and Experiment.open(out).progress().steps_done >= at_least:
            return
        time.sleep(0.2)
    raise AssertionError(f"no {at_least} steps in time")
