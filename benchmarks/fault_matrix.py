"""The doctor's confusion matrix: every fault of the lab, and healthy runs of many settings, over
several seeds; what the doctor finds in each.

    python benchmarks/fault_matrix.py [--seeds 5] [--healthy-seeds 1] [--out FILE.json]
    python benchmarks/fault_matrix.py --page FILE.json      writes it into docs/faults.md

Each run is a few steps of the embedded policy, one after another on one thread. FILE.json is
written after each of them, and runs that it holds already are not made again, unless the embedded
policy is another one by now. A fault is named where one of its `finding_keys` is found; a healthy
run raises a false alarm where a finding that names a fault is found in it. A matrix that is whole
and lies among the results is written into docs/faults.md at once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from machine import machine_name

from workbench.config import GRPOConfig
from workbench.doctor import diagnose
from workbench.faults import FAULTS
from workbench.policy import load_policy
from workbench.policy.load import EMBEDDED
from workbench.rewards import RewardSet, shuffled
from workbench.tasks import load_task
from workbench.training import start_run

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
BEGIN = "<!-- matrix -->"
END = "<!-- /matrix -->"
STEPS = 6
SMALL: dict[str, Any] = dict(
    prompts_per_step=8,
    num_generations=8,
    max_steps=STEPS,
    eval_steps=0,
    num_eval_problems=4,
    save_steps=100,
    lr_scheduler_type="constant",
)
"""Half a step of the default run, six times: what is found is no matter of statistics."""

HEALTHY: dict[str, dict[str, Any]] = {
    "default": {},
    "on policy": {"updates_per_rollout": 1},
    "two passes": {"num_iterations": 2},
    "small micro-batches": {"micro_batch_size": 8},
    "adapter": {"lora_rank": 8, "learning_rate": 1e-3},
    "cooler": {"temperature": 0.7},
    "hotter": {"temperature": 1.3},
    "truncating": {"max_completion_length": 22},
    "truncated left out": {"max_completion_length": 22, "mask_truncated_completions": True},
    "no KL": {"beta": 0.0},
    "other KL": {"kl_estimator": "k1", "beta": 0.05},
    "loss grpo": {"loss_type": "grpo"},
    "loss dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "loss cispo": {"loss_type": "cispo", "epsilon_high": 2.0},
    "sequence ratio": {
        "loss_type": "grpo",
        "importance_sampling_level": "sequence",
        "epsilon": 3e-4,
        "epsilon_high": 4e-4,
    },
    "entropy bonus": {"entropy_coef": 0.001},
    "dynamic sampling": {"max_resample": 2},
    "refreshed reference": {"sync_ref_model": True, "ref_model_sync_steps": 2},
    "control": {},
    "method rloo": {"method": "rloo"},
    "method reinforce_pp": {"method": "reinforce_pp"},
    "method online_rft": {"method": "online_rft"},
    "method dpo": {"method": "dpo"},
    "method ppo": {"method": "ppo"},
    "method sft": {"method": "sft"},
}
"""Settings in which nothing is wrong; those that a fault needs to show are among them."""


def config_of(settings: dict[str, Any], seed: int) -> GRPOConfig:
    """The small config with these settings, those of a method among them."""
    base = GRPOConfig(**SMALL | {"seed": seed})
    method = settings.get("method")
    if method is not None:
        base = base.with_method(method)
    return base.replace(**{name: v for name, v in settings.items() if name != "method"})


def findings_of(fault: str | None, setting: str, seed: int) -> dict[str, Any]:
    """Make one run and say what the doctor finds in it."""
    settings = HEALTHY[setting] if fault is None else FAULTS[fault].needs
    config = config_of(settings, seed)
    rewards = RewardSet(["format", "answer"])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        trainer = start_run(
            f"{place}/run",
            policy=load_policy("embedded", config=config, device="cpu"),
            task=load_task("arithmetic", seed=seed),
            rewards=shuffled(rewards, seed) if setting == "control" else rewards,
            config=config,
            fault=fault,
        )
        trainer.train()
        found = {finding.key: finding.severity for finding in diagnose(f"{place}/run")}
    return {
        "fault": fault,
        "setting": setting,
        "seed": seed,
        "findings": found,
        "seconds": round(time.monotonic() - began, 1),
    }


def wanted(seeds: int, healthy_seeds: int) -> Iterator[tuple[str | None, str, int]]:
    """(fault, setting, seed) of every run; seeds in the outer loop, so that a matrix that was
    broken off has some of each."""
    for seed in range(max(seeds, healthy_seeds)):
        if seed < seeds:
            yield from ((fault, "", seed) for fault in FAULTS)
        if seed < healthy_seeds:
            yield from ((None, setting, seed) for setting in HEALTHY)


def policy_digest() -> str:
    """Tells one embedded policy from another."""
    files = sorted(path for path in EMBEDDED.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def table_of(runs: list[dict[str, Any]]) -> str:
    """The matrix as Markdown: a row for each fault and one for the healthy runs, the findings that
    name faults beside every other problem or warning."""
    naming = [key for kind in FAULTS.values() for key in kind.finding_keys]
    lines = ["| fault | named | findings that name a fault | other problems and warnings |"]
    lines += ["|---|---|---|---|"]
    for fault in [*FAULTS, None]:
        own = [run for run in runs if run["fault"] == fault]
        keys = Counter(key for run in own for key in run["findings"] if key in naming)
        others = Counter(
            key
            for run in own
            for key, severity in run["findings"].items()
            if severity in ("problem", "warning") and key not in naming
        )
        if fault is None:
            alarms = sum(bool(set(run["findings"]) & set(naming)) for run in own)
            named = f"{alarms} false alarms in {len(own)} runs"
        else:
            hits = sum(is_named(run) for run in own)
            named = f"{hits} of {len(own)}"
        lines.append(f"| {fault or '(healthy)'} | {named} | {counted(keys)} | {counted(others)} |")
    return "\n".join(lines) + "\n"


def shown_on_the_page(matrix: dict[str, Any]) -> str:
    """The matrix with what it was made on."""
    made = (
        f"{len(matrix['runs'])} runs of {matrix['steps']} steps, {matrix['date']}, "
        f"{matrix['machine']}, embedded policy {matrix['policy']}:"
    )
    return f"{made}\n\n{table_of(matrix['runs'])}"


def write_page(matrix: dict[str, Any]) -> None:
    """Put the matrix between the marks of docs/faults.md."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{shown_on_the_page(matrix)}{END}{after}")


def is_named(run: dict[str, Any]) -> bool:
    """Whether one of the findings names the run's fault."""
    return bool(set(run["findings"]) & set(FAULTS[run["fault"]].finding_keys))


def counted(keys: Counter[str]) -> str:
    """`key` 5, `other` 1."""
    return ", ".join(f"`{key}` {count}" for key, count in keys.most_common()) or "–"


def main() -> None:
    """Make what is missing, and keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--healthy-seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    if args.page is not None:
        write_page(json.loads(args.page.read_text()))
        return

    torch.set_num_threads(1)
    results = Path(__file__).with_name("results")
    out = args.out or results / f"fault-matrix-{date.today().isoformat()}.json"
    head = {"steps": STEPS, "small": SMALL, "policy": policy_digest()}
    kept = json.loads(out.read_text()) if out.exists() else {}
    # Another policy or another size makes other runs.
    same = all(kept.get(name) == value for name, value in head.items())
    runs = kept["runs"] if same else []
    made = {(run["fault"], run["setting"], run["seed"]) for run in runs}
    for fault, setting, seed in wanted(args.seeds, args.healthy_seeds):
        if (fault, setting, seed) in made:
            continue
        run = findings_of(fault, setting, seed)
        runs.append(run)
        stamp = {"date": date.today().isoformat(), "machine": machine_name()}
        out.write_text(json.dumps(stamp | head | {"runs": runs}, indent=1) + "\n")
        alarming = [key for key, severity in run["findings"].items() if severity == "problem"]
        print(f"{fault or setting} seed {seed}: {', '.join(alarming)}", flush=True)
    print(table_of(runs))
    if out.parent == results:
        write_page(json.loads(out.read_text()))


if __name__ == "__main__":
    main()
