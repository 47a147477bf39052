"""The lower part of the lab: one reward function, tried on a corpus of attacks and spellings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.rewards.batch import RewardFunction
from workbench.rewards.check import RewardCheck, check_reward
from workbench.tasks import Task
from workbench.widgets.base.guarded import set_if_changed
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import safe_text
from workbench.widgets.reward_lab.boxes import LABEL
from workbench.widgets.reward_lab.markup import check_html
from workbench.widgets.reward_lab.scoring import Encode

PROBLEMS = 8
"""Problems of the task that are asked about."""


class CheckPart:
    """A menu of the reward functions, a button and the table. `result` is the last check."""

    def __init__(self, task: Callable[[], Task], encode: Encode) -> None:
        self._task = task
        self._encode = encode
        self._functions: dict[str, RewardFunction] = {}
        self.result: RewardCheck | None = None
        self.reward = labelled_menu("reward", [("none", "")], "320px", LABEL)
        self.button = widgets.Button(
            description="Try attacks",
            tooltip="Ask this reward about attacks, equal spellings and other answers",
            layout=widgets.Layout(width="110px"),
        )
        self.words = widgets.HTML()
        self.table = widgets.HTML()
        about = framed(
            "<p style='margin:12px 0 0'><b>What would a policy find?</b> <span class='wb-dim'>"
            "Right answers in other spellings, near misses, and attacks, before anything is "
            "trained on this reward.</span></p>"
        )
        row = in_a_row(self.reward, self.button, self.words)
        self.widget = widgets.VBox([widgets.HTML(about), row, self.table])

    def offer(self, names: Sequence[str], functions: Sequence[RewardFunction]) -> None:
        """The functions that can be tried."""
        self._functions = dict(zip(names, functions, strict=True))
        options = tuple((name, name) for name in names)
        if options != self.reward.options:
            self.reward.options = options

    def run(self) -> None:
        """Try the function that is chosen; what cannot be tried is said beside the button."""
        name = self.reward.value
        self._say("reading the task …")
        try:
            self.result = check_reward(
                self._functions[name],
                self._task(),
                problems=PROBLEMS,
                encode=self._encode,
                on_progress=lambda done, of: self._say(f"problem {done} of {of} …"),
            )
        except WorkbenchError as error:
            set_if_changed(self.table, "value", "")
            self._say(str(error), is_error=True)
            return
        self._say("")
        set_if_changed(
            self.table, "value", framed(scrolling("the reward check", check_html(self.result)))
        )

    def _say(self, words: str, is_error: bool = False) -> None:
        kind = "wb-error" if is_error else "wb-dim"
        role = "alert" if is_error else "status"
        inner = f"<div class='{kind}' role='{role}'>{safe_text(words, 1500)}</div>"
        set_if_changed(self.words, "value", framed(inner) if words else "")
