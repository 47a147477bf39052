"""Every finding has its title, its page and, where a site is published, its link."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from doctor.test_rules import CASES
from made_runs import make_run

from workbench.doctor import diagnose, pages, report, rules
from workbench.doctor.rules.groups import KINDS
from workbench.widgets.base.source import RunSource
from workbench.widgets.doctor.markup import cards_html

SICK = dict(metrics={"grad_norm": 0.0})
"""A run with the finding `no_gradient`."""


def literal_keys() -> set[str]:
    """The keys that stand as text in the calls of `Finding` of the rules' files."""
    folder = Path(rules.__file__).parent
    calls = (
        node
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"
    )
    return {
        part.value
        for call in calls
        for part in ast.walk(call.args[0])
        if isinstance(part, ast.Constant) and not part.value.endswith("_")
    }


def test_every_finding_of_the_rules_has_a_title_and_an_example() -> None:
    found = literal_keys() | {f"dead_groups_{kind}" for kind in KINDS if kind}
    assert found <= set(pages.TITLES)
    # A page shows the run that the rule's test makes.
    assert {case.key for case in CASES} == set(pages.TITLES)


def test_no_two_findings_have_one_title() -> None:
    titles = list(pages.TITLES.values())
    assert len(set(titles)) == len(titles)


def test_without_a_published_site_no_finding_carries_a_link(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", **SICK)
    assert pages.page_address("no_gradient") == ""
    assert "<a " not in cards_html(RunSource(run), diagnose(run), 30)
    assert "more: " not in report(run)


def test_with_one_every_finding_leads_to_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SITE", "https://example.org/workbench/")
    run = make_run(tmp_path / "run", **SICK)
    address = "https://example.org/workbench/doctor/no_gradient.html"
    card = cards_html(RunSource(run), diagnose(run), 30)
    assert (
        f"<a href='{address}' target='_blank' rel='noopener noreferrer'>More: No gradient" in card
    )
    assert f"  more: {address}" in report(run)
    assert pages.page_address("no_such_finding") == ""
