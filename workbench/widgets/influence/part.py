"""The part "Who taught it that?" of the page of groups: asks, computes in the background, and shows
the matrix."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.influence.files import (
    FOLDER,
    Question,
    has_checkpoint_before,
    stored_influence,
)
from workbench.influence.result import Influence, InfluenceCancelledError
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if
from workbench.widgets.base.labelled import in_a_row, labelled_menu, tick_box
from workbench.widgets.base.publisher import INTERVAL
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch
from workbench.widgets.influence.markup import (
    ROWS_SHOWN,
    Texts,
    detail_html,
    matrix_html,
    order_of_rows,
    summary_html,
)
from workbench.widgets.influence.matrix import MatrixBox

COMPLETIONS = "completions that moved most"
TOKENS = "tokens of row"
PATH_POINTS = 4
"""Along the path: enough that what is left is rounding."""
LEAD = (
    "Which answers of this step pushed what moved most, and which pulled: the gradient of each "
    "against the gradient of what moved, in nats of log-probability. The step is made again from "
    "the checkpoint before it, from the record; nothing is sampled."
)


class InfluencePart(Guarded):
    """A button that opens it, controls, and the matrix; `found` is what is shown, None while there
    is nothing. `wait()` waits for the computing, in tests and scripts."""

    def __init__(self, stay_at: Callable[[int], None] = lambda step: None) -> None:
        """stay_at: told the step whose computing begins, so that the page does not leave it."""
        super().__init__()
        self._stay_at = stay_at
        self.found: Influence | None = None
        self._source: RunSource | None = None
        self._step: int | None = None
        self._texts: Texts | None = None
        self._token_row: int | None = None
        # What was computed in this kernel, for runs whose folder cannot be written to.
        self._known: dict[tuple[Any, ...], Influence] = {}
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        # What is being computed; None while nothing is.
        self._in_hand: tuple[Any, ...] | None = None
        self._told = 0.0
        self._make_controls()
        self.text = widgets.HTML()
        self.matrix = MatrixBox()
        self.matrix.observe(lambda change: self._answer(self._show_detail), "picked")
        self.detail = widgets.HTML()
        self.body = widgets.VBox(
            [
                widgets.HTML(framed(f'<div class="wb-dim">{LEAD}</div>')),
                in_a_row(self.columns, self.optimizer, self.path),
                in_a_row(self.compute, self.cancel, self.progress),
                self.message,
                self.text,
                self.matrix,
                self.detail,
                self.tokens,
            ]
        )
        self.widget = widgets.VBox([self.opener, self.body])
        self._open_or_close()

    def _make_controls(self) -> None:
        self.opener = widgets.ToggleButton(
            description="Who taught it that?",
            tooltip="Which answers pushed what moved most in this step, and which pulled",
            layout=widgets.Layout(width="190px"),
        )
        self.columns = labelled_menu("columns", [COMPLETIONS], "330px", "70px")
        kinds = [("the run's AdamW", "run"), ("plain SGD (Gram matrix)", "sgd")]
        self.optimizer = labelled_menu("moved by", kinds, "290px", "80px")
        self.path = tick_box("along the path (exact sum, slower)", "290px")
        self.compute = widgets.Button(
            description="Compute", button_style="primary", layout=widgets.Layout(width="110px")
        )
        self.cancel = widgets.Button(description="Cancel", layout=widgets.Layout(width="90px"))
        self.progress = widgets.IntProgress(layout=widgets.Layout(width="300px"))
        self.tokens = widgets.Button(layout=widgets.Layout(width="260px", display="none"))
        show_if(self.cancel, False)
        show_if(self.progress, False)
        self.answer(self.opener, self._open_or_close)
        for control in (self.columns, self.optimizer, self.path):
            self.answer(control, self._look)
        self.compute.on_click(lambda _: self._stay_and(self._start))
        self.cancel.on_click(lambda _: self._cancel.set())
        self.tokens.on_click(lambda _: self._tokens_clicked())

    # ------------------------------------------------------------------------- what is asked about

    def follow(self, source: RunSource | None, step: int | None) -> None:
        """The page shows this step of this run; None = no step."""
        with self._lock:
            self._source = source
            self._step = step
            self._token_row = None
            with self.filling():
                self.columns.options = [COMPLETIONS]
            show_if(self.widget, source is not None and step is not None)
            if self.opener.value:
                self.guarded(self._look)

    @property
    def question(self) -> Question:
        """What the controls ask."""
        asks_tokens = self.columns.value != COMPLETIONS and self._token_row is not None
        rows = (self._token_row,) if asks_tokens and self._token_row is not None else None
        return Question(
            int(self._step or 1),
            rows,
            tokens=asks_tokens,
            count=16 if asks_tokens else 8,
            optimizer=self.optimizer.value,
            path_points=PATH_POINTS if self.path.value else 0,
        )

    def _open_or_close(self) -> None:
        show_if(self.body, self.opener.value)
        if self.opener.value:
            self._look()

    def _look(self) -> None:
        """Show what is known already, or say what computing it takes."""
        if self._source is None or self._step is None:
            return
        question = self.question
        if self._in_hand is not None and self._in_hand == self._key(question):
            return
        found = self._known.get(self._key(question))
        if found is None:
            found = stored_influence(self._source.run, question)
        if found is None:
            self._clear(self._what_it_takes())
        else:
            self._draw(found)

    def _key(self, question: Question) -> tuple[Any, ...]:
        assert self._source is not None
        return self._source.run.path, self._source.run.position()[0], question

    def _what_it_takes(self) -> str:
        assert self._source is not None
        has_start = has_checkpoint_before(self._source.run, self.question.step)
        set_if_changed(self.compute, "disabled", not has_start or self._in_hand is not None)
        if not has_start:
            return (
                f"There is no checkpoint from before step {self._step} in this run's folder, so "
                "the weights that the step began with are not known. A run that is trained here "
                "has them."
            )
        pauses = "The session pauses for it, and goes on when you resume it. "
        return (
            f"Not computed yet for this step. {pauses if self._source.session else ''}The result "
            f"is kept in the run's folder ({FOLDER}/)."
        )

    # ----------------------------------------------------------------------------------- computing

    def _stay_and(self, act: Callable[[], None]) -> None:
        """Act, guarded, with the page kept at its step: a session that pauses for it may end one
        more step first."""
        if self._step is not None:
            # Not under the lock: all pages are told, and one that draws may be waiting for it.
            self._stay_at(self._step)
        self.guarded(act)

    def _start(self) -> None:
        if self._source is None or (self._thread is not None and self._thread.is_alive()):
            return
        self._cancel.clear()
        question = self.question
        source = self._source
        key = self._key(question)
        self._in_hand = key
        set_if_changed(self.compute, "disabled", True)
        show_if(self.cancel, True)
        show_if(self.progress, True)
        self._thread = threading.Thread(
            target=self._work,
            args=(source, question, key),
            name="workbench influence",
            daemon=True,
        )
        self._thread.start()

    def wait(self, timeout: float = 600.0) -> None:
        """Wait until nothing is computed any more. Raises TimeoutError."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise TimeoutError(f"the influence is still computed after {timeout} s.")

    def _work(self, source: RunSource, question: Question, key: tuple[Any, ...]) -> None:
        try:
            found = self._found(source, question)
        # Nobody stands above a thread: whatever it is, it is shown in the page.
        except BaseException as error:
            self.guarded(self._ended_with, error)
        else:
            self._known[key] = found
            self.guarded(self._rest)
            self.guarded(self._look)

    def _found(self, source: RunSource, question: Question) -> Influence:
        from workbench.influence.ask import who_taught

        return who_taught(
            source.asked,
            question.step,
            question.rows,
            tokens=question.tokens,
            count=question.count,
            optimizer=question.optimizer,
            path_points=question.path_points,
            progress=self._tell,
            should_stop=self._cancel.is_set,
        )

    def _tell(self, words: str, done: int, of: int) -> None:
        # As often as a dashboard is drawn: more messages would only fill the line.
        now = time.monotonic()
        if now - self._told < INTERVAL:
            return
        self._told = now
        self.progress.max = max(of, 1)
        self.progress.value = done
        set_if_changed(self.text, "value", _note(f"{words}: {done} of {of}"))

    def _rest(self) -> None:
        self._in_hand = None
        show_if(self.cancel, False)
        show_if(self.progress, False)
        set_if_changed(self.compute, "disabled", False)

    def _ended_with(self, error: BaseException) -> None:
        self._rest()
        if isinstance(error, InfluenceCancelledError):
            self._clear("Cancelled. Nothing was kept.")
        elif isinstance(error, ModuleNotFoundError) and is_torch_missing(error):
            self._clear(needs_torch("Who taught it that"))
        elif isinstance(error, WorkbenchError):
            self._clear(str(error))
        else:
            self._clear("")
            self.fail(error)

    # ------------------------------------------------------------------------------------- drawing

    def _clear(self, why: str) -> None:
        self.found = None
        set_if_changed(self.text, "value", _note(why) if why else "")
        self.matrix.draw("")
        set_if_changed(self.detail, "value", "")
        for part in (self.matrix, self.detail, self.tokens):
            show_if(part, False)
        show_if(self.compute, True)
        self.settled()

    def _draw(self, found: Influence) -> None:
        assert self._source is not None
        run = self._source.run
        pieces: list[str] = []
        if found.of_tokens:
            tokens = run.tokens(found.step, int(found.target_M[0]))
            texts = tokens["piece"].tolist()
            pieces = [str(texts[p] or "?") for p in found.position_M.tolist()]
        self._texts = Texts(run.samples(found.step), pieces)
        self.found = found
        set_if_changed(self.text, "value", framed(summary_html(found)))
        self.matrix.draw(matrix_html(found, self._texts))
        hint = "Choose a cell: both texts open below it."
        set_if_changed(self.detail, "value", framed(f'<div class="wb-dim">{hint}</div>'))
        show_if(self.matrix, True)
        show_if(self.detail, True)
        show_if(self.tokens, False)
        # What is known need not be computed again.
        show_if(self.compute, False)
        self.settled()

    def _show_detail(self) -> None:
        if self.found is None or self._texts is None:
            return
        place, m = self.matrix.picked
        order_S = order_of_rows(self.found)[:ROWS_SHOWN]
        if not (0 <= place < len(order_S) and 0 <= m < len(self.found.target_M)):
            return
        html = detail_html(self.found, self._texts, int(order_S[place]), m)
        set_if_changed(self.detail, "value", framed(html))
        row = int(self.found.target_M[m])
        set_if_changed(self.tokens, "description", f"which of its tokens moved? (row {row})")
        show_if(self.tokens, not self.found.of_tokens)

    def _tokens_clicked(self) -> None:
        self.guarded(self._ask_for_tokens)
        if self.found is None:
            self._stay_and(self._start)

    def _ask_for_tokens(self) -> None:
        if self.found is None:
            return
        self._token_row = int(self.found.target_M[self.matrix.picked[1]])
        choice = f"{TOKENS} {self._token_row}"
        with self.filling():
            self.columns.options = [COMPLETIONS, choice]
            self.columns.value = choice
        self._look()


def _note(text: str) -> str:
    return framed(f'<div class="wb-note" role="status">{safe_text(text)}</div>')
