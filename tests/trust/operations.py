"""Something happens at the n-th file operation, for every n: to a new run, to one that goes on, to
one whose policy is written again, to exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trust import disk
from trust.campaign import Campaign
from trust.lives import End, live
from trust.scene import Scene, verdict
from trust.verdict import digests, leftovers, told_badly

from workbench.runs import is_run_record
from workbench.runs.integrity.check import check_run

SHORT = 2
"""Operations of each story and mishap in the short form."""
SPREAD = 16
"""The long form tries every mishap at every sixteenth operation of all stories first, and then at
every one: broken off for want of time, it has seen something of each."""


@dataclass(frozen=True)
class Story:
    """What is done while the disk has its mishap."""

    prepare: Callable[[Scene, Path], Path]
    """Puts what is there before into the folder; gives the run."""
    words: Callable[[Scene, Path, Path], list[str]]
    """The command, of scene, folder and run."""
    made: str = ""
    """What the command makes beside the run, which has to be there whole or not at all."""


STORIES = {
    "a new run": Story(
        lambda scene, place: place / "run", lambda scene, place, run: scene.train(run)
    ),
    "a run that goes on": Story(
        lambda scene, place: scene.half_way(place / "run"),
        lambda scene, place, run: scene.train(run),
    ),
    "a policy written again": Story(
        lambda scene, place: scene.finished(place / "run"),
        lambda scene, place, run: scene.train(run),
    ),
    "a rewind": Story(
        lambda scene, place: scene.finished(place / "run"),
        lambda scene, place, run: scene.workshop.session("rewind", run),
    ),
    "a branch": Story(
        lambda scene, place: scene.finished(place / "run"),
        lambda scene, place, run: scene.workshop.session("branch", run),
    ),
    "export trl": Story(
        lambda scene, place: scene.whole.run,
        lambda scene, place, run: scene.export_trl(run, place / "made"),
        "made",
    ),
    "export csv": Story(
        lambda scene, place: scene.whole.run,
        lambda scene, place, run: ["export", "csv", str(run), "--out", str(place / "made")],
        "made",
    ),
    "export html": Story(
        lambda scene, place: scene.whole.run,
        lambda scene, place, run: ["export", "html", str(run), "--out", str(place / "made.html")],
        "made.html",
    ),
}


def every_operation(campaign: Campaign) -> None:
    """Each story with each mishap at each operation that it can befall; in the short form, at some
    that are drawn."""
    scene = Scene.of(campaign)
    names = campaign.stories or list(STORIES)
    known = {name: _undisturbed(campaign, scene, STORIES[name]) for name in names}
    for stride in (SPREAD, 1) if campaign.long else (0,):
        for name, (counted, expected) in known.items():
            for mishap in disk.MISHAPS:
                for n in _places(campaign, name, mishap, counted, stride):
                    campaign.trial(
                        "operations",
                        f"{name}, {mishap}, {n}",
                        partial(_befallen, campaign, scene, name, mishap, n, expected),
                    )


def _places(
    campaign: Campaign, story: str, mishap: str, counted: list[tuple[str, str]], stride: int
) -> list[int]:
    """The operations at which a mishap is tried; a stride of 0: some that are drawn."""
    what = disk.MISHAPS[mishap]
    places = [n for n, (name, _) in enumerate(counted, 1) if what.befalls(name)]
    dice = campaign.dice(f"{story} {mishap}")
    if stride == 0:
        return sorted(dice.sample(places, min(SHORT, len(places))))
    return places[dice.randrange(stride) :: stride]


def _undisturbed(
    campaign: Campaign, scene: Scene, story: Story
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The operations of a story, and what it makes."""
    with campaign.folder() as place:
        run = story.prepare(scene, place)
        end = live(story.words(scene, place, run), scene.place, place)
        assert end.code == 0, end.said
        return disk.operations(scene.place / "operations"), _made(story, place)


def _made(story: Story, place: Path) -> dict[str, str]:
    target = place / story.made
    if not story.made or not target.exists():
        return {}
    return digests(place, [target] if target.is_file() else target.rglob("*"))


def _befallen(
    campaign: Campaign, scene: Scene, name: str, mishap: str, n: int, expected: dict[str, str]
) -> dict[str, object]:
    story = STORIES[name]
    with campaign.folder() as place:
        run = story.prepare(scene, place)
        words = story.words(scene, place, run)
        end = live(words, scene.place, place, disk.MISHAPS[mishap], n)
        operations = disk.operations(scene.place / "operations")
        at = " ".join(operations[n - 1]) if len(operations) >= n else "never reached"
        facts = {"at": at, "said": "".join(end.errors)[:300]}
        if story.made:
            wrong = _half_made(story, place, expected, end)
            if not wrong and not (place / story.made).exists():
                again = live(words, scene.place)
                wrong = told_badly(again) or _half_made(story, place, expected, again)
            return verdict(outcome_of(end), told_badly(end), wrong, **facts)
        silent = ""
        if end.code == 0 and "notice" not in end.said and "Warning" not in end.said:
            # What could not be deleted goes at the next start.
            silent = scene.whole.differs(run, tidy=False)
            if not silent and not leftovers(run):
                return verdict(outcome_of(end), told_badly(end), **facts)
        resumed, wrong = scene.goes_on(run, scene.place)
        if not wrong and resumed.code != 0:
            wrong = f"it does not go on: {resumed.errors}"
        # What a branch has come to is whole, however far it came.
        branch = place / "branch"
        if not wrong and is_run_record(branch) and (problems := check_run(branch).problems):
            wrong = f"the branch: {problems}"
        silent = f"nothing was said: {silent}" if silent else ""
        return verdict(outcome_of(end), told_badly(end), silent, wrong, **facts)


def _half_made(story: Story, place: Path, expected: dict[str, str], end: End) -> str:
    """What is wrong with what was made: it is there whole or not at all; whole where nothing was
    said."""
    there = (place / story.made).exists()
    if there and _made(story, place) != expected:
        return f"{story.made} is half there: {end.said[-200:]}"
    return "" if there or end.code != 0 else f"{story.made} is not there, and nothing was said"


def outcome_of(end: End) -> str:
    """In a word, how a life ended."""
    if end.killed:
        return "killed"
    return "one error" if end.errors else "passed"
