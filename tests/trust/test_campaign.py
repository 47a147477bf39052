"""The short form of the campaign of mishaps; the long one is `python tests/trust/campaign.py
--long`, and `docs/promises.md` says when it ran and what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trust.parts import PARTS

CAMPAIGN = Path(__file__).with_name("campaign.py")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the disk that fails is Linux's"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one campaign came to: all parts share its start, most of which is the import of
    torch."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        message = "needs a C compiler for the disk that fails"
        (pytest.fail if os.environ.get("WORKBENCH_REQUIRE_ALL") else pytest.skip)(message)
    out = tmp_path_factory.mktemp("campaign") / "found.json"
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert out.is_file(), done.stdout[-2000:] + done.stderr[-2000:]
    return dict(json.loads(out.read_text()))


@pytest.mark.parametrize("part", PARTS)
def test_nothing_went_wrong(found: dict[str, Any], part: str) -> None:
    if part not in found["parts"]:
        assert part == "small disk", "every other part can be tried everywhere"
        pytest.skip("only root may make a small disk")
    wrong = [one for one in found["wrong"] if one["part"] == part]
    assert not wrong, json.dumps(wrong, indent=1)[:4000]


def test_the_disk_really_failed_and_processes_really_died(found: dict[str, Any]) -> None:
    """A campaign that breaks nothing proves nothing."""
    operations = found["parts"]["operations"]
    assert operations["one error"] > 10
    assert operations["killed"] > 5
    assert found["parts"]["damage"]["gone on, the same"] > 2
