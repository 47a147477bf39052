"""The notebooks as pages: text, code and folded solutions, as they stand in the repository, where
no notebook has outputs; and the table of a test run that ran them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from website.repository import ROOT, linked, notebooks

_OPEN_DETAILS = re.compile(r"<details>")


def course_page(notebook: str) -> str:
    """A notebook's cells as Markdown, its links as on the site."""
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join(_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells)
    return linked(text, notebook, notebooks()[notebook])


def _cell(kind: str, source: str) -> str:
    if kind == "code":
        return f"```python\n{source}\n```"
    # What is folded is Markdown as well.
    return _OPEN_DETAILS.sub('<details markdown="1">', source)


def title_of(notebook: str) -> str:
    """The heading of a notebook."""
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    return "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")


def outcomes(junit: Path) -> dict[str, tuple[str, float]]:
    """Notebook -> (outcome, seconds) of the test run whose JUnit file this is."""
    found: dict[str, tuple[str, float]] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        for path in notebooks():
            if case.get("classname", "") == path.replace("/", "."):
                found[path] = (_outcome(case), float(case.get("time", "nan")))
    return found


def _outcome(case: ElementTree.Element) -> str:
    for kind, word in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if case.find(kind) is not None:
            return word
    return "passed"


def outcome_table(junit: Path | None) -> str:
    """The table below the course's own; words alone where no test run was given."""
    head = "## The last test run\n\n"
    found = outcomes(junit) if junit is not None else {}
    if not found:
        return head + (
            "This site was built without a test run beside it. `.ci/run` hands the one it made to "
            "`.ci/site`, and the table of its outcomes stands here then.\n"
        )
    rows = "".join(
        f"| [{title_of(path)}]({Path(path).stem}.md) | {word} | {seconds:.0f} s |\n"
        for path, (word, seconds) in found.items()
    )
    return (
        f"{head}Made from the tests that ran before this site was built; each notebook is one of "
        f"them, two at a time.\n\n| notebook | outcome | time |\n|---|---|---|\n{rows}"
    )
