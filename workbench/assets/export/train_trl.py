"""GRPO by TRL, with the settings of a GRPO workbench run.

    python train.py
    python train.py max_steps=2 output_dir=try                  # any argument of GRPOConfig
    accelerate launch --multi_gpu --num_processes 2 train.py    # two GPUs, or CPU processes

config.json has the settings, rewards.py the reward functions, train.jsonl the prompts in the order
of the run. README.md says what was mapped, and what differs.
"""

import json
import os
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from rewards import REWARDS
from transformers import BitsAndBytesConfig
from trl import GRPOConfig, GRPOTrainer

HERE = Path(__file__).resolve().parent


def make_trainer(**changes):
    """The trainer; `changes` are arguments of GRPOConfig."""
    said = json.loads((HERE / "config.json").read_text())
    folder = HERE / said["model"]
    arguments = share(said["GRPOConfig"], int(os.environ.get("WORLD_SIZE", 1)))
    formats = number_formats(said)
    arguments |= formats | {"output_dir": str(HERE / "output")} | changes
    adapter, quantization = said["LoraConfig"], said["BitsAndBytesConfig"]
    if quantization and quantization.get("load_in_4bit"):
        quantization["bnb_4bit_compute_dtype"] = formats["model_init_kwargs"]["dtype"]
    trainer = GRPOTrainer(
        model=str(folder) if folder.is_dir() else said["model"],
        reward_funcs=REWARDS,
        args=GRPOConfig(**arguments),
        train_dataset=rows("train.jsonl"),
        eval_dataset=rows("eval.jsonl"),
        peft_config=adapter and LoraConfig(**adapter),
        quantization_config=quantization and BitsAndBytesConfig(**quantization),
    )
    for module in trainer.model.modules():
        # On a CPU bitsandbytes packs 4-bit weights anew when it samples, and gradients get lost.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return trainer


def share(arguments, processes):
    """The same batch, shared by several processes: fewer micro-batches each, or smaller ones."""
    if arguments["gradient_accumulation_steps"] % processes == 0:
        names = ["gradient_accumulation_steps", "steps_per_generation"]
    elif arguments["per_device_train_batch_size"] % processes == 0:
        names = ["per_device_train_batch_size"]
    else:
        sys.exit(f"{processes} processes cannot share the batch evenly: see config.json.")
    return arguments | {name: arguments[name] // processes for name in names}


def number_formats(said):
    """Format of the weights and of the computation; "auto" goes by the machine."""
    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    dtype = said["dtype"]
    if dtype == "auto":
        dtype = "bfloat16" if half and said["LoraConfig"] else "float32"
        bf16 = half
    else:
        bf16 = dtype == "bfloat16"
    return {
        "model_init_kwargs": {"dtype": dtype},
        "bf16": bf16,
        "use_cpu": not torch.accelerator.is_available(),
    }


def rows(name):
    """A file of JSON lines as a data set."""
    with (HERE / name).open() as lines:
        return Dataset.from_list([json.loads(line) for line in lines])


def value_of(text):
    """A number, true, null or a list as JSON has them; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    pairs = [argument.partition("=") for argument in sys.argv[1:]]
    trainer = make_trainer(**{name: value_of(text) for name, _, text in pairs})
    trainer.train()
    trainer.save_model()
