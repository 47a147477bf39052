"""The lower part of the page: the completions that an evaluation kept, problem by problem, and
where a gain lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.runs import Answered, Run
from workbench.widgets.base.guarded import Guarded, set_if_changed, show_if
from workbench.widgets.base.labelled import in_a_row, labelled_menu
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch, say_when_loading
from workbench.widgets.evaluation.markup import problem_html

if TYPE_CHECKING:
    from workbench.evaluation.answered import Verdict

ALL = "all problems"
GAINED = "more samples right than before"
LOST = "fewer samples right than before"
NEVER = "no sample right, before or after"
FORM = "right, but not in the form"
SHOWN = (ALL, GAINED, LOST, NEVER, FORM)


class AnswersPart:
    """Reads the answers of two evaluations when a person asks for them. `answers` are theirs, by
    step, then by problem."""

    def __init__(self, view: Guarded) -> None:
        self._view = view
        self._asked: tuple[Run, str, tuple[int, int]] | None = None
        self.answers: list[dict[int, Answered]] = []
        self._judged: dict[str, list[list[Verdict]]] = {}
        self.open = widgets.Button(
            description="Read the answers",
            tooltip="Show the completions that these evaluations kept",
            layout=widgets.Layout(width="150px"),
        )
        self.judge_all = widgets.Button(
            description="Compare all",
            tooltip="Judge every answer: where the gain lies, and which problems it is on",
            layout=widgets.Layout(width="150px"),
        )
        self.keep = labelled_menu("show", SHOWN, "320px", "60px")
        self.problem = labelled_menu("problem", [("none", None)], "560px", "70px")
        self.words = widgets.HTML()
        self.page = widgets.HTML()
        self.chooser = in_a_row(self.problem, self.keep)
        self.widget = widgets.VBox(
            [
                in_a_row(self.open, self.judge_all),
                self.words,
                self.chooser,
                self.page,
            ]
        )
        view.answer(self.problem, self._draw)
        view.answer(self.keep, self._offer)
        self.open.on_click(lambda _: view.guarded(self._read))
        self.judge_all.on_click(lambda _: view.guarded(self._compare))
        self.offer(None)

    def offer(self, asked: tuple[Run, str, tuple[int, int]] | None) -> None:
        """These two evaluations of a split can be read; None = there are none."""
        if asked is not None and self._asked is not None:
            run, *others = asked
            if (run.path, *others) == (self._asked[0].path, *self._asked[1:]):
                return
        self._asked = asked
        self.answers = []
        self._judged = {}
        with self._view.filling():
            self.keep.value = ALL
        set_if_changed(self.words, "value", "")
        set_if_changed(self.page, "value", "")
        show_if(self.chooser, False)
        show_if(self.judge_all, False)
        show_if(self.open, asked is not None)

    def _read(self) -> None:
        assert self._asked is not None
        run, split, steps = self._asked
        self.answers = [_answers_of(run, split, step) for step in dict.fromkeys(steps)]
        if not self.answers[-1]:
            return self._say("These evaluations kept no answers.")
        show_if(self.open, False)
        show_if(self.chooser, True)
        show_if(self.keep, False)
        show_if(self.judge_all, len(self.answers) > 1)
        return self._offer()

    def _offer(self) -> None:
        """Fill the menu with the problems that are to be shown."""
        places = [place for place in self.answers[-1] if self._is_shown(place)]
        with self._view.filling():
            self.problem.options = [
                (f"{place}: {menu_text(self.answers[-1][place].question, 90)}", place)
                for place in places
            ] or [("none", None)]
            self.problem.value = self.problem.options[0][1]
        self._draw()

    def _draw(self) -> None:
        place = self.problem.value
        if place is None:
            set_if_changed(self.page, "value", framed("<div class='wb-note'>No problem.</div>"))
            return
        assert self._asked is not None
        steps = list(dict.fromkeys(self._asked[2]))
        names = ("before", "after") if len(steps) > 1 else ("",)
        both = [
            (f"{name} (step {step})", answers[place])
            for name, step, answers in zip(names, steps, self.answers, strict=True)
            if place in answers
        ]
        set_if_changed(self.page, "value", framed(scrolling("answers", problem_html(both))))

    # ------------------------------------------------------------ all of them, judged

    def _compare(self) -> None:
        """Judge every answer, and say where the gain lies."""
        say_when_loading(self._say)
        try:
            from workbench.evaluation.answered import JUDGES, verdicts
            from workbench.evaluation.comparing import gain
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            return self._say(needs_torch("Judging all answers"))
        self._say("judging …")
        judged = {
            judge: [verdicts(list(answers.values()), judge) for answers in self.answers]
            for judge in JUDGES
        }
        self._judged = judged
        sentences = [f"{judge}: {gain(*judged[judge])}" for judge in JUDGES]
        show_if(self.judge_all, False)
        show_if(self.keep, True)
        self._say(*sentences)
        return None

    def _is_shown(self, place: int) -> bool:
        kept = self.keep.value
        if kept == ALL:
            return True
        before, after = (_right(judged, place) for judged in self._judged["strict"])
        _, leniently = (_right(judged, place) for judged in self._judged["lenient"])
        if before is None or after is None or leniently is None:
            return False
        return {
            GAINED: after > before,
            LOST: after < before,
            NEVER: after == before == 0,
            FORM: leniently > after,
        }[kept]

    def _say(self, *sentences: str) -> None:
        inner = "".join(f"<div role='status'>{safe_text(words, 800)}</div>" for words in sentences)
        set_if_changed(self.words, "value", framed(inner))


def _right(judged: Sequence[Verdict], place: int) -> int | None:
    """How many samples of a problem are right; None where it could not be judged."""
    for verdict in judged:
        if verdict.of.problem == place:
            return sum(verdict.right_K)
    return None


def _answers_of(run: Run, split: str, step: int) -> dict[int, Answered]:
    """The answers of one evaluation by problem."""
    frame = run.sampled_answers(step)
    rows: Any = frame[frame["split"] == split].drop(columns=["step", "split"])
    return {int(row["problem"]): Answered(**row) for row in rows.to_dict("records")}
