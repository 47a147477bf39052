"""The push strip: sums by hand, few columns for long runs, each step read once, and the column that
chooses a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import growing_run, make_run

from workbench.widgets.base.source import RunSource
from workbench.widgets.tokens import strip_part
from workbench.widgets.tokens.strip import COLUMNS, ROWS, columns_of, pushes_of, strip_of
from workbench.widgets.tokens.strip_part import page_of, words_of
from workbench.widgets.tokens.view import TokensView


def pushed(step: int, floats: dict) -> dict:
    """Only first tokens are pushed: those of even rows up, of odd ones down."""
    n = len(floats["logp"])
    starts = np.arange(0, n, n // 16)
    coefficient = np.zeros(n)
    coefficient[starts] = np.where(np.arange(16) % 2 == 0, 2.0, -1.0)
    return {"coefficient": coefficient, "logp": np.full(n, np.log(0.75))}


@pytest.fixture
def how() -> dict:
    """All completions have as many tokens, so that their starts are known."""
    return {"tokens": 12, "truncation": 1.0, "logps": pushed}


def test_sums_by_hand(tmp_path: Path, how: dict) -> None:
    run = make_run(tmp_path / "a", steps=1, **how)
    up_P, down_P = pushes_of(run, 1)
    # 8 rows up by 2 and 8 down by 1, each x (1 - 0.75).
    np.testing.assert_allclose(up_P, [8 * 2 * 0.25] + [0] * 11, rtol=1e-6)
    np.testing.assert_allclose(down_P, [8 * 1 * 0.25] + [0] * 11, rtol=1e-6)
    words = words_of(strip_of([1], [np.stack([up_P, down_P])]))
    assert words == (
        "Of all push 100 % falls on position 0 (100 % in the last step); 1 of 12 positions have "
        "90 % of it."
    )


def test_a_skipped_row_counts_as_no_push(tmp_path: Path, how: dict) -> None:
    def skipped(step: int, floats: dict) -> dict:
        made = pushed(step, floats)
        made["logp"][: len(made["logp"]) // 16] = np.nan
        return made

    run = make_run(tmp_path / "a", steps=1, **how | {"logps": skipped})
    np.testing.assert_allclose(pushes_of(run, 1)[0].sum(), 7 * 2 * 0.25, rtol=1e-6)


def test_a_run_without_coefficients_has_no_strip(tmp_path: Path) -> None:
    source = RunSource(
        make_run(tmp_path / "a", steps=2, logps=lambda step, floats: {"coefficient": None})
    )
    view = TokensView()
    view.show([source], None)
    page = view.strip.widget.page
    assert page["steps"] == []
    assert "No step has a recorded push" in page["words"]


def test_columns_stay_as_a_run_goes_on_and_rows_are_bands() -> None:
    before, after = columns_of(range(1, 1001)), columns_of(range(1, 1002))
    assert len(before) <= COLUMNS + 1
    assert set(before[:-1]) <= set(after), "what was read need not be read again"
    assert (before[-1], after[-1]) == (1000, 1001)
    assert columns_of([]) == []
    long = strip_of([1], [np.ones((2, 1000))])
    assert long.up_SP.shape[1] <= ROWS
    assert long.up_SP.sum() == 1000
    assert len(page_of(long)["cells"]) == 2 * long.up_SP.size


def test_each_step_is_read_once_and_a_column_chooses_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict
) -> None:
    live = growing_run(tmp_path / "a", **how)
    live.add(3)
    source = RunSource(live.run)
    view = TokensView()
    read: list[int] = []

    def counted(run, step):
        read.append(step)
        return pushes_of(run, step)

    monkeypatch.setattr(strip_part, "pushes_of", counted)
    view.show([source], None)
    live.add(1)
    source.refresh()
    view.show([source], None)
    assert read == [1, 2, 3, 4]
    box = view.strip.widget
    assert box.page["steps"] == [1, 2, 3, 4]
    assert box.step == 4
    box.set_state({"picked": [2, 1]})
    assert view.selection.step == 2
    assert view.step == 2
    assert box.step == 2
    live.end()
