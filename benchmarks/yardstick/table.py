"""The table, as text that is Markdown too."""

from __future__ import annotations

from typing import Any

from yardstick.cases import OURS
from yardstick.meter import STEP

PHASES = (STEP, "rollout", "logprobs", "update")


def table_of(result: dict[str, Any]) -> str:
    """Two tables: TRL over ours by case, and each contender's phases."""
    return "\n".join([*ratio_rows(result), "", *phase_rows(result)])


def ratio_rows(result: dict[str, Any]) -> list[str]:
    """One row for a case and a contender of TRL's."""
    rows = [
        f"| TRL / ours ({result['clock']} seconds) | step | rollout | update | peak memory |",
        "|---|---|---|---|---|",
    ]
    for case, found in result["cases"].items():
        for other, ratio in found["ratios"].items():
            columns = [in_words(ratio[what]) for what in (STEP, "rollout", "update", "peak")]
            rows.append(f"| {case}, {other} | " + " | ".join(columns) + " |")
    return rows


def in_words(ratio: dict[str, float]) -> str:
    """Median, and the range where there is one."""
    text = f"{ratio['median']:.2f}"
    if ratio["low"] == ratio["high"]:
        return text
    return f"{text} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def phase_rows(result: dict[str, Any]) -> list[str]:
    """One row for a case, a contender and a phase."""
    rows = [
        "| case | contender | phase | CPU s | wall s | useful tokens/s | achieved/limit | waste "
        "| peak MB (of it before the first step) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case, found in result["cases"].items():
        for name, contender in found["contenders"].items():
            measured = [phase for phase in PHASES if phase in contender["phases"]]
            rows += [phase_row(case, name, phase, contender) for phase in measured]
    return rows


def phase_row(case: str, name: str, phase: str, contender: dict[str, Any]) -> str:
    """The figures of one phase; memory is told once, with the whole step."""
    x = contender["phases"][phase]
    memory = ""
    if phase == STEP:
        memory = f"{contender['peak_mb']:.0f} ({contender['loaded_mb']:.0f})"
    columns = [
        case,
        name,
        phase,
        f"{x['cpu']:.2f}",
        f"{x['wall']:.2f}",
        f"{x['tokens_per_second']:.0f}",
        "" if x["share_of_limit"] is None else f"{x['share_of_limit']:.0%}",
        "" if x["waste"] is None else f"{x['waste']:.2f}",
        memory,
    ]
    return "| " + " | ".join(columns) + " |"


def heading(result: dict[str, Any]) -> str:
    """On what it was measured, in two lines."""
    load = result["load"]
    rates = result["rates"]
    return (
        f"{result['date']}, {result['machine']} (class {result['class']}), "
        f"{result['threads']} thread(s), {result['dtype']}, load {load['before']:.2f} before and "
        f"{load['after']:.2f} after, {result['rounds']} round(s)\n"
        f"limits: {rates['flops'] / 1e9:.0f} GFLOP/s and {rates['bandwidth'] / 1e9:.1f} GB/s "
        f"(medians over {OURS} and TRL); "
        + ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    )
