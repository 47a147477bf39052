"""The default run gives the committed curve: see make_curve.py."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from make_curve import COLUMNS, CURVE, STEPS, curve, made_with

FIRST_STEPS = 3
"""Where bits may differ, only these are compared: from the first token on that is sampled
otherwise, two runs are two runs."""


@pytest.mark.slow
def test_the_default_run_gives_the_committed_curve(tmp_path: Path) -> None:
    committed = json.loads(CURVE.read_text())
    steps = curve(tmp_path / "run")
    if made_with() == committed["made_with"]:
        assert steps == committed["steps"]
        return
    warnings.warn(
        f"the committed curve was made with {committed['made_with']}, this is {made_with()}: only "
        f"the first {FIRST_STEPS} steps are compared, to a relative 1e-3",
        stacklevel=1,
    )
    for name in COLUMNS:
        expected = committed["steps"][name][:FIRST_STEPS]
        assert steps[name][:FIRST_STEPS] == pytest.approx(expected, rel=1e-3, abs=1e-5), name


def test_the_committed_curve_is_whole() -> None:
    committed = json.loads(CURVE.read_text())
    assert set(committed["made_with"]) == {"torch", "transformers", "processor"}
    assert {name: len(values) for name, values in committed["steps"].items()} == dict.fromkeys(
        COLUMNS, STEPS
    )
