"""Real configurations on the GPU that is here: memory, seconds by phase, share of the limit, and
what the plan had said.

Nothing is fetched: the models have the published shapes (Qwen2.5-0.5B and 1.5B, SmolLM2-135M) and
random weights, the tokenizer is made in memory. Every cell (model x full | LoRA | QLoRA x engine)
is a process with a time limit of its own, so one that fails leaves the others standing. Bandwidth
and FLOP/s are measured in the same run; `share_of_limit` is the limit that follows from them over
the seconds taken. Memory is torch's max_allocated by phase (on a CPU: the process's VmHWM),
compared with the plan less context and allocator.

    python benchmarks/gpu_matrix.py [--out results/FILE.json] [--minutes 30]
        [--only Qwen2.5-0.5B/LoRA]
    python benchmarks/gpu_matrix.py --device cpu --tiny

The second line runs the same code in about a minute, without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

MODES: dict[str, dict] = {
    "full": {},
    "LoRA": dict(lora_rank=16),
    "QLoRA": dict(lora_rank=16, quantization="nf4"),
}
MODELS = ("SmolLM2-135M", "Qwen2.5-0.5B", "Qwen2.5-1.5B")
ENGINES = ("native", "transformers")
SIZE = dict(
    prompts_per_step=8,
    num_generations=8,
    updates_per_rollout=2,
    max_prompt_length=128,
    max_completion_length=128,
    micro_batch_size=8,
)
TINY_SIZE = dict(
    prompts_per_step=2,
    num_generations=2,
    updates_per_rollout=1,
    num_iterations=2,
    max_prompt_length=16,
    max_completion_length=8,
)
TINY = dict(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)


def cells(tiny: bool) -> list[dict]:
    """What is measured. Full fine-tuning of 1.5B takes about 36 GB by the plan; where that is too
    much, the cell says so and the next one runs."""
    models = ("tiny",) if tiny else MODELS
    return [
        dict(model=model, mode=mode, engine=engine)
        for model in models
        for mode in MODES
        for engine in ENGINES
    ]


def chosen(every: list[dict], wanted: list[str]) -> list[dict]:
    """The cells whose name holds one of those texts, in the order of the texts."""
    found = [
        cell
        for text in wanted
        for cell in every
        if text in "/".join((cell["model"], cell["mode"], cell["engine"]))
    ]
    return list({json.dumps(cell): cell for cell in found}.values())


def settings_of(cell: dict, tiny: bool) -> dict:
    """Fields of `GRPOConfig` for a cell."""
    steps = dict(max_steps=10_000, eval_steps=0, num_eval_problems=1, learning_rate=1e-5)
    return (
        (TINY_SIZE if tiny else SIZE)
        | MODES[cell["mode"]]
        | steps
        | dict(rollout_engine=cell["engine"])
    )


def shape(name: str):
    """The published shape, or a tiny one."""
    from transformers import AutoConfig

    from workbench.plan import Shape, shape_of

    return (
        Shape("tiny", AutoConfig.for_model("llama", **TINY), "made up")
        if name == "tiny"
        else shape_of(name)
    )


def byte_tokenizer():
    """A token for each byte, an end and a padding token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer, raw.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")


def random_policy(cell: dict, config, device: str):
    """A policy as `load_policy` makes one, but for its weights, which are drawn on the device."""
    import torch
    from transformers import AutoModelForCausalLM

    from workbench.libraries.bitsandbytes_ import keep_from_changing
    from workbench.policy import Policy
    from workbench.policy.dtype import wants_autocast, weight_dtype
    from workbench.policy.for_config import lora_of
    from workbench.policy.load import for_training
    from workbench.policy.quantization import quantize

    where, frozen, tokenizer = torch.device(device), config.lora_rank > 0, byte_tokenizer()
    dtype = weight_dtype(config.dtype, where, frozen)
    torch.manual_seed(0)
    with where:
        model = AutoModelForCausalLM.from_config(shape(cell["model"]).config, dtype=dtype).eval()
    if config.quantization != "none":
        quantize(model, config.quantization, dtype)
        keep_from_changing(model)
    model = for_training(
        model,
        lora_of(config),
        seed=0,
        source=cell["model"],
        autocast=wants_autocast(config.dtype, where, frozen),
        gradient_checkpointing=config.gradient_checkpointing,
    )
    return Policy(
        model, tokenizer, cell["model"], (tokenizer.eos_token_id,), tokenizer.pad_token_id
    )


def made_up_task(tokens: int, count: int):
    """Questions of `tokens` bytes, a line end and its like included."""
    from workbench.tasks.types import Problem, Task

    questions = [Problem(f"{i:04d}".ljust(tokens - 2, "x"), "1") for i in range(count)]
    return Task("made up", questions[1:], questions[:1])


def arbitrary(completions, **columns) -> list[float]:
    """A reward that differs within a group."""
    return [zlib.crc32(c[0]["content"].encode()) % 7 / 7 for c in completions]


class Peaks:
    """Bytes at most, by phase: torch's allocator on a GPU, the process's high-water mark on a
    CPU."""

    def __init__(self, device: str) -> None:
        self.cuda, self.by_phase = device == "cuda", {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """What is inside belongs to `name`."""
        import torch

        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        yield
        if self.cuda:
            torch.cuda.synchronize()
        self.by_phase[name] = max(
            self.by_phase.get(name, 0),
            torch.cuda.max_memory_allocated() if self.cuda else high_water(),
        )


def high_water() -> int:
    """VmHWM of this process in bytes."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def run_cell(cell: dict, device: str, tiny: bool, rates: dict, steps: int) -> dict:
    """Train a few steps; medians of the seconds after the first step, peaks, and the plan's
    figures."""
    import torch

    from workbench.config import GRPOConfig
    from workbench.rewards import RewardSet
    from workbench.training import start_run
    from workbench.training import trainer as trainer_module

    config = GRPOConfig(**settings_of(cell, tiny))
    peaks = Peaks(device)
    count = steps

    class Watched(trainer_module.Phases):
        @contextmanager
        def __call__(self, name: str):
            with peaks(name), super().__call__(name):
                yield
                if device == "cuda":
                    torch.cuda.synchronize()

    trainer_module.Phases = Watched
    trainer_module.Trainer.save = lambda trainer: (
        trainer.folder
    )  # a checkpoint of 1.5B trained weights is 25 GB, and none is wanted
    with tempfile.TemporaryDirectory() as out:
        policy = random_policy(cell, config, device)
        task = made_up_task(config.max_prompt_length, count * config.prompts_per_step + 1)
        trainer = start_run(
            out, policy=policy, task=task, rewards=RewardSet([arbitrary]), config=config
        )
        steps = [trainer.step().metrics for _ in range(count)]
    names = [k for k in steps[0] if k.startswith("seconds/")]
    seconds = {
        n.removeprefix("seconds/"): statistics.median(s[n] for s in steps[1:]) for n in names
    }
    length = statistics.mean(s["completion_length"] for s in steps)
    tokens = statistics.median(s["tokens"] for s in steps[1:]) / seconds["step"]
    del trainer, policy  # the plan's trial needs room of its own
    if device == "cuda":
        torch.cuda.empty_cache()
    return {
        "seconds": seconds,
        "completion_length": length,
        "tokens_per_second": tokens,
        "peak_bytes": peaks.by_phase,
        **compare(cell, config, rates, seconds),
    }


def compare(cell: dict, config, rates: dict, seconds: dict) -> dict:
    """The plan of the cell for a device with the measured rates, and the share of the limit that
    was reached."""
    from workbench.plan import Device, plan
    from workbench.trial import with_trial

    device = Device(
        rates["name"],
        rates["kind"],
        rates["memory"],
        rates["bandwidth"],
        tuple(rates["flops"].items()),
        rates["has_bfloat16"],
        "measured in this run",
        True,
    )
    made = with_trial(plan(config, shape(cell["model"]), device, advice=False))
    own = (
        ("framework", "overhead") if device.kind == "cuda" else ("mapped",)
    )  # no file is read here
    predicted = {p.name: round(p.bytes - sum(p.parts[k] for k in own)) for p in made.phases}
    limit = made.seconds.limit
    return {
        "plan_bytes": predicted,
        "plan_seconds": {
            "low": made.seconds.low,
            "trial": made.seconds.trial,
            "high": made.seconds.high,
        },
        "limit_seconds": limit,
        "share_of_limit": {
            name: limit[name] / seconds[name] for name in limit if seconds.get(name)
        },
    }


def measured_rates(device: str) -> dict:
    """What the plan needs to know of the device, as plain values."""
    from workbench.plan.devices import measured_cpu, this_device

    d = this_device() if device == "cuda" else measured_cpu()
    return {
        "name": d.name,
        "kind": d.kind,
        "memory": d.memory,
        "bandwidth": d.bandwidth,
        "flops": dict(d.flops),
        "has_bfloat16": d.has_bfloat16,
        "source": d.source,
    }


def in_a_process(arguments: list[str], limit: float) -> dict:
    """The last line of this script's output with other arguments, or what went wrong."""
    try:
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {limit:.0f} s"}
    if done.returncode:
        return {
            "failed": done.stderr.strip().splitlines()[-1][:300]
            if done.stderr.strip()
            else f"exit code {done.returncode}"
        }
    return json.loads(done.stdout.strip().splitlines()[-1])


def versions() -> dict[str, str]:
    """What was measured, on what."""
    from importlib.metadata import version

    import torch

    names = ("torch", "transformers", "peft", "bitsandbytes")
    return {n: version(n) for n in names} | {
        "cuda": torch.version.cuda or "none",
        "python": platform.python_version(),
    }


def show(cell: dict, result: dict) -> None:
    """A line on one cell."""
    name = f"{cell['model']:14} {cell['mode']:6} {cell['engine']:13}"
    if "failed" in result:
        print(f"{name} failed: {result['failed']}", flush=True)
        return
    peak, said = max(result["peak_bytes"].values()), max(result["plan_bytes"].values())
    phases = ", ".join(
        f"{n} {result['seconds'][n]:.2f} s ({share:.0%} of the limit)"
        for n, share in result["share_of_limit"].items()
    )
    trial = result["plan_seconds"]["trial"]
    timed = "" if trial is None else f"; the plan's trial came to {sum(trial.values()):.2f} s"
    print(
        f"{name} peak {peak / 1e9:.2f} GB, plan {said / 1e9:.2f} GB ({said / peak - 1:+.0%}); "
        f"{phases}{timed}",
        flush=True,
    )


def the_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--tiny", action="store_true", help="one small model in place of the real shapes")
    add(
        "--only",
        default="",
        help="cells whose MODEL/MODE/ENGINE holds this text, or one of several, in their order: "
        "0.5B/full/native,1.5B/LoRA",
    )
    add(
        "--steps", type=int, default=3, help="steps of a cell; the first is left out of the medians"
    )
    add("--minutes", type=float, default=30.0, help="cells that would begin later are left out")
    add("--cell-seconds", type=float, default=240.0, help="the time limit of one cell")
    add("--out", type=Path)
    add("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps < 2:
        parser.error(f"--steps {args.steps}: 2 at least, since the first is left out")
    return args


def as_child(args: argparse.Namespace) -> None:
    """Measure the rates or one cell, and print what came out as the last line."""
    job = json.loads(args.child)
    if job["cell"] is None:
        result = measured_rates(args.device)
    else:
        result = run_cell(job["cell"], args.device, args.tiny, job["rates"], args.steps)
    print(json.dumps(result))


def main() -> None:
    """Cell after cell, each in its own process, until the time is over."""
    args = the_arguments()
    if args.child:
        as_child(args)
        return
    if args.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise SystemExit("no CUDA GPU is here. Try the code without one: --device cpu --tiny")
    started = time.monotonic()
    common = ["--device", args.device, "--steps", str(args.steps)]
    common += ["--tiny"] if args.tiny else []
    rates = in_a_process([*common, "--child", json.dumps({"cell": None})], args.cell_seconds)
    if "failed" in rates:
        raise SystemExit(f"the rates could not be measured: {rates['failed']}")
    flops = ", ".join(f"{k} {v / 1e12:.2f} TFLOP/s" for k, v in rates["flops"].items())
    print(f"{rates['name']}: {rates['bandwidth'] / 1e9:.0f} GB/s, {flops}", flush=True)
    results = []
    for cell in chosen(cells(args.tiny), args.only.split(",")):
        left = args.minutes * 60 - (time.monotonic() - started)
        result = {"failed": "left out: the time was over"}
        if left > 10:
            job = json.dumps({"cell": cell, "rates": rates})
            result = in_a_process([*common, "--child", job], min(args.cell_seconds, left))
        results.append(cell | result)
        show(cell, result)
        write(
            args.out, rates, results
        )  # after each cell: what is broken off keeps what it measured


def write(out: Path | None, rates: dict, results: list[dict]) -> None:
    """The results so far, where a file was named."""
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "date": date.today().isoformat(),
        "versions": versions(),
        "device": rates,
        "results": results,
    }
    out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
