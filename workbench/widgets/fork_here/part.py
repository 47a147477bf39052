"""The part "Fork here" of the page of tokens: what the policy of now would write from the locked
token on, sampled on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.influence.result import InfluenceError
from workbench.runs.checkpoint_folders import steps_in
from workbench.widgets.base.background import Background, OnProgress, ShouldStop
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if
from workbench.widgets.base.labelled import in_a_row
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import safe_text
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch
from workbench.widgets.fork_here.markup import forked_html

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.influence.fork_result import Continuations

COUNT = 8
LOCK_ONE = "Lock a token (a click, or Enter): from there the policy of now writes on."
PAUSES = "The session pauses for it at the end of its step, and goes on when you resume it."
NO_WEIGHTS = (
    "The folder of this run holds no checkpoint, so its policy cannot be loaded. A run that is "
    "trained here has it."
)

Place = tuple[int, int]
"""A completion by its row, and the position of a token in it."""


class ForkPart(Guarded):
    """A button, and below it the tree; `found` is what is shown, None while there is nothing.
    `work.wait()` waits for the sampling, in tests and scripts.

    The same token asked again gets other draws: its seed goes up by one.
    """

    def __init__(self, stay_at: Callable[[int], None] = lambda step: None) -> None:
        """stay_at: told the step whose token is forked."""
        super().__init__()
        self._stay_at = stay_at
        self.found: Continuations | None = None
        self._source: RunSource | None = None
        self._step: int | None = None
        self._place: Place | None = None
        # The run, step and row that `found` is of, and how often each token was asked.
        self._found_of: tuple[Any, ...] | None = None
        self._asked: dict[tuple[Any, ...], int] = {}
        tip = f"{COUNT} continuations from the locked token on, in place of it"
        self.work = Background(self, "Fork here", tip, self._work, self._done)
        self.note = widgets.HTML()
        self.tree = widgets.HTML()
        self.widget = widgets.VBox([in_a_row(self.work.widget, self.note), self.message, self.tree])
        self.follow(None, None)

    def follow(
        self, source: RunSource | None, step: int | None, place: Place | None = None
    ) -> None:
        """The page shows this step, and the token at `place` is locked; None = none is."""
        with self._lock:
            self._source = source
            self._step = step
            self._place = place
            self.guarded(self._look)

    def _look(self) -> None:
        show_if(self.widget, self._source is not None and self._step is not None)
        if self._source is None or self._step is None:
            return
        set_if_changed(self.note, "value", framed(f"<span class='wb-dim'>{self._words()}</span>"))
        set_if_changed(self.work.button, "disabled", self._why_not() != "" or self.work.running)
        if not self._is_of_page(self._source, self._step):
            self.found = None
            self._found_of = None
            set_if_changed(self.tree, "value", "")
        self.settled()

    def _is_of_page(self, source: RunSource, step: int) -> bool:
        """Whether the tree is of the step, and where a token is locked of the completion, that the
        page shows."""
        if self._found_of is None:
            return True
        same_step = self._found_of[:3] == self._key(source, step)
        return same_step and (self._place is None or self._place[0] == self._found_of[3])

    @staticmethod
    def _key(source: RunSource, step: int) -> tuple[Any, ...]:
        return source.run.path, source.run.position()[0], step

    def _words(self) -> str:
        """What a press does, or why it cannot."""
        why_not = self._why_not()
        if why_not or self._place is None or self._source is None:
            return safe_text(why_not)
        row, position = self._place
        what = (
            f"{COUNT} continuations in place of token {position} of row {row} and what follows it, "
            "with probability and reward. "
        )
        if _is_live(self._source):
            return what + (PAUSES if self._source.status == "running" else "")
        policy = safe_text(self._source.run.meta.policy, 60)
        return f"{what}Loads {policy} with the weights after step {_newest(self._source)}."

    def _why_not(self) -> str:
        if self._source is None or (not _is_live(self._source) and _newest(self._source) is None):
            return NO_WEIGHTS
        return LOCK_ONE if self._place is None else ""

    # ------------------------------------------------------------------------------------ sampling

    def _work(
        self, progress: OnProgress, should_stop: ShouldStop
    ) -> tuple[tuple[Any, ...], Continuations]:
        with self._lock:
            source, step, place = self._source, self._step, self._place
        if source is None or step is None or place is None:
            raise InfluenceError("no token is locked. Lock one first.")
        # A session that pauses for it may end one more step first.
        self._stay_at(step)
        try:
            from workbench.influence.fork import fork_here
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            raise InfluenceError(needs_torch("Forking a completion")) from error
        key = (*self._key(source, step), *place)
        seed = self._asked.get(key, 0)
        live = source.session if _is_live(source) else None
        asked = live or source.run
        found = fork_here(asked, step, *place, count=COUNT, seed=seed, should_stop=should_stop)
        self._asked[key] = seed + 1
        return key, found

    def _done(self, result: tuple[tuple[Any, ...], Continuations]) -> None:
        key, found = result
        self.found = found
        self._found_of = key
        set_if_changed(self.tree, "value", framed(forked_html(found)))
        # The page may have gone on meanwhile.
        self._look()


def _is_live(source: RunSource) -> bool:
    """Whether the run's policy is in memory."""
    session = source.session
    return session is not None and session.trainer is not None and source.asked is session


def _newest(source: RunSource) -> int | None:
    """The step of the newest checkpoint; None where there is none."""
    steps = steps_in(source.run.path.parent / "checkpoints")
    return steps[-1] if steps else None
