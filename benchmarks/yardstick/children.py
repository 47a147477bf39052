"""Every measurement and every gate is a process of its own, which gets one JSON text and answers
with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yardstick.cases import OURS, Case, Shape

SCRIPT = Path(__file__).parents[1] / "speed.py"
ROOT = SCRIPT.parents[1]


class ChildError(Exception):
    """A measurement that ended in an error; says which, and what it printed last."""


def ask(task: str, case: Case, threads: int, **more: Any) -> dict[str, Any]:
    """Have a fresh process do `task` ("make", "gate" or a contender's name) on the case."""
    request = {"task": task, "case": asdict(case), "threads": threads, **more}
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--child", json.dumps(request)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise ChildError(f"{task} on {case.name} failed:\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: do what is asked."""
    given = request["case"]
    shape = Shape(**given["shape"] | {"prompt_tokens": tuple(given["shape"]["prompt_tokens"])})
    case = Case(given["model"], given["way"], shape)
    import torch

    torch.set_num_threads(request["threads"])
    if request["task"] == "make":
        return made(case, request)
    from yardstick.ours import Numbers

    numbers = Numbers(request["dtype"], request["steps"], request["device"], request["micro_batch"])
    if request["task"] == "gate":
        from yardstick.gate import check

        return check(request["source"], case, numbers).to_dict()
    return measured(request["task"], request["source"], case, numbers, request["warm_up"])


def made(case: Case, request: dict[str, Any]) -> dict[str, Any]:
    """The model's folder, or why there is none."""
    from yardstick.models import MissingModel, make

    given = request["smollm2"]
    try:
        source = make(case, Path(request["folder"]), Path(given) if given else None)
    except MissingModel as e:
        return {"missing": str(e)}
    return {"source": source}


def measured(contender: str, source: str, case: Case, numbers: Any, warm_up: int) -> dict[str, Any]:
    """The contender's steps after the warm-up, its memory, and the machine's rates at this time."""
    import torch

    from yardstick import ours, theirs
    from yardstick.meter import memory_peak
    from yardstick.paired import clock_of
    from yardstick.probe import rates
    from yardstick.sizes import size_of

    policy = ours.policy_of(source, case, numbers)
    size = size_of(policy.model)
    del policy
    found = (
        ours.run(source, case, numbers)
        if contender == OURS
        else theirs.run(contender, source, case, numbers)
    )
    clock = clock_of(torch.get_num_threads(), numbers.device)
    # Read before the probe, whose tensors are not the contender's.
    memory = {"peak_mb": memory_peak(numbers.device), "loaded_mb": found.pop("loaded_mb")}
    return {
        **found,
        **memory,
        "steps": found["steps"][warm_up:],
        "gpu": torch.cuda.get_device_name() if numbers.device == "cuda" else None,
        "size": size.to_dict(),
        "rates": rates(numbers.dtype, clock, numbers.device),
    }
