"""What befalls a process: it is killed, asked to stop, put to sleep, loses its folder, meets
another one, or its clock goes back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from trust.campaign import Campaign
from trust.lives import End, begin, ended, live
from trust.operations import outcome_of
from trust.scene import Scene, verdict
from trust.verdict import told_badly

from workbench.runs import Run, RunRecordError, is_run_record

KILLS = {False: 15, True: 1_000}
"""In the short form and in the long one."""


def killed_at_random(campaign: Campaign) -> None:
    """Runs that are killed again and again until they come to their end."""
    scene = Scene.of(campaign)
    done = number = 0
    while done < KILLS[campaign.long]:
        found = campaign.trial(
            "kills", f"run {number}", lambda number=number: _killed_run(campaign, scene, number)
        )
        done += int(found.get("kills", 1))
        number += 1


def _killed_run(campaign: Campaign, scene: Scene, number: int) -> dict[str, object]:
    dice = campaign.dice(f"kills {number}")
    kills = 0
    with campaign.folder() as place:
        while kills < 40:
            child = begin(scene.train(place / "run"), scene.place)
            end = _killed(child, dice, scene)
            if not end.killed:
                break
            kills += 1
            if is_run_record(place / "run") and (damage := Run.open(place / "run").damage()):
                return verdict("killed", damage[0], kills=kills)
        _, wrong = scene.goes_on(place / "run", scene.place)
        return verdict("killed and gone on", told_badly(end), wrong, kills=kills)


def _killed(child: int, dice: random.Random, scene: Scene) -> End:
    deadline = time.monotonic() + dice.uniform(0, 0.7) * seconds_of_a_life(scene)
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return ended(child, scene.place)


_seconds: dict[Path, float] = {}


def seconds_of_a_life(scene: Scene) -> float:
    """How long an undisturbed run takes here."""
    if scene.place not in _seconds:
        taken = []
        for number in range(3):
            began = time.monotonic()
            live(scene.train(scene.place / f"timed-{number}"), scene.place)
            taken.append(time.monotonic() - began)
        _seconds[scene.place] = min(taken)
    return _seconds[scene.place]


SIGNALS: dict[str, Sequence[signal.Signals]] = {
    "SIGTERM": [signal.SIGTERM],
    "SIGINT": [signal.SIGINT],
    "SIGINT twice": [signal.SIGINT, signal.SIGINT],
    "SIGTERM, then SIGINT": [signal.SIGTERM, signal.SIGINT],
    "SIGHUP": [signal.SIGHUP],
    "SIGSTOP and SIGCONT": [signal.SIGSTOP, signal.SIGCONT],
}


def signals(campaign: Campaign) -> None:
    """Each signal at random instants of a run."""
    scene = Scene.of(campaign)
    for name, sent in SIGNALS.items():
        for number in range(20 if campaign.long else 1):
            campaign.trial(
                "signals",
                f"{name} {number}",
                lambda name=name, sent=sent, number=number: _signalled(
                    campaign, scene, sent, campaign.dice(f"{name} {number}")
                ),
            )


def _signalled(
    campaign: Campaign, scene: Scene, sent: Sequence[signal.Signals], dice: random.Random
) -> dict[str, object]:
    with campaign.folder() as place:
        run = place / "run"
        child = begin(scene.train(run), scene.place)
        time.sleep(dice.uniform(0, 1) * seconds_of_a_life(scene))
        for one in sent:
            # It may be at its end already, and is then a zombie that takes any signal.
            os.kill(child, one)
            time.sleep(2.0 if one == signal.SIGSTOP else dice.uniform(0, 0.05))
        end = ended(child, scene.place)
        # Before the command has set itself up the system's own answer to a signal holds.
        asleep = end.code < 0 and -end.code in [int(one) for one in sent]
        broken_off = end.code == 130
        wrong = "" if asleep or broken_off else told_badly(end)
        resumed, after = scene.goes_on(run, scene.place)
        if not after and resumed.code != 0:
            after = f"it does not go on: {resumed.errors}"
        outcome = f"ended by {signal.Signals(-end.code).name}" if asleep else outcome_of(end)
        return verdict("broken off" if broken_off else outcome, wrong, after)


def _delete(run: Path) -> None:
    shutil.rmtree(run)


def _delete_record(run: Path) -> None:
    for file in run.glob("run.sqlite*"):
        file.unlink()


def _move(run: Path) -> None:
    run.rename(run.with_name("moved"))


def _delete_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


REMOVALS: dict[str, Callable[[Path], None]] = {
    "folder deleted": _delete,
    "folder moved": _move,
    "record deleted": _delete_record,
    "checkpoints deleted": _delete_checkpoints,
}


def removed(campaign: Campaign) -> None:
    """The folder, the record or the checkpoints go at a random instant of a run."""
    scene = Scene.of(campaign)
    for name in REMOVALS:
        for number in range(25 if campaign.long else 1):
            campaign.trial(
                "removed",
                f"{name} {number}",
                lambda name=name, number=number: _removed(
                    campaign, scene, REMOVALS[name], campaign.dice(f"{name} {number}")
                ),
            )


def _removed(
    campaign: Campaign, scene: Scene, remove: Callable[[Path], None], dice: random.Random
) -> dict[str, object]:
    with campaign.folder() as place:
        run = place / "run"
        child = begin(scene.train(run), scene.place)
        deadline = time.monotonic() + 60
        while not (run / "checkpoints/step-000000").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.3) * seconds_of_a_life(scene))
        os.kill(child, signal.SIGSTOP)
        try:
            remove(run)
        finally:
            os.kill(child, signal.SIGCONT)
        end = ended(child, scene.place)
        wrong = told_badly(end)
        # What memory held lies beside it where the record was gone; the moved folder goes on, too.
        for other in (place / "run-saved", place / "moved"):
            if not wrong and is_run_record(other):
                resumed, wrong = scene.goes_on(other, scene.place)
                if not wrong and resumed.code != 0:
                    wrong = f"{other.name} does not go on: {resumed.errors}"
        if not wrong and end.code == 0 and remove is not _move and run.exists():
            wrong = "" if end.said.count("notice") else scene.whole.differs(run)
        return verdict(outcome_of(end), wrong, said="".join(end.errors)[:300])


def two_at_once(campaign: Campaign) -> None:
    """Two processes begin, or go on with, the same folder."""
    scene = Scene.of(campaign)
    for number in range(30 if campaign.long else 2):
        campaign.trial("two", str(number), lambda number=number: _two(campaign, scene, number))


def _two(campaign: Campaign, scene: Scene, number: int) -> dict[str, object]:
    dice = campaign.dice(f"two {number}")
    with campaign.folder() as place:
        run = place / "run"
        if number % 2:
            scene.half_way(run)
        logs = [place / "a", place / "b"]
        children = []
        for log in logs:
            log.mkdir()
            children.append(begin(scene.train(run), log))
            time.sleep(dice.uniform(0, 0.4) * seconds_of_a_life(scene))
        ends = [ended(child, log) for child, log in zip(children, logs, strict=True)]
        for log in logs:
            shutil.rmtree(log)
        wrong = told_badly(ends[0]) or told_badly(ends[1])
        if not wrong and all(end.code for end in ends):
            wrong = f"neither came to its end: {[end.errors for end in ends]}"
        said = "".join(ends[0].errors + ends[1].errors)[:300]
        _, after = scene.goes_on(run, scene.place)
        return verdict("one refused" if said else "one after the other", wrong, after, said=said)


def held_by_a_reader(campaign: Campaign) -> None:
    """Another program reads the record, and holds what it reads, from before a run goes on until
    after its end."""
    scene = Scene.of(campaign)
    campaign.trial("reader", "all the time", lambda: _held(campaign, scene))


def _held(campaign: Campaign, scene: Scene) -> dict[str, object]:
    with campaign.folder() as place:
        run = scene.half_way(place / "run")
        with closing(sqlite3.connect(run / "run.sqlite", isolation_level=None)) as db:
            db.execute("BEGIN")
            before = db.execute("SELECT max(step) FROM steps").fetchone()
            end, wrong = scene.goes_on(run, scene.place)
            seen = "" if db.execute("SELECT max(step) FROM steps").fetchone() == before else "moved"
        # The reader has gone: what was kept beside the file is still there.
        return verdict(outcome_of(end), wrong, seen, scene.whole.differs(run))


def clock_going_back(campaign: Campaign) -> None:
    """Each look at the clock is a minute before the last one; and a resumed run is of last year."""
    scene = Scene.of(campaign)
    campaign.trial("clock", "backwards", lambda: _backwards(campaign, scene))


def _backwards(campaign: Campaign, scene: Scene) -> dict[str, object]:
    real = time.time
    looks = iter(range(10**9))
    with campaign.folder() as place:
        time.time = lambda: real() - 60.0 * next(looks)
        try:
            child = begin(scene.train(place / "run"), scene.place)
        finally:
            time.time = real
        time.sleep(0.6 * seconds_of_a_life(scene))
        os.kill(child, signal.SIGKILL)
        ended(child, scene.place)
        time.time = lambda: real() - 365 * 86400.0
        try:
            _, wrong = scene.goes_on(place / "run", scene.place)
        finally:
            time.time = real
        try:
            status = Run.open(place / "run").meta.status
        except RunRecordError as error:
            status = str(error)
        other = "" if status == "finished" else f"its status is {status}"
        return verdict("gone on", wrong, other)
