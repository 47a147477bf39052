"""`RewardLab`: the widget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from workbench.errors import WorkbenchError
from workbench.rewards import RewardSet
from workbench.rewards.batch import RewardFunction
from workbench.rewards.check import word_ids
from workbench.tasks import TASKS, Task, TaskError, load_task
from workbench.widgets.base.guarded import set_if_changed, show_if
from workbench.widgets.base.lab import Lab
from workbench.widgets.base.labelled import in_a_row
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.reward_lab.boxes import Boxes
from workbench.widgets.reward_lab.check_part import CheckPart
from workbench.widgets.reward_lab.given import GivenRewards
from workbench.widgets.reward_lab.groups import LabGroup, LabStep, recorded_step, task_step
from workbench.widgets.reward_lab.markup import REWARD_LAB_CSS, group_table, summary_of
from workbench.widgets.reward_lab.scoring import (
    Bench,
    Encode,
    Paid,
    Scorer,
    asks_for_ids,
    travelling,
)

if TYPE_CHECKING:
    from workbench.runs import Run
    from workbench.training.session import Session

USUAL_TASK = "arithmetic"
TIMEOUT = 60.0
"""Seconds for the rewards of one group, where no run says otherwise."""
SLOW = 0.3
"""Seconds from which on a text is scored when its box is left, not at each key."""
NOT_SAME = 1e-4
"""A reward that is further from the recorded one is another."""


class RewardLab(Lab):
    """Pick a completion, edit it, and all rewards and the group's advantages answer at once, before
    → after; try a reward on a corpus of attacks.

    target    a `Session`, a `Run` or the path of one, whose completions are edited; None = problems
              of a task with texts of your own
    rewards   reward functions: names, callables, "my.py:f"; None = those of the run, else format
              and answer
    task      a task or its name, for reward functions that take more of its columns than question
              and answer, and for the attacks; None = the session's, or arithmetic
    step      where to begin in a run; None = the newest step
    row       the completion of that step to begin with
    encode    text to token ids, for rewards that take `completion_ids`; None = the session's
              tokenizer, else one id for each word and sign

    Advantages follow the rule of the run's config at that step. `before` is what the group got,
    `paid` what it gets now, `attacks.result` the last check.
    """

    heading = "The reward lab"
    lead = (
        "What a reward pays is what a policy learns. Change the answer, and every reward and the "
        "advantages of the whole group answer at once."
    )
    css = REWARD_LAB_CSS

    def __init__(
        self,
        target: Session | Run | str | Path | None = None,
        *,
        rewards: Sequence[RewardFunction | str] | RewardFunction | str | None = None,
        task: Task | str | None = None,
        step: int | None = None,
        row: int = 0,
        encode: Encode | None = None,
    ) -> None:
        trainer = getattr(target, "trainer", None)
        self.source = _source_of(target)
        self._task = load_task(task) if isinstance(task, str) else task
        if task is None and trainer is not None:
            self._task = trainer.task
        if self._task is None and self.source is None:
            self._task = load_task(USUAL_TASK)
        self._encode: Encode = encode or word_ids
        if encode is None and trainer is not None:
            self._encode = trainer.policy.tokenizer.encode
        self.boxes = Boxes()
        self.attacks = CheckPart(self._task_to_attack, self._encode)
        self._given = GivenRewards(rewards, trainer, self.source)
        self.boxes.rewards.value = ", ".join(self._given.names)
        self._scorer: Scorer | None = None
        self._step: LabStep | None = None
        self._bench: Bench | None = None
        self._shown_text = ""
        self.paid: Paid | None = None
        self._begin_at = (step, row)
        super().__init__()
        self.widget.children = [*self.widget.children, self.attacks.widget]
        self.widget.add_class("wb-scaled")  # menus and handles as in the dashboard

    # ---------------------------------------------------------------- what is given

    def _task_to_attack(self) -> Task:
        """The task whose problems the attacks are made of."""
        if self._task is None:
            name = "" if self.source is None else self.source.run.meta.task
            if name not in TASKS:
                raise TaskError(
                    f"the record does not hold the problems of the task {name!r:.60}. Give the "
                    "task: RewardLab(run, task=…)."
                )
            self._task = load_task(name)
        return self._task

    # ---------------------------------------------------------------- making

    def controls(self) -> Sequence[widgets.Widget]:
        boxes = self.boxes
        self.answer(boxes.rewards, self._other_rewards)
        self.answer(boxes.step, lambda: self._after(self._go_to, boxes.step.value, 0))
        self.answer(boxes.group, lambda: self._after(self._fill_rows, 0))
        self.answer(boxes.row, lambda: self._after(self._fill_text))
        self.answer(boxes.text, self._update)
        boxes.again.on_click(lambda _: self.guarded(self._other_rewards))
        boxes.newest.on_click(lambda _: self.guarded(self._after, self._go_to, None, 0))
        boxes.restore.on_click(lambda _: self.guarded(self._after, self._fill_text))
        self.attacks.button.on_click(lambda _: self.guarded(self.attacks.run))
        for part in (boxes.step, boxes.newest):
            show_if(part, self.source is not None)
        return [
            in_a_row(boxes.rewards, boxes.again),
            in_a_row(boxes.step, boxes.newest),
            in_a_row(boxes.group),
            in_a_row(boxes.row),
            boxes.asked,
            boxes.text,
            in_a_row(boxes.restore, boxes.remarks),
        ]

    # ---------------------------------------------------------------- choosing

    def _after(self, act: Callable[..., Any], *given: Any) -> None:
        """Choose something else, and answer; what cannot be chosen is said."""
        try:
            with self.filling():
                act(*given)
        except (WorkbenchError, ValueError) as error:
            return self._say(str(error))
        return self._update()

    def _other_rewards(self) -> None:
        self._scorer = None
        self._bench = None
        self._update()

    def _go_to(self, step: int | None, row: int) -> None:
        """Read the groups of a step, and begin with this row of it."""
        if self.source is None:
            assert self._task is not None
            self._step = task_step(self._task)
        else:
            self.source.refresh()
            last = self.source.last_step
            chosen = step or last
            self.boxes.step.max = max(last, chosen)
            self.boxes.step.value = chosen
            found = recorded_step(self.source.run, chosen, self._task, self.source.opened)
            self._step = found
        groups = self._step.groups
        self.boxes.group.options = [
            (f"{place}: {menu_text(group.problem.question, 90)}", place)
            for place, group in enumerate(groups)
        ]
        size = len(groups[0].texts)
        self.boxes.group.value = min(row // size, len(groups) - 1)
        self._fill_rows(row % size)

    def _fill_rows(self, place: int) -> None:
        self._bench = None
        group = self._group
        self.boxes.row.options = [
            (f"{label}: {menu_text(text, 70)}", i)
            for i, (label, text) in enumerate(zip(group.labels, group.texts, strict=True))
        ]
        self.boxes.row.value = place
        asked = safe_text(group.problem.question, 1200)
        gold = safe_text(group.problem.answer, 200)
        inner = (
            f"<div class='wb-text'>{asked}</div><div><span class='wb-dim'>gold answer </span>"
            f"<span class='wb-text'>{gold}</span></div>"
        )
        set_if_changed(self.boxes.asked, "value", framed(inner))
        self._fill_text()

    def _fill_text(self) -> None:
        self._shown_text = travelling(self._group.texts[self.boxes.row.value])
        set_if_changed(self.boxes.text, "value", self._shown_text)

    @property
    def _group(self) -> LabGroup:
        assert self._step is not None
        place: int = self.boxes.group.value
        return self._step.groups[place]

    # ---------------------------------------------------------------- answering

    @property
    def before(self) -> Paid | None:
        """What the group got as it was; None before it was scored."""
        return None if self._bench is None else self._bench.before

    def refresh(self) -> tuple[str, str]:
        if self._step is None:
            with self.filling():
                self._go_to(*self._begin_at)
        bench = self._bench = self._bench or self._new_bench()
        row = self.boxes.row.value
        text = self.boxes.text.value
        is_edited = text != self._shown_text
        if not is_edited:
            text = bench.group.texts[row]
        began = time.monotonic()
        self.paid = bench.edited(row, text)
        seconds = time.monotonic() - began
        if is_edited:
            set_if_changed(self.boxes.text, "continuous_update", seconds < SLOW)
        remarks = "".join(f"<div>{safe_text(words, 400)}</div>" for words in self._remarks(seconds))
        set_if_changed(self.boxes.remarks, "value", framed(remarks) if remarks else "")
        summary = summary_of(bench, self.paid, row, is_edited)
        return summary, group_table(bench, self.paid, row, text)

    def _new_bench(self) -> Bench:
        if self._scorer is None:
            self._scorer = self._new_scorer()
        assert self._step is not None
        weights = tuple(self._step.weights.get(name, 1.0) for name in self._scorer.names)
        scorer = Scorer(self._scorer.rewards, weights, self._encode, self._scorer.timeout)
        return Bench.of(scorer, self._step, self.boxes.group.value)

    def _new_scorer(self) -> Scorer:
        rewards = RewardSet(self._given.functions(self.boxes.rewards.value))
        self.attacks.offer(rewards.names, rewards.functions)
        timeout = TIMEOUT
        if self.source is not None:
            timeout = self.source.run.config.get("reward_timeout", TIMEOUT)
        weights = tuple(1.0 for _ in rewards.names)
        return Scorer(rewards, weights, self._encode, timeout)

    def _remarks(self, seconds: float) -> list[str]:
        """What a person should know of these figures."""
        bench = self._bench
        assert bench is not None
        said = []
        other = [name for name in bench.scorer.names if self._is_another(bench, name)]
        if other:
            said.append(
                f"{', '.join(other)}: this group is paid otherwise here than in the record. The "
                "function has changed, or takes more than a record holds."
            )
        functions = bench.scorer.rewards.functions
        if self._encode is word_ids and any(map(asks_for_ids, functions)):
            said.append(
                "completion_ids hold one id for each word and sign: there is no tokenizer here. "
                "RewardLab(…, encode=tokenizer.encode) counts tokens."
            )
        if seconds >= SLOW:
            said.append(f"Scoring took {seconds:.1f} s: it answers when you leave the box.")
        return said

    def _is_another(self, bench: Bench, name: str) -> bool:
        """True where a reward of the record is not what the function pays now."""
        recorded = bench.step.recorded.get(name)
        if recorded is None:
            return False
        now_G = bench.before.rewards_GK[:, bench.scorer.names.index(name)]
        return not np.allclose(recorded[bench.place], now_G, atol=NOT_SAME, equal_nan=True)


def _source_of(target: Any) -> RunSource | None:
    if target is None:
        return None
    return RunSource(target.run if hasattr(target, "trainer") else target)
