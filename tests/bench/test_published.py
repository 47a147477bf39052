"""The published figures: what they are, that each has its source, and what is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import yaml
from helpers import in_one_test

from workbench.bench import read_published
from workbench.bench.published import FILE, BenchError

ROOT = Path(__file__).parents[2]


def score(benchmark: str, **facts: str) -> set[float]:
    """The scores of the rows that these facts are true of."""
    return {
        row.scores[benchmark]
        for row in read_published()
        if benchmark in row.scores
        and all(str(getattr(row, name)) == value for name, value in facts.items())
    }


def test_the_figures_are_the_published_ones() -> None:
    greedy = dict(answers="chain of thought, greedy")
    instruct = dict(model="DeepSeekMath-Instruct 7B", **greedy)
    trained = dict(model="DeepSeekMath-RL 7B", trained="GRPO", **greedy)
    assert (score("GSM8K", **instruct), score("GSM8K", **trained)) == ({82.87}, {88.25})
    assert (score("MATH", **instruct), score("MATH", **trained)) == ({46.82}, {51.70})
    assert (score("CMATH", **instruct), score("CMATH", **trained)) == ({84.6}, {88.8})
    small = dict(model="Qwen2.5-0.5B-Instruct")
    assert score("GSM8K", **small, trained="as released") == {49.6}
    assert score("GSM8K", **small, trained="GRPO-LoRA") == {54.3}
    assert score("GSM8K", **small, trained="PPO") == {56.7}
    assert score("GSM8K", model="Qwen2.5-1.5B-Instruct", trained="GRPO") == {79.57}


def test_every_row_has_a_source_that_can_be_looked_at() -> None:
    rows = read_published()
    assert len(rows) > 30
    assert not [row for row in rows if not row.source.url.startswith("https://")]
    # The day is when somebody read it, as a date.
    assert not [row for row in rows if len(row.source.read.split("-")) != 3]


def test_an_estimate_is_called_one() -> None:
    seed = [row for row in read_published() if "seed" in row.source.title]
    assert {row.scores.get("GSM8K") for row in seed} == {88.2, 18.0, 30.0}
    guesses = [row for row in seed if row.scores["GSM8K"] < 50]
    assert all("estimate" in row.answers and "no measurement" in row.note for row in guesses)


def test_there_is_one_file_and_the_package_has_it() -> None:
    named = ROOT / "benchmarks" / "published.yaml"
    assert named.is_symlink()
    assert named.resolve() == FILE.resolve()
    assert (resources.files("workbench") / "assets" / "published.yaml").is_file()


GOOD = {
    "sources": {"s": {"title": "t", "url": "https://e.org", "read": "2026-01-01"}},
    "rows": [{"model": "m", "trained": "SFT", "answers": "greedy", "source": "s"}],
}


def of_row(more: dict) -> dict:
    return {"rows": [GOOD["rows"][0] | more]}


@in_one_test(
    [
        dict(change={"rows": [1]}, match="row 1: expected names and values"),
        dict(change={"rows": [{"model": "m"}]}, match=r"missing \['trained'"),
        dict(change=of_row({"scores": {"A": 101}}), match="A=101 is no percentage"),
        dict(change=of_row({"scores": {"A": True}}), match="A=True is no percentage"),
        dict(change=of_row({"scores": {}}), match="expected benchmarks and percentages"),
        dict(
            change=of_row({"scores": {"A": 1}, "source": "other"}),
            match="source 'other' is not among s",
        ),
        dict(change=of_row({"scores": {"A": 1}, "sore": 1}), match=r"unknown \['sore'\]"),
        dict(change={"sources": {"s": {"title": "t"}}}, match="expected title, url and read"),
        dict(
            change={"sources": {"s": {"title": "t", "url": "javascript:alert(1)", "read": "x"}}},
            match="is no web address",
        ),
    ]
)
def test_a_file_that_is_wrong_is_refused(tmp_path_factory, match: str, change: dict) -> None:
    content = GOOD | change
    path = tmp_path_factory.mktemp("p") / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BenchError, match=match):
        read_published(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    path.write_text("a: 1")
    with pytest.raises(BenchError, match="the two keys `sources` and `rows`"):
        read_published(path)
    with pytest.raises(BenchError, match="No such file"):
        read_published(tmp_path / "none.yaml")
