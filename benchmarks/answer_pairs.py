"""False rewards and false refusals of four judges on the pairs of tests/rewards/answer_pairs.jsonl.

    python benchmarks/answer_pairs.py [--out FILE.json]

The judges: ours, strict and lenient; math-verify as its README has it, `verify(parse(gold),
parse(text))`; TRL's `accuracy_reward`. Each gets the text in the frame that it asks for: an answer
alone stands in `<answer>` for ours, as it is for math-verify, in `\\boxed{}` for TRL. A whole
completion is the same text for all. A gold with a backslash is given to the last two between `$`,
as both ask. Ours, strict, is judged on answers alone: a completion without tags is none to it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import logging
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import math_verify
from trl.rewards import accuracy_reward

from workbench.rewards import lenient_correct, strict_correct

PAIRS = Path(__file__).parents[1] / "tests" / "rewards" / "answer_pairs.jsonl"
Pair = dict[str, Any]


def tagged(pair: Pair) -> str:
    """The completion as our rewards ask for it."""
    if pair["form"] == "text":
        return str(pair["text"])
    return f"<think></think><answer>{pair['text']}</answer>"


def formula(gold: str) -> str:
    """A gold answer as math-verify and TRL ask for it."""
    return f"${gold}$" if "\\" in gold and "$" not in gold else gold


def ours_strict(pair: Pair) -> bool | None:
    """None: a completion without tags."""
    if pair["form"] == "text":
        return None
    return bool(strict_correct(tagged(pair), pair["gold"]))


def ours_lenient(pair: Pair) -> bool:
    return bool(lenient_correct(tagged(pair), pair["gold"]))


def with_math_verify(pair: Pair) -> bool:
    gold = math_verify.parse(formula(pair["gold"]))
    text = formula(pair["text"]) if pair["form"] == "answer" else pair["text"]
    return bool(math_verify.verify(gold, math_verify.parse(text)))


def with_trl(pair: Pair) -> bool:
    text = f"\\boxed{{{pair['text']}}}" if pair["form"] == "answer" else pair["text"]
    completion = [{"role": "assistant", "content": text}]
    # None, which is its word for a gold that it cannot read, trains nothing.
    return accuracy_reward([completion], [formula(pair["gold"])]) == [1.0]


JUDGES: dict[str, Callable[[Pair], bool | None]] = {
    "ours, strict": ours_strict,
    "ours, lenient": ours_lenient,
    "math-verify": with_math_verify,
    "TRL": with_trl,
}


def counts(pairs: Sequence[Pair]) -> dict[str, dict[str, dict[str, int]]]:
    """For each kind and judge: pairs that are equal and not, false rewards and false refusals."""
    table: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for name, judge in JUDGES.items():
        for pair in pairs:
            verdict = judge(pair)
            if verdict is None:
                continue
            for kind in (pair["kind"], "all"):
                row = table[kind].setdefault(
                    name, {"equal": 0, "unequal": 0, "false rewards": 0, "false refusals": 0}
                )
                row["equal" if pair["equal"] else "unequal"] += 1
                row["false rewards"] += verdict and not pair["equal"]
                row["false refusals"] += pair["equal"] and not verdict
    return table


def printed(table: dict[str, dict[str, dict[str, int]]]) -> str:
    """A line for each kind: equal and unequal pairs, then false rewards and refusals by judge."""
    heads = "".join(f"{name:>16}" for name in JUDGES)
    lines = [f"{'false rewards/false refusals':28}{'=':>5}{'≠':>5}{heads}"]
    for kind in [*sorted(kind for kind in table if kind != "all"), "all"]:
        size = table[kind]["ours, lenient"]
        cells = []
        for name in JUDGES:
            row = table[kind].get(name)
            cell = "–" if row is None else f"{row['false rewards']}/{row['false refusals']}"
            cells.append(f"{cell:>16}")
        lines.append(f"{kind:28}{size['equal']:5}{size['unequal']:5}{''.join(cells)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    # Both write a line for each text that they cannot read.
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    table = counts(pairs)
    print(printed(table))
    if arguments.out:
        names = ("math-verify", "trl", "sympy", "latex2sympy2_extended")
        versions = {name: importlib.metadata.version(name) for name in names}
        today = datetime.date.today().isoformat()
        result = {"date": today, "pairs": len(pairs), "versions": versions, "table": table}
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
