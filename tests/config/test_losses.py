"""The facts of the losses: nothing can be forgotten, and reading them costs no torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from workbench.config import LOSS_TYPES, LOSSES, GRPOConfig, LossFacts


def test_a_forgotten_field_fails_when_the_row_is_made() -> None:
    facts = dataclasses.asdict(LOSSES["dapo"])
    for name in facts:
        with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{name}'"):
            LossFacts(**{field: value for field, value in facts.items() if field != name})


@pytest.mark.parametrize(
    "wrong", [dict(bound="hard"), dict(reduction="tokens"), dict(levels=("word",))], ids=str
)
def test_a_word_that_no_table_knows_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="in no table"):
        dataclasses.replace(LOSSES["dapo"], **wrong)


def test_the_choices_of_the_field_are_the_rows() -> None:
    (field,) = (f for f in dataclasses.fields(GRPOConfig) if f.name == "loss_type")
    assert field.metadata["choices"] == LOSS_TYPES == tuple(LOSSES)


def test_the_config_is_read_without_torch() -> None:
    code = (
        "import sys, workbench.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
