"""What an evaluation has found: the answers of one policy, and the figures that they come to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.evaluation.answered import (
    GROUPINGS,
    Verdict,
    counts,
    grouped,
    labelled,
    summarize,
)
from workbench.evaluation.comparing import Gain, gain
from workbench.evaluation.estimators import Estimate
from workbench.evaluation.recorded import answers_at, asked_at, judged_by_all
from workbench.evaluation.sampled import HowToAnswer
from workbench.rewards.functions import UNDECIDED
from workbench.runs import Run
from workbench.runs.sampled_evaluation import Answered

if TYPE_CHECKING:
    import pandas as pd

PLURALS = {"kind": "kinds", "subject": "subjects", "level": "levels"}


@dataclass(frozen=True)
class EvaluationResult:
    """One policy's answers to the problems of a task, judged when they are first asked for."""

    policy: str
    """As it was named."""
    quantization: str
    """"none", or how its weights were stored."""
    task: str
    how: HowToAnswer
    """Samples, lengths, temperature, seed."""
    answers: list[Answered]
    """Every completion, readable."""
    asked: dict[str, Any]
    """All that the answers depend on."""

    @cached_property
    def judged(self) -> dict[str, list[Verdict]]:
        """The verdicts of each judge, "strict" and "lenient"."""
        return judged_by_all(self.answers)

    def figures(self, judge: str = "strict") -> dict[str, Estimate]:
        """`greedy`, and with K samples `mean@K`, `maj@k` and `pass@k`, each with value, 95 %
        interval and n problems."""
        return summarize(self.judged[judge])

    def table(self, by: str | None = None) -> pd.DataFrame:
        """A row for each figure, strict beside lenient; with `by` "kind", "subject" or "level" a
        row for each of these, greedy alone. NaN where no problem was counted."""
        import pandas as pd

        parts: dict[str, dict[str, Estimate]] = {}
        for judge, judged in self.judged.items():
            found = self.figures(judge) if by is None else _greedy_of_each(judged, by)
            for name, estimate in found.items():
                parts.setdefault(name, {})[judge] = estimate
        rows = {name: _cells(of_judges) for name, of_judges in parts.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by or "figure")

    def gain_over(self, before: EvaluationResult, judge: str = "strict") -> Gain:
        """What this policy has more than another on the same problems: what was in reach before
        (sharpened) and what was not (added). Raises ValueError for other problems."""
        return gain(before.judged[judge], self.judged[judge])

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what was asked, then each figure with value, interval and n; the greedy
        strict one also under the names `accuracy`, `correct` and `interval`."""
        strict = self.judged["strict"]
        figures = _as_dicts(summarize(strict))
        correct, n = counts(strict)
        by_kind = dict(sorted(grouped(strict, "kind").items()))
        result = {
            "policy": self.policy,
            "task": self.task,
            "dtype": self.asked.get("dtype"),
            "quantization": self.asked.get("quantization"),
            "max_completion_length": self.how.max_completion_length,
            "samples": self.how.samples,
            "temperature": self.how.temperature,
            "seed": self.how.seed,
            "n": n,
            "correct": correct,
            "accuracy": figures["greedy"]["value"],
            "interval": figures["greedy"]["interval"],
            "by_kind": {kind: counts(of_kind) for kind, of_kind in by_kind.items()},
            UNDECIDED: len(self.answers) - n,
            **figures,
            "lenient": _as_dicts(summarize(self.judged["lenient"])),
        }
        for grouping in GROUPINGS:
            lenient = labelled(self.judged["lenient"], grouping)
            result[PLURALS[grouping]] = {
                label: _as_dicts(summarize(of_label))
                | {"lenient": _as_dicts(summarize(lenient.get(label, [])))}
                for label, of_label in labelled(strict, grouping).items()
            }
        return result

    def to_json(self) -> str:
        """`to_dict` as JSON, in which a figure of no problem is null."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)

    def __repr__(self) -> str:
        greedy = self.figures()["greedy"]
        return f"<{self.policy} on {self.task}: greedy {greedy}>"

    def _repr_html_(self) -> str:
        return str(self.table().to_html(float_format="{:.3f}".format, escape=True))


def result_at(run: Run, step: int) -> EvaluationResult:
    """The evaluation with samples that a run's record has at `step`. Raises `EvaluationError` where
    it has none there."""
    answers = answers_at(run, step)
    asked = asked_at(run, step)
    name = f"{run.path.parent}, recorded at step {step}"
    return EvaluationResult(name, "", str(asked["task"]), how_of(asked), answers, asked)


def how_of(asked: dict[str, Any]) -> HowToAnswer:
    """What of all that answers depend on is no policy and no problem."""
    names = [field.name for field in fields(HowToAnswer)]
    return HowToAnswer(**{name: asked[name] for name in names if name in asked})


def _greedy_of_each(judged: list[Verdict], by: str) -> dict[str, Estimate]:
    parts = labelled(judged, by)
    return {label: summarize(part)["greedy"] for label, part in parts.items()}


def _cells(of_judges: dict[str, Estimate]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for judge, estimate in of_judges.items():
        values = asdict(estimate)
        cells |= {judge if name == "value" else f"{judge} {name}": values[name] for name in values}
    return cells


def _as_dicts(figures: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.as_dict() for name, estimate in figures.items()}
