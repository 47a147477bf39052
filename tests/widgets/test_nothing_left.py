"""A dashboard that was closed leaves no widget, comm or thread; a session that was freed leaves no
file open. The long form is `benchmarks/endurance.py`."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import comm
import pytest
from helpers import digits_reward
from ipywidgets.widgets import widget

from workbench import Dashboard, GRPOConfig, Session
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task

pytestmark = pytest.mark.skipif(
    not hasattr(widget, "_instances"), reason="ipywidgets 7 keeps its widgets elsewhere"
)


def held() -> dict[str, int]:
    gc.collect()
    handles = Path("/proc/self/fd")
    return {
        "widgets": len(widget._instances),
        "comms": len(comm.get_comm_manager().comms),
        "threads": threading.active_count(),
        "handles": len(os.listdir(handles)) if handles.is_dir() else 0,
    }


def watched_run(tiny_folder: Path, out: Path) -> None:
    config = GRPOConfig(
        prompts_per_step=2,
        num_generations=4,
        updates_per_rollout=1,
        max_completion_length=4,
        max_steps=2,
        eval_steps=0,
        num_eval_problems=2,
    )
    task = arithmetic_task(0, 64, 16)
    session = Session(tiny_folder, task, RewardSet(digits_reward), config, out=out)
    board = Dashboard(session)
    session.start().wait()
    for name in range(len(board.tabs.children)):
        board.tabs.selected_index = name
        board.redraw(True)
    branch = session.branch("branch", 1)
    branch.wait()
    other = Dashboard([session, branch])
    other.close()
    board.close()
    branch.free()
    session.free()


def test_a_run_that_was_watched_and_freed_leaves_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    # The first makes what is made once: a pool of threads, a worker that compares answers.
    watched_run(tiny_folder, tmp_path / "a" / "run")
    before = held()
    watched_run(tiny_folder, tmp_path / "b" / "run")
    assert held() == before
