"""Records with a hostile text in every field: exported, printed and drawn, and inert there."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile.many import does_nothing
from hostile.records import hostile_run
from hostile.texts import ESCAPED_FROM, FORMULAS, PAYLOADS, PIECES, hostile_texts

from workbench.commands.printing import say_lines
from workbench.doctor.report import report
from workbench.runs import export_csv
from workbench.runs.export import FORMULA
from workbench.widgets import Dashboard
from workbench.widgets.export_html import export_html

EVERY = [piece for pieces in PIECES.values() for piece in pieces]
TURNS = [EVERY[i:] + EVERY[:i] for i in range(0, len(EVERY), 41)]
ACTS = {"iframe", "object", "embed", "form", "base", "link", "img", "template", "math", "frame"}


class _Acting(HTMLParser):
    """Collects what could act in a page, its two scripts and its policy apart."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag in ACTS:
            self.found.append(tag)
        for name, value in attrs:
            leads_out = name in ("href", "src", "action") and not (value or "").startswith("#")
            if name.startswith("on") or leads_out or "192.0.2.1" in (name, value):
                self.found.append(f"{tag} {name}={value!r:.80}")


@pytest.mark.slow
def test_payloads_in_every_field_of_an_exported_page(tmp_path: Path) -> None:
    # Each with one of its five surroundings; the browser's test has them all.
    for i, payload in enumerate(PAYLOADS[:: len(ESCAPED_FROM) - 1]):
        run = hostile_run(tmp_path / f"run{i}", [payload], steps=1)
        text = export_html(run, tmp_path / "page.html").read_text()
        # The library comes last and is nobody's text.
        parser = _Acting()
        parser.feed(text[: text.index("<script")])
        assert parser.found == [], payload
        assert text.count("<script") == 3
        data = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text)
        assert data is not None
        assert "<" not in data.group(1)


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_nothing_of_a_hostile_record_ends_a_page_or_a_command(
    tmp_path: Path, turn: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = hostile_run(tmp_path / "run", [*TURNS[turn], *hostile_texts(40, turn)])
    say_lines(report(run))
    assert does_nothing(capsys.readouterr().out.replace("\n", ""))
    export_html(run, tmp_path / "page.html")
    dashboard = Dashboard(run)
    for i, _ in enumerate(dashboard.views):
        dashboard.tabs.selected_index = i
        for step in (1, 3):
            dashboard.show_step(step)
            message = getattr(dashboard.view, "message", None)
            told = (dashboard.error.value, str(getattr(message, "value", message)))
            assert not any("Error" in text for text in told), type(dashboard.view).__name__


def test_a_spreadsheet_computes_nothing_of_an_exported_table(tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "run", FORMULAS)
    files = [file for file in export_csv(run, tmp_path / "csv") if file.suffix == ".csv"]
    texts = 0
    for file in files:
        with file.open(newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        texts += sum(cell.startswith("'") for cell in cells)
        bad = [c for c in cells if c.startswith(FORMULA) and not re.fullmatch(r"-[\d.e+-]+", c)]
        assert bad == [], file.name
    assert texts > 20
