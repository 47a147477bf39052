"""The loss of the token that is locked on the page of tokens, with its numbers."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.widgets.base.guarded import set_if_changed
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch
from workbench.widgets.tokens.row import UNKNOWN_SETTINGS
from workbench.widgets.what_if.formula_markup import formula_html

if TYPE_CHECKING:
    from workbench.widgets.what_if.kept_batch import KeptBatch


class LockedLoss:
    """`widget` is empty until `show` is told which token is locked."""

    def __init__(self) -> None:
        self.widget = widgets.HTML()
        self._read: tuple[object, KeptBatch] | None = None

    def clear(self) -> None:
        """No token is locked."""
        set_if_changed(self.widget, "value", "")

    def show(self, source: RunSource, step: int, row: int, position: int) -> None:
        """Write the loss of a token of a recorded step as it was; what stands in the way is said in
        its place."""
        try:
            inner = self._written(source, step, row, position)
        except (WorkbenchError, ValueError) as error:
            inner = f"<p class='wb-dim'>No loss to write out: {html.escape(str(error))}</p>"
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            inner = f"<p class='wb-dim'>{html.escape(needs_torch('The written loss'))}</p>"
        set_if_changed(self.widget, "value", framed(inner))

    def _written(self, source: RunSource, step: int, row: int, position: int) -> str:
        from workbench.widgets.what_if.formula import token_formula, update_terms

        kept = self._kept(source, step)
        if not kept.settings_known:
            raise ValueError(f"{UNKNOWN_SETTINGS}. What if writes it with the defaults.")
        formula = token_formula(update_terms(kept, kept.config, row), row, position)
        return (
            f"<h3>The loss of token {position} of completion {row}, as the update had it</h3>"
            f"{formula_html(formula)}"
        )

    def _kept(self, source: RunSource, step: int) -> KeptBatch:
        """The step's batch, read once for all its tokens."""
        from workbench.widgets.what_if.kept_batch import KeptBatch

        key = (source.run.path, source.run.position()[0], step)
        if self._read is None or self._read[0] != key:
            self._read = (key, KeptBatch.of(source.run.batch(step)))
        return self._read[1]
