"""Makes curve.json: 20 steps of the default run on the embedded policy, to be compared exactly.

    python tests/training/make_curve.py

A change of these numbers is a change of the training, and is made on purpose or not at all. Bits
depend on the versions of torch and transformers and on the class of processor, so the file names
those that it was made with. The evaluations are small, since no number of a step depends on them.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from workbench.config import GRPOConfig
from workbench.policy import load_policy
from workbench.tasks import load_task
from workbench.training import start_run

CURVE = Path(__file__).with_name("curve.json")
STEPS = 20
COLUMNS = ("loss", "reward", "kl", "grad_norm")


def made_with() -> dict[str, str]:
    """What the bits of a curve depend on."""
    return {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def curve(out: Path) -> dict[str, list[float]]:
    """Train in the folder `out`, on one thread; the numbers of each step, by column."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = GRPOConfig(num_eval_problems=8)
    trainer = start_run(
        out,
        policy=load_policy("embedded", config=config, device="cpu"),
        task=load_task("arithmetic", seed=config.seed),
        config=config,
    )
    metrics: list[Any] = []
    try:
        trainer.train(STEPS, on_step=lambda step: metrics.append(step.metrics))
    finally:
        torch.set_num_threads(threads)
    return {name: [step[name] for step in metrics] for name in COLUMNS}


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = curve(Path(folder) / "run")
    # repr() of a float, which JSON writes, gives back the same bits.
    CURVE.write_text(json.dumps({"made_with": made_with(), "steps": numbers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
