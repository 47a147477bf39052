"""The pairs of `answer_pairs.jsonl`: what a policy may write, a gold answer, whether it is right.

A pair of the form "answer" is an answer alone, one of the form "text" a whole completion.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from workbench.rewards import lenient_correct, strict_correct

PAIRS = [
    json.loads(line)
    for line in Path(__file__).with_name("answer_pairs.jsonl").read_text("utf-8").splitlines()
]
REFUSED = {"unit conversion", "calculation", "beyond a rule"}
"""Kinds whose right answers are not taken, as docs/answers.md says: units are not converted, a
number is written as a number, and some sentences need a reader."""


def test_there_are_many_pairs_of_many_kinds_and_each_is_there_once():
    kinds = Counter(pair["kind"] for pair in PAIRS)
    assert len(PAIRS) >= 300
    assert len(kinds) >= 30
    assert len({(p["form"], p["text"], p["gold"]) for p in PAIRS}) == len(PAIRS)


@pytest.mark.parametrize("form", ["answer", "text"])
def test_no_false_reward_and_no_false_refusal(form):
    offenders = []
    for pair in PAIRS:
        if pair["form"] != form:
            continue
        text = pair["text"]
        if form == "answer":
            tagged = f"<think></think><answer>{text}</answer>"
            verdicts = {strict_correct(tagged, pair["gold"]), lenient_correct(tagged, pair["gold"])}
        else:
            verdicts = {lenient_correct(text, pair["gold"])}
        right = pair["equal"] and pair["kind"] not in REFUSED
        if verdicts != {right}:
            offenders.append((pair, verdicts))
    assert not offenders


def test_what_the_strict_reward_pays_is_right():
    paid = [p for p in PAIRS if p["form"] == "text" and strict_correct(p["text"], p["gold"])]
    assert paid
    assert all(pair["equal"] for pair in paid)
