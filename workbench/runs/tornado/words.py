"""What a tornado says, in sentences and as a table: the same as the picture, for who reads it."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.runs.tornado.picture import drawn, number, order, safe, value_text
from workbench.runs.tornado.result import (
    BEYOND,
    CHANCE,
    MEASURES,
    SAME,
    VERDICTS,
    Branch,
    TornadoResult,
)

SHOWN = 300
"""Characters of a message that are shown."""


def sentences(result: TornadoResult) -> list[str]:
    """What was done, what stands out, what does not, and how far that may be trusted."""
    found = [_what_was_done(result), *_what_stands_out(result)]
    bars = len(result.frame)
    whole = [branch for branch in result.seeds if not branch.error]
    if whole:
        by_chance = max(1, round(bars / 20))
        found.append(
            f"Of {bars} bars about {by_chance} would stand out by chance alone; each rests on one "
            f"run. The band comes from {len(whole) + 1} runs that differ by their sampling seed."
        )
    found += [f"{b.name} alone broke the training: {b.error}" for b in result.seeds if b.error]
    if not whole:
        found.append("With no other seed left there is no band, and nothing can be told.")
    found += [f"Not moved: {name}. {why}" for name, why in result.left_out.items()]
    shared = sum(branch.shared_rollouts for branch in result.branches)
    if shared:
        found.append(
            f"{shared} of {len(result.branches) * result.steps} rollouts were taken over from a "
            "branch with the same weights, random numbers and sampling settings: the first one "
            "where the knob does not reach the sampler. Sampled again, they would be the same bit "
            "for bit."
        )
    return found


def _what_was_done(result: TornadoResult) -> str:
    return (
        f"From step {result.step} of {result.run}, {result.steps} steps with each knob down and "
        f"up, measured on {result.problems} held-out problems: {', '.join(result.measures)}."
    )


def _what_stands_out(result: TornadoResult) -> Iterator[str]:
    quiet = []
    for knob in order(result):
        told = []
        branches = result.of(knob)
        for branch in branches:
            if branch.error:
                told.append(f"{value_text(branch.value)} broke the training: {branch.error}")
            told += [
                f"{measure} {number(result.effect(branch, measure), measure)} at "
                f"{value_text(branch.value)}"
                for measure in result.measures
                if result.verdict(branch, measure) == BEYOND
            ]
        if told:
            yield f"{knob}: {'; '.join(told)}."
        elif all(result.verdict(b, m) == SAME for b in branches for m in result.measures):
            yield f"{knob}: {VERDICTS[SAME]}."
        else:
            quiet.append(knob)
    if quiet:
        yield f"{VERDICTS[CHANCE].capitalize()}: {', '.join(quiet)}."


def as_html(result: TornadoResult) -> str:
    """Picture, sentences and table. Everything that is not our own is escaped."""
    said = "".join(f"<li>{safe(text[:SHOWN])}</li>" for text in sentences(result))
    return (
        f'<div class="wb-tornado">{drawn(result)}<ul>{said}</ul>'
        f"<details><summary>all figures</summary>{table(result)}</details></div>"
    )


def table(result: TornadoResult) -> str:
    """A row for each knob and side, a column for each measure."""
    heads = "".join(
        f'<th scope="col" title="{safe(MEASURES[name])}">{name}</th>' for name in result.measures
    )
    rows = "".join(_row(result, branch) for knob in order(result) for branch in result.of(knob))
    base = "".join(f"<td>{result.base.measures[name]:.4g}</td>" for name in result.measures)
    band = "".join(
        f"<td>{number(result.bands[name].low, name)} to {number(result.bands[name].high, name)}"
        "</td>"
        for name in result.measures
    )
    return (
        f'<table><thead><tr><th scope="col">knob</th>{heads}</tr></thead><tbody>'
        f'<tr><th scope="row">unchanged</th>{base}</tr>'
        f'<tr><th scope="row">another seed</th>{band}</tr>{rows}</tbody></table>'
    )


def _row(result: TornadoResult, branch: Branch) -> str:
    name = f"{branch.knob} {value_text(branch.before)} → {value_text(branch.value)}"
    cells = "".join(f"<td>{safe(_cell(result, branch, m))}</td>" for m in result.measures)
    return f'<tr><th scope="row">{safe(name)}</th>{cells}</tr>'


def _cell(result: TornadoResult, branch: Branch, measure: str) -> str:
    verdict = result.verdict(branch, measure)
    effect = result.effect(branch, measure)
    if effect != effect:
        return VERDICTS[verdict]
    return f"{number(effect, measure)}, {VERDICTS[verdict]}"
