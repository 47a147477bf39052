"""What `workbench eval` has found, in words and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from workbench.commands.evaluate_report import Report
from workbench.commands.printing import line_of, say, terminal

if TYPE_CHECKING:
    from workbench.evaluation import Estimate, EvaluationResult


def print_report(report: Report) -> None:
    """A line for all problems, one for each part of them, a table of all figures."""
    from workbench.evaluation.answered import summarize

    found = report.evaluated
    strict = summarize(found.judged["strict"])
    lenient = summarize(found.judged["lenient"])
    greedy = strict["greedy"]
    console = terminal()
    _say_greedy(found, greedy, console)
    for table in _parts(found):
        console.print(table)
    if greedy.n and (len(strict) > 1 or lenient["greedy"].value != greedy.value):
        table = _figures(strict, lenient)
        console.print(table)
    if report.control is not None:
        _print_control(found, report.control, console)
    if report.contamination is not None and (said := str(report.contamination)):
        say(said, console)
    if report.kept is not None:
        say(f"The completions are in {report.kept}, one problem a line.", console)


def _say_greedy(found: EvaluationResult, greedy: Estimate, console: Any) -> None:
    is_plain = found.quantization in ("", "none")
    kind = "" if is_plain else f" in {found.quantization}"
    share = f"{greedy.value:.1%}" if greedy.n else "nothing known"
    say(
        f"{found.policy}{kind} on {found.task}: {share} of {greedy.n} held-out problems (greedy, "
        f"strict; 95 % interval {greedy.low:.1%} to {greedy.high:.1%})",
        console,
    )
    left_out = len(found.answers) - greedy.n
    if left_out:
        say(
            f"  {left_out} more could not be compared with their gold answer in time and are not "
            "counted.",
            console,
        )


def _parts(found: EvaluationResult) -> list[Any]:
    """A table for each grouping that the problems have: greedy, strict beside lenient."""
    from workbench.evaluation.answered import GROUPINGS, counts, labelled, summarize

    tables = []
    for grouping in GROUPINGS:
        strict = labelled(found.judged["strict"], grouping)
        lenient = labelled(found.judged["lenient"], grouping)
        table = _table(f"by {grouping}", "right", "strict", "95 %", "lenient")
        for label, of_label in strict.items():
            right, count = counts(of_label)
            loose = summarize(lenient.get(label, []))["greedy"]
            share, interval = _cells(summarize(of_label)["greedy"])
            _add_row(table, label, f"{right} of {count}", share, interval, _cells(loose)[0])
        if strict:
            tables.append(table)
    return tables


def _figures(strict: dict[str, Estimate], lenient: dict[str, Estimate]) -> Any:
    """A row for each figure, strict beside lenient. maj@1 and pass@1 are mean@K again."""
    table = _table("", "strict", "95 %", "lenient", "95 %")
    table.caption = line_of(
        "mean: of the samples, how many are right; maj@k: the answer that most of k samples "
        "give is right; pass@k: at least one of k samples is right. Strict: the whole "
        "completion has the form; lenient: the likeliest answer in it counts.",
        "dim",
    )
    # What is undecided for one judge alone may leave the other without samples.
    for name in _in_order(name for name in strict if name in lenient):
        _add_row(table, name, *_cells(strict[name]), *_cells(lenient[name]))
    return table


def _print_control(found: EvaluationResult, control: EvaluationResult, console: Any) -> None:
    """The policy less its control, and where the gain lies."""
    from workbench.evaluation import gain, paired_differences
    from workbench.evaluation.answered import summarize
    from workbench.evaluation.comparing import CONTROLS

    table = _table("strict", "trained", "control", "difference", "95 %", "lenient difference")
    of_policy = summarize(found.judged["strict"])
    of_control = summarize(control.judged["strict"])
    strict, lenient = (
        paired_differences(judged, control.judged[judge]) for judge, judged in found.judged.items()
    )
    for name in _in_order(name for name in strict if name in lenient):
        _add_row(
            table,
            name,
            _cells(of_policy[name])[0],
            _cells(of_control[name])[0],
            f"{100 * strict[name].value:+.1f}",
            f"{100 * strict[name].low:+.1f} to {100 * strict[name].high:+.1f}",
            f"{100 * lenient[name].value:+.1f}",
        )
    say(f"beside the control, {control.policy}, on the same problems:", console)
    console.print(table)
    if found.how.samples and strict and strict["greedy"].n:
        say(str(gain(control.judged["strict"], found.judged["strict"])), console)
    for name, what in CONTROLS.items():
        say(f"  {name}: {what}", console, style="dim")


def _in_order(names: Iterable[str]) -> list[str]:
    order = ("greedy", "mean", "maj", "pass")
    shown = [name for name in names if not name.endswith("@1")]
    return sorted(shown, key=lambda name: order.index(name.partition("@")[0]))


def _cells(estimate: Estimate) -> tuple[str, str]:
    """The value and its interval."""
    if estimate.n == 0:
        return "-", "-"
    return f"{estimate.value:.1%}", f"{estimate.low:.1%} to {estimate.high:.1%}"


def _table(*headings: str) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left")
    for heading in headings:
        table.add_column(line_of(heading))
    return table


def _add_row(table: Any, *cells: str) -> None:
    table.add_row(*(line_of(cell) for cell in cells))
