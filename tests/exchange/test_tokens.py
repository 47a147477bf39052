"""Tokens and log-probabilities of another trainer's files: kept, refused by place and value, shown
with what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange.test_importing import jsonl_row, written
from inert_html import assert_inert, text_of

from workbench.doctor import diagnose
from workbench.exchange import ImportFileError, import_completions
from workbench.runs import Run
from workbench.widgets.base.source import RunSource
from workbench.widgets.export_html import export_html
from workbench.widgets.tokens.view import TokensView
from workbench.widgets.what_if.view import WhatIfView

ALL = ("logp", "old_logp", "ref_logp", "sampler_logp")
TEXTS = (" a", "<script>alert(1)</script>", "\u202eb")


def row_of(i: int, *names: str, **changes: Any) -> dict[str, Any]:
    """Completion `i` of a group of 4, with i + 1 tokens and their log-probabilities."""
    ids = [7 + k % 3 for k in range(i + 1)]
    logps = {
        name: [-0.1 * (k + 1) - 0.05 * place for k in range(i + 1)]
        for place, name in enumerate(ALL)
        if name in names
    }
    texts = [TEXTS[k - 7] for k in ids]
    given = {"reward": float(i % 2), "advantage": float(2 * (i % 2) - 1)}
    return (
        jsonl_row(token_ids=ids, tokens=texts, completion="".join(texts), **given)
        | logps
        | (changes)
    )


def imported(tmp_path: Path, rows: list[dict[str, Any]]) -> tuple[Run, str]:
    """The run, and all that was said of it."""
    made = import_completions([written(tmp_path / "c.jsonl", rows)], "jsonl", tmp_path / "run")
    return Run.open(made.path), " ".join(made.notes)


def test_tokens_and_every_log_probability_are_kept(tmp_path: Path) -> None:
    run, said = imported(tmp_path, [row_of(i, *ALL) for i in range(4)])
    arrays = run.token_arrays(1)
    assert arrays["lengths"].tolist() == [1, 2, 3, 4]
    assert arrays["ids"].tolist() == [7, 7, 8, 7, 8, 9, 7, 8, 9, 7]
    np.testing.assert_allclose(arrays["ref_logp"][:3], [-0.2, -0.2, -0.3], rtol=1e-6)
    assert run.vocab() == dict(zip((7, 8, 9), TEXTS, strict=True))
    assert run.samples(1)["length"].tolist() == [1, 2, 3, 4]
    assert run.steps()["completion_length"].tolist() == [2.5]
    assert "log-probabilities" not in said
    assert "Columns not read" not in said


def test_texts_alone_are_numbered_and_ids_alone_are_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    run, said = imported(
        tmp_path / "texts", [row_of(i, token_ids=None, length=i + 1) for i in range(4)]
    )
    assert "the texts were numbered" in said
    assert "reference's" in said
    ids = run.token_arrays(1)["ids"].tolist()
    assert [run.vocab()[i] for i in ids[-4:]] == [*TEXTS, TEXTS[0]]
    (tmp_path / "ids").mkdir()
    run, said = imported(tmp_path / "ids", [row_of(i, tokens=None) for i in range(4)])
    assert run.vocab() == {}
    assert "shown by their ids" in said


def test_what_only_some_have_is_left_out_and_said(tmp_path: Path) -> None:
    rows = [row_of(i, "logp", "old_logp") for i in range(4)]
    rows[2].pop("old_logp")
    rows += [row_of(i, step=2) for i in range(3)]
    rows.append(jsonl_row(step=2, reward=0.0, advantage=-1.0))
    run, said = imported(tmp_path, rows)
    assert set(run.token_arrays(1)) == {"lengths", "ids", "logp"}
    assert run.token_arrays(2) == {}
    assert "those before the update (old_logp)" in said
    assert "not all of their completions have some: 2" in said


def test_several_texts_of_one_id_are_said(tmp_path: Path) -> None:
    rows = [row_of(0), row_of(0, tokens=[" other"])]
    run, said = imported(tmp_path, rows)
    assert run.vocab()[7] == TEXTS[0]
    assert "1 token ids have several texts" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"logp": [-0.1]}, "'token_ids' has 2 values and 'logp' has 1"),
        ({"tokens": ["a"]}, "'token_ids' has 2 values and 'tokens' has 1"),
        ({"logp": [-0.1, 0.3]}, "logp[1] is 0.3, expected the logarithm of a probability"),
        ({"logp": [None, -0.3]}, "logp[0] is None"),
        ({"logp": [True, -0.3]}, "logp[0] is True"),
        ({"logp": [-1e999, -0.3]}, "Infinity is not JSON"),
        ({"logp": [float("nan"), -0.3]}, "NaN is not JSON"),
        ({"ref_logp": "[-0.1, -0.2]"}, "ref_logp is '[-0.1, -0.2]', expected a list"),
        ({"sampler_logp": {"7": -0.1}}, "sampler_logp is {'7': -0.1}, expected a list"),
        ({"token_ids": [7, -1]}, "token_ids[1] is -1, expected a token id"),
        ({"token_ids": [7, 2**31]}, "token_ids[1] is 2147483648"),
        ({"token_ids": ["7", 8]}, "token_ids[0] is '7'"),
        ({"tokens": ["a", 8]}, "tokens[1] is 8, expected the text of a token"),
        ({"length": 3}, "'length' is 3, and 2 tokens are there"),
        ({"token_ids": None, "tokens": None, "logp": [-1.0, -1.0]}, "no tokens that it could be"),
    ],
)
def test_wrong_tokens_are_refused_by_line_and_value(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "c.jsonl", [row_of(0), row_of(1) | changes])
    with pytest.raises(Exception, match="line 2: ") as error:
        import_completions([file], "jsonl", tmp_path / "run")
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


def test_not_a_number_in_a_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [row_of(1), row_of(1, logp=[float("nan"), -0.1])]
    rows[0]["logp"] = [-0.1, -0.1]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    with pytest.raises(ImportFileError, match=r"row 1: logp\[0\] is nan"):
        import_completions([tmp_path / "c.parquet"], "jsonl", tmp_path / "run")


def test_ids_here_and_texts_there_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "c.jsonl", [row_of(1), row_of(1, token_ids=None)])
    with pytest.raises(ImportFileError, match="the ids of all, or of none"):
        import_completions([file], "jsonl", tmp_path / "run")


# ---------------------------------------------------------------- what the pages say


def tokens_page(run: Run) -> TokensView:
    view = TokensView()
    view.show([RunSource(run)], 1)
    assert view.message.value == ""
    assert_inert(view.body.html)
    return view


def what_if_page(run: Run) -> WhatIfView:
    view = WhatIfView()
    view.show([RunSource(run)], 1)
    return view


def test_the_pages_compute_what_all_four_allow_and_assume_nothing(tmp_path: Path) -> None:
    run, _ = imported(tmp_path, [row_of(i, *ALL) for i in range(4)])
    view = tokens_page(run)
    # There is no push: the page opens on the first quantity that is there.
    assert view.quantity_menu.value == "advantage"
    page = text_of(view.body.html)
    assert "last used in update" not in page
    assert "ended by itself" not in page
    for name, words in {
        "clipped": "the run's settings are not in the record",
        "term": "the run's settings are not in the record",
        "kl": "By kl_estimator='k3'",
        "coefficient": "coefficient was not recorded",
    }.items():
        view.quantity_menu.value = name
        assert words in text_of(view.body.html)
    readings = view.body.readings[0]
    np.testing.assert_allclose(readings["ratio"], np.exp(0.05), rtol=1e-5)
    assert "clipped" not in readings

    asked = what_if_page(run)
    assert asked.comparison is not None
    said = text_of(asked.result.value)
    assert "settings are not in the record" in said
    assert "this is what happened" not in said
    assert "assumes loss_type=" in text_of(asked.figures.value)


@pytest.mark.parametrize(
    ("names", "opens_on", "refused"),
    [
        ((), "advantage", "the log-probabilities of this step ('logp') were not kept"),
        (("sampler_logp",), "advantage", "('logp') were not kept"),
        (("logp",), "advantage", "the ratios are not known"),
        (("logp", "old_logp"), "advantage", ""),
    ],
)
def test_the_pages_say_what_is_missing(
    names: tuple[str, ...], opens_on: str, refused: str, tmp_path: Path
) -> None:
    run, _ = imported(tmp_path, [row_of(i, *names) for i in range(4)])
    view = tokens_page(run)
    assert view.quantity_menu.value == opens_on
    asked = what_if_page(run)
    assert (asked.comparison is None) == bool(refused)
    assert refused in text_of(asked.head.value)
    view.quantity_menu.value = "sampled"
    page = text_of(view.body.html)
    if names == ("sampler_logp",):
        assert "The sampler's: old_logp was not recorded" in page
        assert view.body.readings[0]["logp when sampled"][0] == pytest.approx(-0.25)
    if not names:
        assert "Not available: sampler_logp was not recorded" in page
    export_html([run.path], tmp_path / "page.html")
    assert "<script>alert(1)</script>" not in (tmp_path / "page.html").read_text()


def test_without_advantages_there_is_no_what_if(tmp_path: Path) -> None:
    rows = [row_of(i, "logp", "old_logp") for i in range(4)]
    for row in rows:
        del row["advantage"]
    run, _ = imported(tmp_path, rows)
    view = tokens_page(run)
    assert view.quantity_menu.value == "ratio"
    view.quantity_menu.value = "advantage"
    assert "advantage of this completion is not in the record" in text_of(view.body.html)
    assert "no completion of this step has an advantage" in text_of(what_if_page(run).head.value)
    export_html([run.path], tmp_path / "page.html")


# ---------------------------------------------------------------- what the doctor says


@pytest.mark.parametrize("names", [None, (), ("sampler_logp", "logp"), ALL])
def test_the_doctor_says_once_what_is_missing_and_nothing_beyond(
    names: tuple[str, ...] | None, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for step in range(1, 41):
        for i in range(8):
            # The sampler's differ from an updated policy's by more than rounding.
            row = row_of(i % 4, *(names or ()), step=step, prompt=f"None of {step} and {i // 4}?")
            row["reward"] = float(rng.random() < step / 50)
            row["truncated"] = i > 4
            if names is None:
                del row["token_ids"], row["tokens"], row["advantage"]
            rows.append(row)
    run, _ = imported(tmp_path, rows)
    found = {finding.key: finding for finding in diagnose(run)}
    note = found["imported"]
    assert "files of jsonl" in note.what
    assert "the KL" in note.evidence
    assert ("tokens and their log-probabilities" in note.evidence) == (names is None)
    assert ("the reference's" in note.evidence) == (names in ((), ("sampler_logp", "logp")))
    assert "no_evaluation" not in found
    assert "a larger max_completion_length" in found["truncated"].try_
    assert not {key for key in found if key.startswith("sampler_") and names != ALL}
    for finding in found.values():
        assert "None" not in finding.what + finding.evidence + finding.try_, finding.key
        assert not [act for act in finding.acts if type(act).__name__ == "Branch"]
    # It is told of an earlier step, too.
    assert "imported" in {finding.key for finding in diagnose(run, 20, since=10)}
