"""Disks that are really too small, and a folder that may really not be written to: file systems in
memory, which only root may make."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trust.campaign import Campaign
from trust.lives import live
from trust.operations import outcome_of
from trust.scene import Scene, verdict
from trust.verdict import told_badly

KILOBYTES = (16, 100, 150, 200, 300, 400, 600, 800, 1000, 1300, 1600, 2000, 2500, 3000)
"""From one on which not even the record finds room to one on which all is."""


def small_disks(campaign: Campaign) -> None:
    """A run on disks of many sizes, which then get larger; and one on a disk that is read alone."""
    with campaign.folder() as place:
        if not _may_mount(place):
            print("small disk: left out, it takes root and Linux", flush=True)
            return
    scene = Scene.of(campaign)
    for size in KILOBYTES if campaign.long else KILOBYTES[1::5]:
        campaign.trial("small disk", f"{size} kB", lambda size=size: _small(campaign, scene, size))
    campaign.trial("small disk", "read alone", lambda: _read_alone(campaign, scene))


def _mounted(*words: object) -> bool:
    return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode == 0


def _may_mount(place: Path) -> bool:
    if not _mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", place):
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True


@contextmanager
def _disk(campaign: Campaign, size: int) -> Iterator[Path]:
    with campaign.folder() as place:
        assert _mounted("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place)
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)


def _small(campaign: Campaign, scene: Scene, size: int) -> dict[str, object]:
    with _disk(campaign, size) as place:
        end = live(scene.train(place / "run"), scene.place)
        wrong = told_badly(end)
        assert _mounted("-o", "remount,size=20m", place)
        resumed, after = scene.goes_on(place / "run", scene.place)
        if not after and resumed.code != 0:
            after = f"it does not go on: {resumed.errors}"
        outcome = "passed, with a notice" if "notice" in end.said else outcome_of(end)
        return verdict(outcome, wrong, after, said="".join(end.errors)[:300])


def _read_alone(campaign: Campaign, scene: Scene) -> dict[str, object]:
    with _disk(campaign, 20_000) as place:
        scene.half_way(place / "run")
        assert _mounted("-o", "remount,ro", place)
        end = live(scene.train(place / "run"), scene.place)
        listed = live(["runs", str(place)], scene.place)
        wrong = told_badly(end) or ("" if end.errors else "it went on where nothing can be written")
        if not wrong and (listed.code or "Traceback" in listed.said):
            wrong = f"it cannot be read there: {listed.said[-300:]}"
        assert _mounted("-o", "remount,rw", place)
        resumed, after = scene.goes_on(place / "run", scene.place)
        if not after and resumed.code != 0:
            after = f"it does not go on: {resumed.errors}"
        return verdict(outcome_of(end), wrong, after, said="".join(end.errors)[:300])
