"""A reward function that keeps Python's interpreter to itself is named from outside."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from made_runs import make_run

from workbench.commands.doctor import run_command
from workbench.rewards import RewardError, RewardSet
from workbench.rewards import watchdog as watchdog_module
from workbench.rewards.watchdog import WATCH_FILE, stuck_at

FROZEN = """
import re, sys, threading
from pathlib import Path
from workbench.rewards import RewardSet, watchdog

watchdog.WATCH_AFTER = 0.3

def strict_form(text):
    return bool(re.match(r"(a+)+$", text))

def backtracks(completions, **columns):
    return [float(strict_form("a" * 60 + "b"))] * len(completions)

def session():
    RewardSet(backtracks).score(["p"], ["c"], step=1, timeout=600, watch_file=Path(sys.argv[1]))

threading.Thread(target=session).start()
"""


def test_a_backtracking_expression_of_a_session_is_named_by_the_doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the limit of the session nor an interrupt gets through; the file does."""
    run = make_run(tmp_path / "run")
    place = run.path.parent / WATCH_FILE
    frozen = subprocess.Popen([sys.executable, "-c", FROZEN, str(place)])
    try:
        until = time.monotonic() + 60
        while not stuck_at(place) and time.monotonic() < until:
            time.sleep(0.1)
        where = stuck_at(place)
    finally:
        frozen.kill()
        frozen.wait()
    assert "strict_form" in [frame.partition(" ")[0] for frame in where]
    # What it wrote outlives the kernel, whose restart is the only way out.
    run_command(run.path.parent)
    said = " ".join(capsys.readouterr().out.split())
    assert "strict_form (<string>, line " in said
    assert "Restart the kernel and go on from the last checkpoint" in said


def test_the_file_is_gone_when_the_call_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "WATCH_AFTER", 0.05)
    place = tmp_path / WATCH_FILE
    seen: list[list[str]] = []

    def slow(completions, **columns):
        time.sleep(0.5)
        seen.append(stuck_at(place))
        if len(seen) > 1:
            raise ValueError("no")
        return [1.0] * len(completions)

    # Elsewhere than in the main thread, as a session does; there a signal ends it.
    monkeypatch.setattr("workbench.rewards.time_limit._can_be_signalled", lambda: False)
    rewards = RewardSet(slow)
    rewards.score(["p"], ["c"], step=1, timeout=60, watch_file=place)
    assert not place.exists()
    with pytest.raises(RewardError, match="ValueError: no"):
        rewards.score(["p"], ["c"], step=2, timeout=60, watch_file=place)
    assert not place.exists()
    assert seen[0][0].startswith("slow (")
    # A folder that is gone is the record's business, and no error here.
    with pytest.raises(RewardError, match="ValueError: no"):
        rewards.score(["p"], ["c"], step=3, timeout=60, watch_file=tmp_path / "gone" / WATCH_FILE)


def test_text_that_is_no_stack_says_nothing(tmp_path: Path) -> None:
    place = tmp_path / WATCH_FILE
    assert stuck_at(place) == []
    for text in ("", "Timeout (0:00:30)!\n", '  File "x.py", line 3 in f\n', "\x00\xff" * 9):
        place.write_text(text)
        assert stuck_at(place) == []


def test_a_thousand_names_of_log_metric_leave_room_for_the_steps_own() -> None:
    def logs(completions, log_metric, **columns):
        for number in range(1200):
            log_metric(f"name {number}", 1.0)
        log_metric("name 0", 3.0)
        return [1.0] * len(completions)

    rewards = RewardSet(logs)
    with pytest.warns(UserWarning, match="1200 different names in one step: the first 500"):
        found = rewards.score(["p"], ["c"], step=1).metrics
    assert len(found) == 500
    assert (found["name 0"], found["name 499"]) == (2.0, 1.0)
    # Said once.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewards.score(["p"], ["c"], step=2)
