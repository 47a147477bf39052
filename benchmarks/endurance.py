"""What a process holds after much work: memory, file handles, threads, widgets and comms, over many
steps with a dashboard, many sessions, redraws and branches.

    python benchmarks/endurance.py [--steps 2000] [--sessions 50] [--redraws 1000] [--branches 100]
                                   [--out FILE.json]

A policy with random weights, so that a step takes tens of milliseconds. Counted after a full
collection, at twenty places of each part. The growth is that of the second half, by a straight
line: the first fills caches. Status 1 where handles, threads, widgets or comms grow at all, or
memory by more than a part allows. No browser is attached.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine_name

PLACES = 20
ALLOWED_KB = {"steps": 8.0, "redraws": 8.0, "sessions": 200.0, "branches": 200.0}
"""Of memory, for each unit of a part."""
EXACT = ("handles", "threads", "widgets", "comms")
"""What may not grow at all."""


def held() -> dict[str, float]:
    """What this process holds now."""
    import comm
    from ipywidgets.widgets import widget

    gc.collect()
    # What the C library has been given back and keeps would count as held.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    status = Path("/proc/self/status").read_text()
    return {
        "memory_mb": int(status.split("VmRSS:")[1].split()[0]) / 1000,
        "handles": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "widgets": len(widget._instances),
        "comms": len(comm.get_comm_manager().comms),
    }


def tiny_policy(folder: Path) -> Path:
    """A Llama of one layer with random weights and the embedded policy's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from workbench.policy.load import EMBEDDED, load_policy

    tokens = load_policy(EMBEDDED).tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=tokens.pad_token_id,
        eos_token_id=tokens.eos_token_id,
        bos_token_id=None,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def digits(completions: list[Any], **columns: object) -> list[float]:
    """The share of digits: graded, so that few groups are dead."""
    texts = [c[0]["content"] for c in completions]
    return [sum(ch.isdigit() for ch in t) / max(len(t), 1) for t in texts]


class Parts:
    """The parts of the measurement, on one policy."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.policy = tiny_policy(place / "policy")

    def session(self, name: str, steps: int) -> Any:
        """A session of a small run."""
        from workbench import GRPOConfig, Session
        from workbench.rewards import RewardSet
        from workbench.tasks.arithmetic import arithmetic_task

        config = GRPOConfig(
            prompts_per_step=2,
            num_generations=4,
            updates_per_rollout=2,
            max_completion_length=8,
            max_steps=steps,
            eval_steps=0,
            num_eval_problems=2,
            save_steps=100,
            record_tokens_every=1,
        )
        task = arithmetic_task(0, 64, 16)
        return Session(self.policy, task, RewardSet(digits), config, out=self.place / name)

    def steps(self, count: int) -> list[dict[str, float]]:
        """Steps of one run with a dashboard that draws."""
        from workbench import Dashboard

        session = self.session("steps", count + 1)
        session.step(1).wait()
        board = Dashboard(session)
        found = measured(count, lambda n: session.step(n).wait())
        board.close()
        session.free()
        return found

    def redraws(self, count: int) -> list[dict[str, float]]:
        """One dashboard that is drawn anew."""
        from workbench import Dashboard

        session = self.session("redraws", 40)
        session.step(30).wait()
        board = Dashboard(session)
        found = measured(count, lambda n: [board.redraw(True) for _ in range(n)])
        board.close()
        session.free()
        return found

    def sessions(self, count: int) -> list[dict[str, float]]:
        """Sessions that are started, watched, closed and freed."""
        from workbench import Dashboard

        made = iter(range(count))

        def one() -> None:
            session = self.session(f"session-{next(made)}", 3)
            board = Dashboard(session)
            session.start().wait()
            board.close()
            session.free()

        return measured(count, lambda n: [one() for _ in range(n)])

    def branches(self, count: int) -> list[dict[str, float]]:
        """Branches of one run, each with a step of its own."""
        session = self.session("parent", 8)
        session.step(4).wait()
        made = iter(range(count))

        def one() -> None:
            branch = session.branch(f"branch-{next(made)}", 4)
            branch.wait()
            branch.step(1).wait()
            branch.free()

        found = measured(count, lambda n: [one() for _ in range(n)])
        session.free()
        return found


def measured(count: int, work: Callable[[int], object]) -> list[dict[str, float]]:
    """What is held at `PLACES` places on the way through `count` units of work."""
    places = min(PLACES, count)
    ends = [round(count * (i + 1) / places) for i in range(places)]
    found = []
    before = 0
    for end in ends:
        began = time.monotonic()
        work(end - before)
        found.append({"at": end, "seconds": round(time.monotonic() - began, 2)} | held())
        before = end
    return found


def growth(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each thing that is held, by how much a unit of work lets it grow in the second half."""
    half = found[len(found) // 2 :]
    at = [one["at"] for one in half]
    names = [name for name in half[0] if name not in ("at", "seconds")]
    return {name: float(np.polyfit(at, [one[name] for one in half], 1)[0]) for name in names}


def faults(part: str, found: list[dict[str, float]]) -> list[str]:
    """What grows and may not."""
    half = found[len(found) // 2 :]
    said = [
        f"{part}: {name} from {half[0][name]} to {half[-1][name]}"
        for name in EXACT
        if half[-1][name] > half[0][name]
    ]
    kilobytes = 1000 * growth(found)["memory_mb"]
    if kilobytes > ALLOWED_KB[part]:
        said.append(f"{part}: {kilobytes:.1f} kB of memory a unit")
    return said


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--redraws", type=int, default=1000)
    parser.add_argument("--branches", type=int, default=100)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine_name(),
        "load": os.getloadavg()[0],
        "parts": {},
    }
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        parts = Parts(Path(place))
        for name in ALLOWED_KB:
            count = getattr(args, name)
            if not count:
                continue
            found = getattr(parts, name)(count)
            wrong += faults(name, found)
            result["parts"][name] = {"count": count, "growth": growth(found), "held": found}
            first, last = found[len(found) // 2], found[-1]
            kilobytes = 1000 * growth(found)["memory_mb"]
            print(f"{name}: {count}; {kilobytes:+.2f} kB each; {first} .. {last}", flush=True)
    result["wrong"] = wrong
    for line in wrong:
        print(f"GROWS {line}")
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
