"""Files that a bad disk or a hand has changed: bits turned, ends cut off, one missing, an older
copy put back."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from trust.campaign import Campaign
from trust.lives import live
from trust.scene import Scene, verdict
from trust.verdict import digests, told_badly

from workbench.errors import WorkbenchError
from workbench.runs import Run
from workbench.runs.integrity.check import check_run
from workbench.runs.integrity.repair import repair


def broken_files(campaign: Campaign) -> None:
    """A run that was killed after its third step: something of it changes, and it goes on."""
    scene = Scene.of(campaign)
    names = sorted(digests(scene.late_copy(campaign.place / "late")))
    logged = [name for name in names if name.startswith("run.sqlite")]
    saved = [name for name in names if name.startswith("checkpoints")]
    for number in range(500 if campaign.long else 12):
        dice = campaign.dice(f"flip {number}")
        name = dice.choice(logged if number % 2 else saved)
        # Every fourth record is one file, as a run leaves it that came to its end.
        closed = number % 4 == 1
        _trial(campaign, scene, f"bit turned {number}", name, _turned(dice), closed)
    for number in range(60 if campaign.long else 4):
        dice = campaign.dice(f"cut {number}")
        _trial(campaign, scene, f"cut off {number}", dice.choice(names), _cut(dice), False)
    for name in names if campaign.long else names[::8]:
        _trial(campaign, scene, f"missing {name}", name, Path.unlink, False)


def _turned(dice: random.Random) -> Callable[[Path], None]:
    def turn(file: Path) -> None:
        content = bytearray(file.read_bytes())
        if content:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
            file.write_bytes(content)

    return turn


def _cut(dice: random.Random) -> Callable[[Path], None]:
    def cut(file: Path) -> None:
        file.write_bytes(file.read_bytes()[: dice.randrange(max(file.stat().st_size, 1))])

    return cut


def _trial(
    campaign: Campaign,
    scene: Scene,
    what: str,
    name: str,
    change: Callable[[Path], None],
    closed: bool,
) -> None:
    def make() -> dict[str, object]:
        with campaign.folder() as place:
            run = scene.late_copy(place / "run")
            if closed:
                with closing(sqlite3.connect(run / "run.sqlite")) as db:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            target = run / name
            if target.exists():
                change(target)
            return after(scene, run) | {"at": name}

    campaign.trial("damage", what, make)


def after(scene: Scene, run: Path) -> dict[str, object]:
    """What becomes of a run whose files are not what they were: it goes on to the same weights, its
    record the same or marked; or there is one error, and what is whole goes on after a repair."""
    noticed = not check_run(run).whole if (run / "run.sqlite").exists() else True
    end = live(scene.train(run), scene.place)
    if wrong := told_badly(end):
        return verdict("told badly", wrong)
    if end.code == 0:
        return _gone_on(scene, run, noticed)
    said = end.errors[0][:300]
    if not (run / "run.sqlite").exists():
        return verdict("one error, no record", said=said)
    try:
        repaired = repair(run)
    except WorkbenchError as error:
        return verdict("one error, beyond repair", said=f"{said} / {error}"[:500])
    if repaired.out is None:
        return verdict("one error", "a run that is whole does not go on: " + said)
    if not repaired.checkpoints:
        return verdict("one error, a record without checkpoints", said=said)
    again = live(scene.train(repaired.out), scene.place)
    wrong = told_badly(again) or ("" if again.code == 0 else f"repaired: {again.errors}")
    wrong = wrong or _other_result(scene, repaired.out)
    damage = Run.open(repaired.out).damage() if not wrong else []
    return verdict("one error, repaired, gone on", wrong, "".join(damage), said=said)


def _gone_on(scene: Scene, run: Path, noticed: bool) -> dict[str, object]:
    differs = scene.whole.differs(run)
    if not differs:
        return verdict("gone on, the same" if noticed else "harmless")
    if "Damaged" not in differs and "is damaged" not in differs:
        return verdict("gone on", differs)
    return verdict("gone on, the record marked", _other_result(scene, run))


def _other_result(scene: Scene, run: Path) -> str:
    """Whether weights and policy are others than those of the undisturbed run."""
    whole = scene.whole
    if whole.weights() != whole.weights(run):
        return "the last checkpoint has other tensors"
    same = digests(whole.run / "policy") == digests(run / "policy")
    return "" if same else "policy is another"


def older_copies(campaign: Campaign) -> None:
    """An older copy of the record, of a checkpoint, or of all, is put back; or one of another
    run."""
    scene = Scene.of(campaign)
    for name, put in COPIES.items():

        def make(put: Callable[[Scene, Path], None] = put) -> dict[str, object]:
            with campaign.folder() as place:
                run = scene.late_copy(place / "run")
                put(scene, run)
                return after(scene, run)

        campaign.trial("older", name, make)


def _older_record(scene: Scene, run: Path) -> None:
    older = scene.half_way(run.with_name("older"))
    for file in run.glob("run.sqlite*"):
        file.unlink()
    for file in older.glob("run.sqlite*"):
        shutil.copy(file, run)
    # One that had been made before the step of the newest checkpoint.
    with closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        for table in ("steps", "groups", "samples", "arrays", "events"):
            db.execute(f"DELETE FROM {table} WHERE step > 1")
        db.execute("DELETE FROM checksums WHERE name != 'vocab' AND name != 'meta' AND key > 1")


def _older_file_of_record(scene: Scene, run: Path) -> None:
    """The file alone, without what had been logged since."""
    older = scene.half_way(run.with_name("older"))
    shutil.copy(older / "run.sqlite", run)


def _checkpoint_of_another(scene: Scene, run: Path) -> None:
    place = "checkpoints/step-000002"
    shutil.rmtree(run / place)
    other = run.with_name("other")
    live([*scene.train(other), "--seed", "1"], scene.place)
    shutil.copytree(other / place, run / place)


def _checkpoint_renamed(scene: Scene, run: Path) -> None:
    shutil.rmtree(run / "checkpoints/step-000002")
    shutil.copytree(run / "checkpoints/step-000001", run / "checkpoints/step-000002")


def _older_all(scene: Scene, run: Path) -> None:
    shutil.rmtree(run)
    scene.half_way(run)


COPIES: dict[str, Callable[[Scene, Path], None]] = {
    "the record": _older_record,
    "the record's file beside a newer log": _older_file_of_record,
    "a checkpoint of another run": _checkpoint_of_another,
    "an older checkpoint under a newer name": _checkpoint_renamed,
    "all": _older_all,
}
