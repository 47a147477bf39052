"""The site's pages, made without mkdocs: what they hold, where their links lead, and that the built
site is looked through."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from website import api, courses, findings, flowchart, gallery, repository
from website.check_links import problems
from workbench import _HOMES, GRPOConfig
from workbench.doctor.pages import TITLES
from workbench.doctor.rules import RULES
from workbench.faults import FAULTS
from workbench.widgets import _HOMES as WIDGETS
from workbench.widgets.pages import PAGES

ROOT = Path(__file__).parents[2]
BLOB = f"{repository.REPOSITORY}/blob/main"


# ------------------------------------------------------------ links


@pytest.mark.parametrize(
    ("link", "on_the_site"),
    [
        ("answers.md", "answers.md"),
        ("../notebooks/README.md", "../course/index.md"),
        ("../README.md#what-is-where", "../guide.md#what-is-where"),
        ("../notebooks/03_kl_and_beta.ipynb", "../course/03_kl_and_beta.md"),
        (
            "../notebooks/04_rollouts.ipynb#2-·-Where-an-answer-ends:-the-end-token-and-the-mask",
            "../course/04_rollouts.md#2-where-an-answer-ends-the-end-token-and-the-mask",
        ),
        ("../workbench/doctor/facts.py", f"{BLOB}/workbench/doctor/facts.py"),
        ("../workbench/doctor", f"{repository.REPOSITORY}/tree/main/workbench/doctor"),
        ("https://arxiv.org/abs/1806.08295", "https://arxiv.org/abs/1806.08295"),
        ("#who-knows-whom", "#who-knows-whom"),
    ],
)
def test_a_link_of_the_repository_leads_to_the_same_on_the_site(
    link: str, on_the_site: str
) -> None:
    text = f"See [it]({link})."
    found = repository.linked(text, "docs/architecture.md", "docs/architecture.md")
    assert found == f"See [it]({on_the_site})."


def test_a_link_to_nothing_is_refused() -> None:
    with pytest.raises(repository.SiteError, match=r"docs/x\.md links to 'docs/gone\.md'"):
        repository.linked("[it](gone.md)", "docs/x.md", "docs/x.md")


def test_code_is_left_as_it_stands() -> None:
    code = "```python\nf[0](gone.md)\n```"
    assert repository.linked(code, "docs/x.md", "docs/x.md") == code


def test_every_document_of_the_site_has_links_that_lead_somewhere() -> None:
    own = {f"website/pages/{p.name}": p.name for p in (ROOT / "website/pages").glob("*.md")}
    for source, page in {**repository.documents(), **own}.items():
        repository.linked((ROOT / source).read_text(), source, page)


def test_a_list_may_follow_its_sentence() -> None:
    text = "**You can**\n- do this;\n- and that.\n\n```\na\n- b\n```"
    expected = "**You can**\n\n- do this;\n- and that.\n\n```\na\n- b\n```"
    assert repository.with_lists(text) == expected


def test_a_part_of_a_document_is_taken_in() -> None:
    front = repository.included((ROOT / "website/pages/index.md").read_text(), "index.md")
    assert "See Group Relative Policy Optimization happen" in front
    assert "workbench train" in front
    assert "[[" not in front
    with pytest.raises(repository.SiteError, match="no heading 'Gone'"):
        repository.included("[[README.md § Gone]]", "index.md")


# ------------------------------------------------------------ the doctor


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of two findings: one that names a fault, one without a curve of its own."""
    folder = tmp_path_factory.mktemp("findings")
    cases = findings.cases_by_key()
    return {
        key: findings.finding_page(key, cases[key], folder / key)
        for key in ("kl_inverted", "no_gradient")
    }


def test_every_finding_has_a_page_and_every_rule_one_at_least() -> None:
    cases = findings.cases_by_key()
    assert set(cases) == set(TITLES)
    assert {case.rule for of_key in cases.values() for case in of_key} == set(RULES)


def test_a_page_says_what_is_seen_the_evidence_and_what_to_do(pages: dict[str, str]) -> None:
    for text in pages.values():
        heads = [line for line in text.splitlines() if line.startswith("## ")]
        assert heads[:3] == ["## What is seen", "## The evidence", "## What to do"]
        assert "wb-spark" in text
    assert "| `NO_GRADIENT` | 1e-08 | A gradient norm that is rounding" in pages["no_gradient"]


def test_a_page_names_its_fault_with_the_figures_of_the_matrix(pages: dict[str, str]) -> None:
    assert "| `inverted_k3` | 5 of 5 | `kl_inverted` 5 |" in pages["kl_inverted"]
    assert "fault that it names" not in pages["no_gradient"]
    assert set(findings.matrix_rows()) >= set(FAULTS)


def test_every_threshold_that_a_rule_reads_has_a_reason() -> None:
    reasons = findings.threshold_reasons()
    for rule in RULES:
        for name in findings.threshold_names(rule):
            assert name in reasons, (rule.__name__, name)


# ------------------------------------------------------------ API, gallery, courses


def test_every_public_name_is_in_the_reference() -> None:
    text = api.api_pages()["api/workbench.md"]
    missing = [name for name in _HOMES if f".{name}\n" not in text]
    assert not missing
    assert len(api.rooms()) >= 20


def test_every_setting_is_explained() -> None:
    text = api.api_pages()["api/settings.md"]
    missing = [entry.name for entry in fields(GRPOConfig) if f"## {entry.name}\n" not in text]
    assert not missing


def test_every_widget_and_every_page_hangs_in_the_gallery_with_its_picture() -> None:
    assert set(gallery.WIDGETS) == set(WIDGETS)
    assert list(gallery.PAGES) == list(PAGES)
    missing = [n for n in gallery.exhibits() if not (ROOT / gallery.picture_of(n)).exists()]
    assert not missing, "python docs/make_gallery.py"


def test_a_course_is_its_notebook() -> None:
    text = courses.course_page("notebooks/03_kl_and_beta.ipynb")
    assert text.startswith("# 03 · KL, reference and beta")
    assert "| two CPU cores |" in text
    assert "<details>" not in text
    assert "[glossary](glossary.md)" in text
    assert "```python\nimport importlib.util" in text


def test_the_outcomes_are_those_of_the_test_run(tmp_path: Path) -> None:
    junit = tmp_path / "tests.xml"
    junit.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="notebooks.03_kl_and_beta.ipynb" name="" time="33.2"/>'
        '<testcase classname="notebooks.04_rollouts.ipynb" name="" time="2"><failure message="x"/>'
        '</testcase><testcase classname="tests.course.test_notebooks" name="test_x[00_start]"/>'
        "</testsuite></testsuites>"
    )
    table = courses.outcome_table(junit)
    assert "| [03 · KL, reference and beta](03_kl_and_beta.md) | passed | 33 s |" in table
    assert "(04_rollouts.md) | failed | 2 s |" in table
    assert "00_start" not in table
    assert "without a test run" in courses.outcome_table(None)


def test_flow_charts_are_pictures() -> None:
    text = flowchart.with_charts((ROOT / "docs/architecture.md").read_text())
    assert "```mermaid" not in text
    assert "tasks to rollout, rollout to rewards" in text
    with pytest.raises(repository.SiteError, match="a ==> b"):
        flowchart.with_charts("```mermaid\nflowchart LR\n  a ==> b\n```\n")


# ------------------------------------------------------------ the built site, and who builds it


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ('<a href="gone.html">x</a>', "leads nowhere"),
        ('<a href="other.html#gone">x</a>', "names an anchor that is not there"),
        ('<script src="https://example.org/x.js"></script>', "from another host"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "from another host"),
        ("<p>write <think> first</p>", "swallowed"),
        ('<iframe src="gone.html"></iframe>', "leads nowhere"),
    ],
)
def test_what_is_wrong_in_the_built_site_is_found(tmp_path: Path, page: str, said: str) -> None:
    (tmp_path / "other.html").write_text('<p id="there">x</p><a href="#there">y</a>')
    (tmp_path / "index.html").write_text('<a href="other.html#there">x</a>')
    assert problems(tmp_path) == []
    (tmp_path / "index.html").write_text(page)
    [problem] = problems(tmp_path)
    assert said in problem


def test_a_style_sheet_that_fetches_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("a { background: url(https://example.org/x.png) }")
    assert problems(tmp_path) == ["x.css: fetches from another host"]


def test_the_workflows_can_be_read_and_say_what_was_not_run() -> None:
    for name in ("pages", "newest", "colab"):
        file = ROOT / ".github/workflows" / f"{name}.yml"
        assert yaml.safe_load(file.read_text())["jobs"]
        assert "Not run" in file.read_text()
