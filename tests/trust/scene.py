"""What the parts of a campaign start from: the workshop, and the undisturbed run. Made once."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trust import disk
from trust.campaign import Campaign
from trust.lives import End, Workshop, live
from trust.verdict import Undisturbed, told_badly


@dataclass(frozen=True)
class Scene:
    """A campaign's workshop and run."""

    place: Path
    workshop: Workshop
    whole: Undisturbed

    @classmethod
    def of(cls, campaign: Campaign) -> Scene:
        """The scene of a campaign."""
        return _made(campaign.place)

    def train(self, out: Path) -> list[str]:
        """The command of the run in a folder."""
        return self.workshop.train(out)

    def export_trl(self, run: Path, out: Path) -> list[str]:
        """The command that exports a run for TRL."""
        task, reward = self.workshop.place / "problems.jsonl", self.workshop.place / "mine.py"
        words = ["export", "trl", run, "--out", out, "--task", task, "--reward", f"{reward}:digits"]
        return [str(word) for word in words]

    def half_way(self, out: Path) -> Path:
        """A run that was killed after the record of step 2, before its checkpoint."""
        return self._killed_before("checkpoints/.writing-step-000002", out)

    def late_copy(self, out: Path) -> Path:
        """A run that was killed after the record of step 3, before its checkpoint."""
        return self._killed_before("checkpoints/.writing-step-000003", out)

    def _killed_before(self, path: str, out: Path) -> Path:
        made = self.place / path.rpartition("-")[2]
        if not made.exists():
            # The first is made for its operations alone.
            run = made.with_name("counted")
            live(self.train(run), self.place, run)
            shutil.rmtree(run)
            done = disk.operations(self.place / "operations")
            n = next(i for i, (_, place) in enumerate(done, 1) if path in place)
            end = live(self.train(run), self.place, run, disk.MISHAPS["killed before it"], n)
            assert end.killed, end
            run.rename(made)
        shutil.copytree(made, out)
        return out

    def finished(self, out: Path) -> Path:
        """A copy of the whole run."""
        shutil.copytree(self.whole.run, out)
        return out

    def goes_on(self, run: Path, logs: Path) -> tuple[End, str]:
        """Go on with a run, undisturbed; how that ended and what is wrong with the result."""
        end = live(self.train(run), logs)
        wrong = told_badly(end)
        if not wrong and end.code == 0:
            wrong = self.whole.differs(run)
        return end, wrong


@functools.cache
def _made(place: Path) -> Scene:
    workshop = Workshop.make(place)
    workshop.warm_up()
    run = place / "whole"
    end = live(workshop.train(run), place)
    assert end.code == 0, end.said
    again = place / "again"
    live(workshop.train(again), place)
    scene = Scene(place, workshop, Undisturbed(run))
    assert not (wrong := scene.whole.differs(again)), wrong
    return scene


def verdict(outcome: str, *wrongs: str, **facts: Any) -> dict[str, Any]:
    """The outcome of a trial, with the first thing that was wrong."""
    return {"outcome": outcome, "wrong": next(filter(None, wrongs), ""), **facts}
