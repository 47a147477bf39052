"""What mkdocs calls while it builds the site: the pages that come from the repository, the links,
the formulas, and the dashboard on the front page."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website import api, courses, findings, gallery, repository
from website.flowchart import with_charts
from website.mathml import with_mathml
from workbench.doctor.pages import TITLES

RECORDED = "long"
"""The recorded run on the front page."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The contents of the site."""
    notebooks = [{courses.title_of(path): page} for path, page in repository.notebooks().items()]
    papers = [page for path, page in repository.documents().items() if path.startswith("docs/")]
    # What is promised comes first.
    papers.sort(key=lambda page: page != "docs/promises.md")
    config["nav"] = [
        {"Home": "index.md"},
        {"Guide": ["guide.md", *papers, "changelog.md", "contributing.md"]},
        {"Gallery": "gallery.md"},
        {"Course": ["course/index.md", *notebooks, "course/glossary.md"]},
        {"Doctor": ["doctor/index.md", *(f"doctor/{key}.md" for key in TITLES)]},
        {"Benchmarks": "benchmarks.md"},
        {
            "API": [
                "api/index.md",
                "api/workbench.md",
                "api/settings.md",
                *(f"api/{room}.md" for room in api.rooms()),
            ]
        },
        {"Repository": repository.REPOSITORY},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All that is not written by hand for the site."""
    for path, place in repository.pictures().items():
        files.append(File.generated(config, place, abs_src_path=str(repository.ROOT / path)))
    for place, content in _pages().items():
        files.append(File.generated(config, place, content=content))
    files.append(File.generated(config, "dashboard.html", content=_dashboard()))
    files.append(File.generated(config, "workbench.css", content=gallery.style()))
    return files


def _pages() -> dict[str, str]:
    pages = {
        page: repository.linked((repository.ROOT / path).read_text(encoding="utf-8"), path, page)
        for path, page in repository.documents().items()
    }
    junit = os.environ.get("SITE_TESTS")
    table = courses.outcome_table(Path(junit) if junit else None)
    pages["course/index.md"] += f"\n{table}"
    pages |= {page: courses.course_page(path) for path, page in repository.notebooks().items()}
    return pages | findings.finding_pages() | api.api_pages() | {"gallery.md": gallery.page()}


def _dashboard() -> str:
    """The exported page of a recorded run, as `workbench export` makes it."""
    from workbench.course import recorded
    from workbench.widgets.export_html import export_html

    with tempfile.TemporaryDirectory() as folder:
        return export_html(recorded(RECORDED), Path(folder) / "run.html").read_text("utf-8")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of the site's own pages, includes, lists, and charts as pictures."""
    place = page.file.src_uri
    source = f"{repository.HAND_WRITTEN}/{place}"
    if (repository.ROOT / source).exists():
        markdown = repository.linked(markdown, source, place)
        markdown = repository.included(markdown, place)
    return repository.with_lists(with_charts(markdown))


def on_page_content(html: str, **_: Any) -> str:
    """Formulas as MathML."""
    return with_mathml(html)
