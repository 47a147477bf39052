"""The influence part of the groups' page: what it says and when, and what a click opens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inert_html import HOSTILE, assert_inert, read_html, text_of
from made_runs import make_run

from workbench.influence.files import Question, fingerprint, place_of, save
from workbench.influence.result import Influence, InfluenceCancelledError
from workbench.runs import Run
from workbench.widgets.base.source import RunSource
from workbench.widgets.groups.view import GroupsView
from workbench.widgets.influence import part as influence_part
from workbench.widgets.influence.markup import ROWS_SHOWN


def made_influence(**changes) -> Influence:
    """14 answers that were learnt from and two completions that moved: the first as predicted, the
    second twice as far."""
    influence_SM = np.outer(np.linspace(-0.07, 0.06, 14), [1.0, -1.0])
    earlier_M = np.array([0.5, -0.5])
    real_M = influence_SM.sum(0) + earlier_M
    made = Influence(
        step=2,
        optimizer="run",
        path_points=0,
        num_generations=4,
        source_S=np.arange(2, 16),
        weight_S=np.linspace(-1, 1, 14),
        target_M=np.array([3, 9]),
        position_M=np.array([-1, -1]),
        influence_SM=influence_SM,
        earlier_M=earlier_M,
        decay_M=np.zeros(2),
        before_M=np.log([0.25, 0.5]),
        real_M=real_M * [1.0, 2.0],
        moved_B=np.zeros(16),
        replay_error=0.0,
    )
    return replace(made, **changes)


def keep(run: Run, found: Influence, question: Question) -> None:
    save(found, place_of(run, question), fingerprint(run.batch(question.step)))


@pytest.fixture
def view(tmp_path: Path) -> Iterator[GroupsView]:
    """The page of groups at step 2 of a run whose influence was computed before."""
    run = make_run(
        tmp_path / "run", steps=3, texts=lambda step: [HOSTILE[i % len(HOSTILE)] for i in range(16)]
    )
    keep(run, made_influence(), Question(2))
    page = GroupsView()
    page.show([RunSource(run)], 2)
    yield page
    assert page.message.value == page.influence.message.value == ""


def test_a_stored_result_opens_without_computing(view: GroupsView, monkeypatch) -> None:
    monkeypatch.setattr(
        influence_part.InfluencePart, "_start", lambda self: pytest.fail("computed")
    )
    part = view.influence
    assert part.body.layout.display == "none"
    part.opener.value = True
    assert part.compute.layout.display == "none"
    assert part.found is not None
    html = part.matrix.html
    assert_inert(html)
    # The strongest first, the others in one row, and the sums below.
    tags = [a for tag, a in read_html(html).tags if "wb-cell" in (a.get("class") or "")]
    assert len(tags) == 2 * ROWS_SHOWN
    assert tags[0]["aria-label"] == "row 2 pulled row 3 by −0.07 nats"
    assert tags[1]["aria-label"] == "row 2 pushed row 9 by +0.07 nats"
    text = text_of(html)
    for words in ("the other 2 answers", "answers of earlier steps", "first order", "ends here"):
        assert words in text
    assert "weight decay" not in text
    # The second column is not believed, and the words say so.
    assert html.count("wb-ends") == ROWS_SHOWN + 5
    assert "The sum has left the truth in 1 of 2 columns" in text_of(part.text.value)


def test_a_click_opens_both_texts(view: GroupsView) -> None:
    part = view.influence
    part.opener.value = True
    part.matrix.picked = [1, 1]
    # The second strongest is the last row: +0.06 on the first column.
    assert_inert(part.detail.value)
    said = text_of(part.detail.value)
    assert "Row 3 pushed up row 9 by +0.06 nats." in said
    assert "learnt from: row 3" in said
    assert "moved: row 9, probability 0.5 before the step" in said
    assert part.tokens.layout.display is None
    assert "row 9" in part.tokens.description


def test_tokens_have_their_pieces(view: GroupsView) -> None:
    part = view.influence
    run = view.source.run
    tokens = made_influence(target_M=np.array([9, 9]), position_M=np.array([0, 2]))
    keep(run, tokens, Question(2, (9,), tokens=True, count=16))
    part.opener.value = True
    part.matrix.picked = [0, 1]
    part.tokens.click()
    assert part.columns.value == "tokens of row 9"
    pieces = run.tokens(2, 9)["piece"].tolist()
    assert f"{pieces[2]}token 2" in text_of(part.matrix.html).replace("\n", "")
    assert_inert(part.matrix.html)
    # Another step asks about completions again, and has nothing yet.
    view.show([view.source], 3)
    assert part.columns.value == influence_part.COMPLETIONS
    assert part.matrix.html == '<div class="wb"></div>'


def test_without_a_checkpoint_it_says_so(view: GroupsView, tmp_path: Path) -> None:
    part = view.influence
    part.opener.value = True
    view.steps.go_to(3)
    view.read()
    assert part.compute.disabled
    assert "no checkpoint from before step 3" in text_of(part.text.value)
    (tmp_path / "run" / "checkpoints" / "step-000002").mkdir(parents=True)
    view.read()
    assert not part.compute.disabled
    # What cannot be computed is said in the page: these are no weights.
    part.compute.click()
    part.wait(60)
    assert "holds no usable checkpoint" in text_of(part.text.value)
    assert part.cancel.layout.display == "none"


def test_it_tells_how_far_it_is_and_can_be_cancelled(
    view: GroupsView, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "run" / "checkpoints" / "step-000000").mkdir(parents=True)
    at_work = threading.Event()

    def slow(part: influence_part.InfluencePart, source: RunSource, question: Question):
        part._tell("gradients", 3, 9)
        at_work.set()
        assert part._cancel.wait(30)
        raise InfluenceCancelledError("cancelled while gradients.")

    monkeypatch.setattr(influence_part.InfluencePart, "_found", slow)
    part = view.influence
    part.opener.value = True
    part.optimizer.value = "sgd"
    assert part.question.optimizer == "sgd"
    part.compute.click()
    assert at_work.wait(30)
    # The page stays at this step, and a second click computes nothing twice.
    assert view.selection.step == 2
    part.compute.click()
    view.read()
    assert "gradients: 3 of 9" in text_of(part.text.value)
    assert (part.progress.value, part.progress.max) == (3, 9)
    part.cancel.click()
    part.wait(30)
    assert "Cancelled. Nothing was kept." in text_of(part.text.value)
    assert not part.compute.disabled
    assert part.found is None
