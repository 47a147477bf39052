"""The campaign of mishaps: a small run is broken in every way that we know, and must then go on to
what the undisturbed run left, bit for bit, or say in one sentence why it cannot.

    python tests/trust/campaign.py                       # the short form, two minutes
    python tests/trust/campaign.py --long --out benchmarks/results/trust-DATE.json

Each trial is two or three processes, forked from this one: what is broken, what goes on, and the
verdict. Every trial is written to a journal at once; a campaign that was broken off goes on from
it. See `docs/promises.md` for what is promised.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from trust import disk

PRELOADED = "WORKBENCH_FAULTY_DISK"


@dataclass
class Campaign:
    """Trials by name, each made once."""

    place: Path
    """Where runs are made; on memory where there is room, since nothing has to outlive this."""
    seed: int
    long: bool
    journal: Path | None = None
    until: float = float("inf")
    """By `time.monotonic`: no trial is begun later. The journal goes on from there."""
    stories: list[str] | None = None
    """Of the part "operations"; None = all."""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def trial(self, part: str, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The outcome of a trial: of the journal, or made now. `wrong` is "" where all held."""
        key = f"{part}: {name}"
        if key not in self.done and time.monotonic() > self.until:
            return {"outcome": "no time", "wrong": ""}
        if key not in self.done:
            began = time.monotonic()
            try:
                found = make()
            # A verdict that cannot be reached is a verdict.
            except Exception as error:
                found = {"outcome": "no verdict", "wrong": f"{type(error).__name__}: {error}"}
            self.done[key] = {"part": part, "name": name, **found}
            self.done[key]["seconds"] = round(time.monotonic() - began, 2)
            if self.journal is not None:
                with self.journal.open("a") as file:
                    file.write(json.dumps(self.done[key]) + "\n")
            if found["wrong"]:
                print(f"WRONG {key}: {found['wrong']}", flush=True)
        return self.done[key]

    def dice(self, part: str) -> random.Random:
        """Chance that is the same at every start."""
        return random.Random(f"{self.seed} {part}")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder for a trial."""
        place = Path(tempfile.mkdtemp(dir=self.place))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def read_journal(self) -> None:
        """Take over what an earlier start has made."""
        if self.journal is not None and self.journal.exists():
            for line in self.journal.read_text().splitlines():
                found = json.loads(line)
                self.done[f"{found['part']}: {found['name']}"] = found

    def summary(self) -> dict[str, Any]:
        """Counts by part and outcome, and every trial that did not hold."""
        parts: dict[str, Counter[str]] = {}
        for found in self.done.values():
            parts.setdefault(found["part"], Counter())[found["outcome"]] += 1
        wrong = [found for found in self.done.values() if found["wrong"]]
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "form": "long" if self.long else "short",
            "seed": self.seed,
            "seconds": round(sum(found["seconds"] for found in self.done.values()), 1),
            "versions": {name: version(name) for name in ("torch", "safetensors", "transformers")}
            | {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
            "trials": len(self.done),
            "kills": sum(found.get("kills", 0) for found in self.done.values()),
            "wrong": wrong,
            "parts": {part: dict(counts) for part, counts in parts.items()},
        }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="every operation, a thousand kills")
    parser.add_argument("--only", action="append", help="a part of the campaign; repeat")
    parser.add_argument("--minutes", type=float, help="begin no trial after so many minutes")
    parser.add_argument("--story", action="append", help="one of the part operations; repeat")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--journal", type=Path, help="file of the trials made so far")
    parser.add_argument("--out", type=Path, help="file for the results")
    args = parser.parse_args()
    if PRELOADED not in os.environ:
        _start_anew_with_the_disk()
    from trust.parts import PARTS

    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        until = time.monotonic() + 60 * (args.minutes or float("inf"))
        campaign = Campaign(Path(place), args.seed, args.long, args.journal, until, args.story)
        campaign.read_journal()
        for part in args.only or PARTS:
            PARTS[part](campaign)
        found = campaign.summary()
    text = json.dumps(found, indent=1)
    if args.out is not None:
        args.out.write_text(text + "\n")
    print(text)
    sys.exit(1 if found["wrong"] else 0)


def _start_anew_with_the_disk() -> None:
    """This program once more, with the library in front of the C library's."""
    folder = Path(tempfile.mkdtemp())
    library = disk.compiled(folder)
    if library is None:
        sys.exit("needs Linux and a C compiler")
    environment = os.environ | {"LD_PRELOAD": str(library), PRELOADED: "1"}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


if __name__ == "__main__":
    main()
