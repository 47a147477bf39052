"""A few random kills of a real process; the long campaign is `python tests/kill_and_resume.py`."""

from pathlib import Path

import pytest
from kill_and_resume import campaign


@pytest.mark.slow
def test_killed_runs_end_as_if_left_alone(tiny_folder: Path) -> None:
    kills, runs = campaign(tiny_folder, kills=10, seed=1)
    assert kills >= 10
    assert runs >= 1
