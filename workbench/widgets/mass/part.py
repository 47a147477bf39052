"""The part "Before → after" of the page of groups: the probabilities of a group's completions,
computed on demand, and carried through the updates of the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from workbench.influence.files import has_checkpoint_before
from workbench.influence.mass_file import Mass, stored_mass
from workbench.influence.result import InfluenceError
from workbench.widgets.base.background import Background, OnProgress, ShouldStop
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch
from workbench.widgets.mass.bars import group_mass, group_that_moved_most
from workbench.widgets.mass.box import MassBox

LEAD = (
    "How probable each distinct completion of a prompt is under the policy, before the step and "
    "after each of its updates. The step is made again from the checkpoint before it; nothing is "
    "sampled."
)


class MassPart(Guarded):
    """A button that opens it, the group, and the bars; `found` is what is shown, None while there
    is nothing. `work.wait()` waits for the computing, in tests and scripts."""

    def __init__(
        self,
        stay_at: Callable[[int], None] = lambda step: None,
        on_pick: Callable[[int], None] = lambda row: None,
    ) -> None:
        """stay_at: told the step whose computing begins. on_pick: told the completion whose tokens
        a person wants to see."""
        super().__init__()
        self._stay_at = stay_at
        self.found: Mass | None = None
        self._source: RunSource | None = None
        self._step: int | None = None
        # What was computed in this kernel, for runs whose folder cannot be written to.
        self._known: dict[tuple[Any, ...], Mass] = {}
        self.opener = widgets.ToggleButton(
            description="Before → after",
            tooltip="How probable each completion was before the step and is after it",
            layout=widgets.Layout(width="150px"),
        )
        self.group = labelled_menu("group", [], "360px", "50px")
        self.work = Background(self, "Compute", "Make this step again", self._work, self._done)
        self.text = widgets.HTML()
        self.box = MassBox()
        self.box.observe(lambda change: on_pick(change["new"][0]), "picked")
        self.body = widgets.VBox(
            [
                widgets.HTML(framed(f'<div class="wb-dim">{LEAD}</div>')),
                in_a_row(self.work.widget, self.group),
                self.message,
                self.text,
                self.box,
            ]
        )
        self.widget = widgets.VBox([self.opener, self.body])
        self.answer(self.opener, self._look)
        self.answer(self.group, self._draw)
        self._look()

    def follow(self, source: RunSource | None, step: int | None) -> None:
        """The page shows this step of this run; None = no step."""
        with self._lock:
            self._source = source
            self._step = step
            show_if(self.widget, source is not None and step is not None)
            self.guarded(self._look)

    # ----------------------------------------------------------------------------------- computing

    def _work(self, progress: OnProgress, should_stop: ShouldStop) -> tuple[tuple[Any, ...], Mass]:
        source = self._source
        step = self._step
        if source is None or step is None:
            raise InfluenceError("no step is shown. Choose one first.")
        # A session that pauses for it may end one more step first.
        self._stay_at(step)
        key = self._key(source, step)
        try:
            from workbench.influence.mass import mass_of_step
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            raise InfluenceError(needs_torch("The mass of a group")) from error
        found = mass_of_step(
            source.asked,
            step,
            progress=lambda words, done, of: progress(done, of),
            should_stop=should_stop,
        )
        return key, found

    def _done(self, result: tuple[tuple[Any, ...], Mass]) -> None:
        key, found = result
        self._known[key] = found
        self._look()

    @staticmethod
    def _key(source: RunSource, step: int) -> tuple[Any, ...]:
        return source.run.path, source.run.position()[0], step

    # ------------------------------------------------------------------------------------- drawing

    def _look(self) -> None:
        """Show what is known already, or say what computing it takes."""
        show_if(self.body, self.opener.value)
        if not self.opener.value or self._source is None or self._step is None:
            return
        known = self._known.get(self._key(self._source, self._step))
        self.found = known or stored_mass(self._source.run, self._step)
        for part in (self.group, self.box):
            show_if(part, self.found is not None)
        show_if(self.work.button, self.found is None)
        if self.found is None:
            self.box.clear()
            set_if_changed(self.text, "value", _note(self._what_it_takes(self._source, self._step)))
        else:
            self._offer_groups(self._source, self.found)
            self._draw()
        self.settled()

    def _what_it_takes(self, source: RunSource, step: int) -> str:
        has_start = has_checkpoint_before(source.run, step)
        set_if_changed(self.work.button, "disabled", not has_start or self.work.running)
        if not has_start:
            return (
                f"There is no checkpoint from before step {step} in this run's folder, so the "
                "weights that the step began with are not known. A run that is trained here has "
                "them."
            )
        pauses = "The session pauses for it, and goes on when you resume it. "
        return (
            f"Not computed yet for step {step}. {pauses if source.session else ''}The result is "
            "kept in the run's folder (mass/), and gives the tokens their probability after the "
            "step."
        )

    def _offer_groups(self, source: RunSource, found: Mass) -> None:
        prompts = source.run.samples(found.step)["prompt"].tolist()[:: found.num_generations]
        options = [(f"{n}: {menu_text(prompt, 40)}", n) for n, prompt in enumerate(prompts)]
        if tuple(options) != self.group.options:
            with self.filling(), self.group.hold_sync():
                self.group.options = options
                self.group.value = group_that_moved_most(found)

    def _draw(self) -> None:
        if self.found is None or self._source is None or self.group.value is None:
            return
        run = self._source.run
        group = group_mass(self.found, run.batch(self.found.step), self.group.value)
        texts = run.samples(self.found.step)["completion"].tolist()
        self.box.draw(group, dict(enumerate(texts)))
        sampled_U = 1.0 - group.rest_U
        words = (
            f"{len(group.bars)} distinct completions had {sampled_U[0]:.3g} of the probability "
            f"before the step and have {sampled_U[-1]:.3g} after it, at temperature "
            f"{self.found.temperature:g}."
        )
        set_if_changed(self.text, "value", framed(f'<div role="status">{words}</div>'))


def _note(text: str) -> str:
    return framed(f'<div class="wb-note" role="status">{safe_text(text)}</div>')
