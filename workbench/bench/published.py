"""The published figures: rows of a YAML file, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import WorkbenchError

FILE = Path(__file__).parents[1] / "assets" / "published.yaml"
"""The rows that come with the workbench."""

NEEDED = ("model", "trained", "answers", "source", "scores")
OPTIONAL = ("policy", "note")


class BenchError(WorkbenchError, ValueError):
    """A file of figures that cannot be shown: says which and what is wrong."""


@dataclass(frozen=True)
class Source:
    """Where a published figure stands."""

    title: str
    url: str

    read: str
    """The day on which it was looked at, as YYYY-MM-DD."""


@dataclass(frozen=True)
class Published:
    """What somebody else has measured of one model in one way."""

    model: str

    trained: str
    """How the model was made from the one before it."""

    answers: str
    """How it was asked and what was counted."""

    scores: Mapping[str, float]
    """Benchmark -> percent of its problems."""

    source: Source

    policy: str = ""
    """Its Hugging Face id; empty where it cannot be measured here."""

    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"scores": dict(self.scores)}


def read_published(path: str | Path = FILE) -> list[Published]:
    """The rows of a file in the shape of `workbench/assets/published.yaml`, in its order. Raises
    `BenchError`."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise BenchError(f"{str(path)!r} is no YAML file: {error}") from error
    if not isinstance(content, dict) or not {"sources", "rows"} <= content.keys():
        raise BenchError(f"{str(path)!r}: expected the two keys `sources` and `rows`.")
    sources = {name: _source(name, facts) for name, facts in content["sources"].items()}
    return [
        _row(f"{str(path)!r}, row {number}", row, sources)
        for number, row in enumerate(content["rows"], 1)
    ]


def _source(name: str, facts: Any) -> Source:
    if not isinstance(facts, dict) or set(facts) != {"title", "url", "read"}:
        raise BenchError(f"source {name!r}: expected title, url and read, found {facts!r:.80}.")
    # Only an address that a browser asks a server for may become a link.
    if not str(facts["url"]).startswith(("https://", "http://")):
        raise BenchError(f"source {name!r}: url={facts['url']!r:.80} is no web address.")
    return Source(str(facts["title"]), str(facts["url"]), str(facts["read"]))


def _row(place: str, row: Any, sources: dict[str, Source]) -> Published:
    if not isinstance(row, dict):
        raise BenchError(f"{place}: expected names and values, found {row!r:.80}.")
    missing = [name for name in NEEDED if name not in row]
    unknown = [name for name in row if name not in (*NEEDED, *OPTIONAL)]
    if missing or unknown:
        raise BenchError(f"{place}: missing {missing}, unknown {unknown}. Needed are {NEEDED}.")
    if row["source"] not in sources:
        raise BenchError(
            f"{place}: source {row['source']!r:.80} is not among {', '.join(sources)}."
        )
    texts = {name: str(row.get(name, "")) for name in ("model", "trained", "answers", *OPTIONAL)}
    return Published(scores=_scores(place, row["scores"]), source=sources[row["source"]], **texts)


def _scores(place: str, scores: Any) -> dict[str, float]:
    if not isinstance(scores, dict) or not scores:
        raise BenchError(f"{place}: scores={scores!r:.80}: expected benchmarks and percentages.")
    for benchmark, value in scores.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
            raise BenchError(f"{place}: {benchmark}={value!r:.80} is no percentage (0 to 100).")
    return {str(benchmark): float(value) for benchmark, value in scores.items()}
