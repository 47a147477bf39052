"""`RunOracle`: the trees of a run, made at a click and kept in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.widgets.base.background import Background, OnProgress, ShouldStop
from workbench.widgets.base.guarded import Guarded, set_if_changed
from workbench.widgets.base.hosts import mimebundle, with_picture
from workbench.widgets.base.kernel import answer_in_the_subshell
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.oracle.all_it_can_say import AllItCanSay
from workbench.widgets.oracle.run_trees import FILE, along_run, kept_steps
from workbench.widgets.oracle.snapshots import Snapshots
from workbench.widgets.oracle.still import tree_picture
from workbench.widgets.oracle.stored import load_trees, save_trees
from workbench.widgets.oracle.where_decided import WhereDecided

if TYPE_CHECKING:
    from workbench.training.session import Session


class RunOracle(Guarded):
    """`source`: a `Session` or the folder of a run, of which `problems` held-out ones are
    enumerated at each kept step.

    What was made before opens at once, without computing anything. `work` is the button with its
    progress; `trees` what is shown, [] before.
    """

    def __init__(self, source: Session | str | Path, problems: int = 4) -> None:
        super().__init__()
        self._source = source
        self._problems = problems
        self.folder = Path(source) if isinstance(source, str | Path) else source.out
        self.trees: list[Snapshots] = []
        self.work = Background(
            self,
            f"Enumerate {problems} problems",
            "All completions of these problems at each step whose weights were kept",
            self._make,
            self._made,
        )
        self.about = widgets.HTML()
        self.pages = widgets.VBox()
        self.widget = widgets.VBox([self.about, self.work.widget, self.message, self.pages])
        self.guarded(self._open)

    def _open(self) -> None:
        steps = kept_steps(self.folder)
        words = f"{len(steps)} kept steps, from {steps[0]} to {steps[-1]}"
        inner = f"<h3 style='margin:0'>All this run could say</h3>{safe_text(words)}."
        set_if_changed(self.about, "value", framed(inner))
        if (self.folder / FILE).is_file():
            self._show(load_trees(self.folder / FILE))

    def _make(self, on_progress: OnProgress, should_stop: ShouldStop) -> list[Snapshots]:
        return along_run(
            self._source, self._problems, on_progress=on_progress, should_stop=should_stop
        )

    def _made(self, trees: list[Snapshots]) -> None:
        save_trees(self.folder / FILE, trees)
        self._show(trees)

    def _show(self, trees: list[Snapshots]) -> None:
        self.trees = trees
        self.pages.children = (AllItCanSay(trees).widget, WhereDecided(trees).widget)
        answer_in_the_subshell(self.pages)
        self.settled()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        answer_in_the_subshell(self.widget)
        data, metadata = mimebundle(self.widget)
        words = f"All that {menu_text(self.folder.name, 80)} could say at its kept steps."
        svg = tree_picture(self.trees[0]) if self.trees else ""
        return with_picture(data, words, svg), metadata
