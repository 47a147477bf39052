"""A page per finding of the doctor, made from the rules: what is seen, the evidence and the
thresholds, what to do, and the faults of the lab that it names.

The example is the run with which the rule's own test makes it speak (`tests/doctor`), so that no
page can say what the doctor does not.
"""

from __future__ import annotations

import ast
import functools
import html
import inspect
import itertools
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from website.repository import ROOT, SiteError, linked, repository_link
from workbench.doctor import SEVERITIES, SIGNS, Finding, diagnose, thresholds
from workbench.doctor.pages import TITLES
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.text import safe_text
from workbench.widgets.doctor.markup import severity_class
from workbench.widgets.doctor.spark import spark_html

MATRIX = ROOT / "docs" / "faults.md"
FROM_WHERE = (
    "*Words and figures are those of a run that the doctor's tests make up; yours are of your run. "
    "`workbench doctor RUN` prints them, the dashboard's page Doctor draws them.*"
)
MEANINGS = {
    "problem": "training cannot work like this",
    "warning": "it probably goes wrong, or steps are wasted",
    "note": "good to know",
    "good": "something that went well",
}


def finding_pages() -> dict[str, str]:
    """Site path -> Markdown of every finding's page, and of the list of them."""
    cases = cases_by_key()
    missing = [key for key in TITLES if key not in cases]
    if missing:
        raise SiteError(f"tests/doctor/test_rules.py has no run for {', '.join(missing)}.")
    with tempfile.TemporaryDirectory() as folder:
        pages = {
            f"doctor/{key}.md": finding_page(key, cases[key], Path(folder) / key) for key in TITLES
        }
    return pages | {"doctor/index.md": _index(cases)}


def cases_by_key() -> dict[str, list[Any]]:
    """Key -> the cases of the doctor's tests, one for each severity, the worst first."""
    sys.path[:0] = [str(ROOT / "tests")]
    from doctor.test_rules import CASES

    found: dict[str, list[Any]] = {}
    for severity in SEVERITIES:
        for case in CASES:
            of_key = found.setdefault(case.key, [])
            if case.severity == severity and severity not in [c.severity for c in of_key]:
                of_key.append(case)
    return found


def finding_page(key: str, cases: list[Any], folder: Path) -> str:
    """The page of one finding; its cases' runs are made in `folder`."""
    first, *others = [_example(case, folder / str(n)) for n, case in enumerate(cases)]
    rule = cases[0].rule
    finding, spark = first
    return "\n\n".join(
        part
        for part in (
            f"# {TITLES[key]}",
            f"{_severities(cases)} · `{key}`",
            f"> {_prose(inspect.getdoc(rule) or '')}",
            "## What is seen",
            _words(finding.what),
            "## The evidence",
            f'<div class="wb"><div class="evidence {severity_class(finding.severity)}">'
            f"{_words(finding.evidence)}{spark}</div></div>",
            FROM_WHERE,
            _thresholds(rule),
            "## What to do",
            _words(finding.try_) if finding.try_ else "Nothing: nothing is lost.",
            *(_other(other) for other, _ in others),
            _faults(key),
            f"The rule: [`{rule.__name__}`]({_source(rule)}). [All findings](index.md).",
        )
        if part
    )


def _example(case: Any, path: Path) -> tuple[Finding, str]:
    """The finding of a case's run, and its curve as a picture."""
    from doctor.test_rules import case_run

    run = case_run(path, case.trigger)
    finding = next(f for f in diagnose(run) if f.key == case.key)
    return finding, spark_html(RunSource(run), finding.curve, run.last_step())


def _words(text: str) -> str:
    """A finding's words, which may quote a run: inert, and no Markdown."""
    return f"<p>{safe_text(text, 1200).replace(' %', '&nbsp;%')}</p>"


def _prose(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False)


def _severities(cases: Iterable[Any]) -> str:
    return ", ".join(
        f"**{SIGNS[case.severity]} {case.severity}** ({MEANINGS[case.severity]})" for case in cases
    )


def _other(finding: Finding) -> str:
    """The same finding where it is less bad."""
    remedy = _words(f"Try: {finding.try_}") if finding.try_ else ""
    return (
        f"### As a {finding.severity if finding.severity != 'good' else 'good sign'}\n\n"
        f"{_words(finding.what)}{_words(f'Evidence: {finding.evidence}')}{remedy}"
    )


# ------------------------------------------------------------ thresholds


def _thresholds(rule: Any) -> str:
    names = sorted(threshold_names(rule))
    if not names:
        return ""
    reasons = threshold_reasons()
    rows = "".join(
        f"| `{name}` | {_value(getattr(thresholds, name))} | {_cell(reasons[name])} |\n"
        for name in names
    )
    return f"It is held against:\n\n| threshold | value | why |\n|---|---|---|\n{rows}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|") or "as above"


def threshold_names(rule: Any) -> set[str]:
    """The thresholds that a rule reads, itself or through the functions of its file."""
    module = sys.modules[rule.__module__]
    functions = _functions(module)
    seen: set[str] = set()
    names: set[str] = set()
    left = [rule.__name__]
    while left:
        name = left.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in ast.walk(functions[name]):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "t":
                names.add(node.attr)
            if isinstance(node, ast.Name):
                left.append(node.id)
    return names


@functools.cache
def _functions(module: ModuleType) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@functools.cache
def threshold_reasons() -> dict[str, str]:
    """Threshold -> the reason that stands below it."""
    body = ast.parse(inspect.getsource(thresholds)).body
    found = {}
    for node, after in itertools.pairwise(body):
        if isinstance(node, ast.Assign):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            reason = str(after.value.value) if said else ""  # type: ignore[attr-defined]
            names = [n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)]
            found.update(dict.fromkeys(names, reason))
    return found


# ------------------------------------------------------------ faults


def _faults(key: str) -> str:
    from workbench.faults import FAULTS

    named = [fault for fault in FAULTS.values() if key in fault.finding_keys]
    if not named:
        return ""
    matrix = matrix_rows()
    rows = "".join(
        f"| `{fault.name}` | {matrix[fault.name][0]} | {matrix[fault.name][1]} | "
        f"{', '.join(fault.reports)} |\n"
        for fault in named
    )
    said = "\n\n".join(f"`{f.name}`: {_prose(inspect.getdoc(f) or '')}" for f in named)
    healthy = matrix["(healthy)"][0]
    about = linked("[the fault lab](faults.md)", "docs/faults.md", f"doctor/{key}.md")
    return (
        "## The fault that it names\n\nMeasured by putting the mistake into runs on purpose "
        f"({about}); healthy runs: {healthy}.\n\n"
        "| fault | named in | by the findings | reported in |\n|---|---|---|---|\n"
        f"{rows}\n{said}"
    )


@functools.cache
def matrix_rows() -> dict[str, tuple[str, str]]:
    """Fault -> (named in, by which findings), as docs/faults.md has them."""
    block = MATRIX.read_text(encoding="utf-8").split("<!-- matrix -->")[1]
    rows = [line.split("|")[1:-1] for line in block.splitlines() if line.startswith("|")]
    return {row[0].strip(): (row[1].strip(), row[2].strip()) for row in rows}


def _source(rule: Any) -> str:
    file = Path(inspect.getsourcefile(rule) or "").resolve().relative_to(ROOT)
    return repository_link(file.as_posix(), rule.__name__)


# ------------------------------------------------------------ the list


def _index(cases: dict[str, list[Any]]) -> str:
    rows = "".join(
        f"| [{TITLES[key]}]({key}.md) | {' '.join(map(_short, cases[key]))} | `{key}` |\n"
        for key in TITLES
    )
    return (
        "# What the doctor finds\n\n"
        f"The doctor reads a run's record and says in words what is going on: {len(TITLES)} "
        "findings, each with its evidence, the thresholds it is held against and what to try. Each "
        "page is made from the rule itself.\n\n"
        f"| finding | severity | key |\n|---|---|---|\n{rows}"
    )


def _short(case: Any) -> str:
    return f"{SIGNS[case.severity]}&nbsp;{case.severity}"
