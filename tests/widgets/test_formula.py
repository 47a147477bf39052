"""The formula with its numbers: what stands under a symbol is what the loss computed with, to the
last digit."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from made_runs import make_run

from workbench.objective import TERMS
from workbench.widgets.base.source import RunSource
from workbench.widgets.tokens.view import TokensView
from workbench.widgets.what_if.comparison import outcome
from workbench.widgets.what_if.formula import token_formula, update_terms
from workbench.widgets.what_if.formula_markup import FORMS, TokenFormula, formula_html, words
from workbench.widgets.what_if.kept_batch import KeptBatch, WhatIfError

LOSSES = {
    "dapo": {"epsilon": 0.05, "beta": 0.05},
    "grpo": {"epsilon": 0.05, "delta": 1.1, "kl_estimator": "k2", "beta": 0.1},
    "luspo": {"importance_sampling_level": "sequence", "epsilon": 0.01},
    "cispo": {"epsilon_high": 1.05},
    "sapo": {},
    "vespo": {},
    "gmpo": {"epsilon": 0.05},
    "dppo_tv": {"divergence_threshold": 0.02},
    "clip_cov": {"clip_cov_ratio": 0.1, "clip_cov_min": 0.01},
    "kl_cov": {"kl_cov_ratio": 0.1},
    "reinforce": {},
}


def kept_of(tmp_path) -> KeptBatch:
    return KeptBatch.of(make_run(tmp_path / "run", steps=2).batch(2))


def formulas(kept: KeptBatch, config) -> list[TokenFormula]:
    """Of every token that the loss counts."""
    found = []
    for row in range(len(kept.counted_BT)):
        terms = update_terms(kept, config, row)
        positions = kept.counted_BT[row].nonzero().flatten().tolist()
        found += [token_formula(terms, row, position) for position in positions]
    return found


def term_again(f: TokenFormula) -> float:
    """The token's loss from the written numbers alone, by hand."""
    n, s = f.numbers, f.settings
    policy = {
        "clipped_surrogate": lambda: -min(n["first"], n["second"]),
        "covariance_clipped": lambda: -(1 - n["chosen"]) * min(n["first"], n["second"]),
        "capped_reinforce": lambda: -min(n["r"], s.epsilon_high) * n["A"] * n["logp"],
        "log_likelihood": lambda: -n["A"] * n["logp"],
        "soft_gate": lambda: -n["A"] * n["gate"] * 4 / n["tau"],
        "gamma_weighted": lambda: -n["phi"] * n["A"] * n["logp"],
        "geometric_mean": lambda: -math.exp(n["mean"]) * n["A"],
        "masked_surrogate": lambda: 0.0 if f.clipped else -n["r"] * n["A"],
        "covariance_held": lambda: -n["r"] * n["A"] + n["chosen"] * s.kl_cov_coef * n["distance"],
    }[f.form]()
    return n["w"] * policy + s.beta * n.get("kl", 0.0)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_written_numbers_make_the_loss_to_the_last_digit(tmp_path, loss_type) -> None:
    kept = kept_of(tmp_path)
    batch = replace(
        kept.batch,
        **{
            name: getattr(kept.batch, name).double()
            for name in ("logp", "old_logp", "ref_logp", "advantages")
        },
        sampler_logp=None,
    )
    kept = replace(kept, batch=batch)
    config = kept.changed({"loss_type": loss_type} | LOSSES[loss_type])[0]
    found = formulas(kept, config)
    for f in found:
        assert f.numbers["term"] == pytest.approx(term_again(f), rel=1e-14, abs=1e-16)
    total = math.fsum(f.contribution for f in found) / found[0].updates
    assert total == pytest.approx(outcome(kept, config).loss, rel=1e-14, abs=1e-16)


def test_they_are_those_of_the_recorded_step(tmp_path) -> None:
    """In the record's own precision: each term is the very number that the loss added up, and their
    sum is the loss of the record."""
    run = make_run(tmp_path / "run", steps=2)
    kept = KeptBatch.of(run.batch(2))
    stored = run.batch(2)
    found = update_terms(kept, kept.config, 9)
    f = token_formula(found, 9, 1)
    place = found.rows_R.tolist().index(9)
    assert f.numbers["term"] == float(found.out.per_token.term[place, 1])
    assert f.numbers["logp"] == float(stored["logp_BT"][9, 1])
    assert f.numbers["old_logp"] == float(stored["old_logp_BT"][9, 1])
    assert f.numbers["A"] == pytest.approx(stored["advantages_B"][9], rel=1e-7)
    total = math.fsum(one.contribution for one in formulas(kept, kept.config)) / f.updates
    assert total == pytest.approx(outcome(kept, kept.config).loss, rel=1e-6)


def test_the_deciding_branch_is_framed_and_named(tmp_path) -> None:
    kept = kept_of(tmp_path)
    config = kept.changed({"epsilon": 0.05})[0]
    found = {f.decides: f for f in formulas(kept, config) if f.numbers["A"] != 0}
    assert set(found) == {"first", "second", "both"}
    for name, f in found.items():
        drawn = formula_html(f)
        framed = [part.split("</munder></mrow>")[0] for part in drawn.split("wb-decides")[1:]]
        assert len(framed) == (2 if name == "both" else 1)
        assert ("clip" in framed[0]) == (name == "second")
    assert found["second"].clipped
    assert "the clipped branch decides" in words(found["second"])
    assert "keeps its push" in words(found["first"])
    assert "both branches are equal" in words(found["both"])


def test_every_term_has_a_written_form() -> None:
    assert set(FORMS) == {term.__name__ for term in TERMS.values()}


@pytest.mark.parametrize("loss_type", LOSSES)
def test_every_symbol_has_its_number_under_it(tmp_path, loss_type) -> None:
    kept = kept_of(tmp_path)
    config = kept.changed({"loss_type": loss_type} | LOSSES[loss_type])[0]
    row = kept.row_to_show
    drawn = formula_html(token_formula(update_terms(kept, config, row), row, 0))
    assert drawn.count("<munder>") == drawn.count("</munder>") > 2
    assert "nan" not in drawn
    balance = {tag: drawn.count(f"<{tag}") - drawn.count(f"</{tag}>") for tag in ("math", "mrow")}
    assert set(balance.values()) == {0}
    assert re.search(r"<mi>A</mi></mrow><mtext class=\"wb-n\">[−0-9.e]+", drawn)


def test_a_token_that_is_not_counted_is_refused_with_its_place(tmp_path) -> None:
    kept = kept_of(tmp_path)
    row = int((~kept.counted_BT[:, -1]).nonzero()[0])
    last = kept.counted_BT.shape[1] - 1
    with pytest.raises(WhatIfError, match=f"token {last} of completion {row} is not counted"):
        token_formula(update_terms(kept, kept.config, row), row, last)


def test_a_locked_token_on_the_page_of_tokens_has_its_loss_written(tmp_path) -> None:
    run = make_run(tmp_path / "run", steps=2)
    view = TokensView()
    view.show([RunSource(run)], 2)
    assert view.loss.widget.value == ""
    rows = [view.row, view.beside]
    for pane, row in enumerate(rows):
        view.body.locked = [pane, 1]
        assert f"The loss of token 1 of completion {row}," in view.loss.widget.value
        assert repr(float(run.batch(2)["logp_BT"][row, 1])) in view.loss.widget.value
    view.body.locked = [-1, -1]
    assert view.loss.widget.value == ""
    view.body.locked = [0, 99]
    assert "token 99 of completion" in view.loss.widget.value
