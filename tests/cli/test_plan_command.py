"""`workbench plan`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess


def test_it_prints_one_object(
    tmp_path: Path, tiny_folder: Path, workbench: Callable[..., CompletedProcess[str]]
) -> None:
    done = workbench(
        "plan",
        "--policy",
        tiny_folder,
        "--lora",
        "--quantization",
        "nf4",
        "--gpu",
        "L4",
        "--prompts-per-step",
        "4",
        "--num-generations",
        "4",
        "--max-prompt-length",
        "32",
        "--max-completion-length",
        "16",
        "--json",
        cwd=tmp_path,
    )
    said = json.loads(done.stdout)
    assert said["fits"] is True
    assert said["settings"]["lora_rank"] == 16
    assert said["peak_bytes"] == max(p["bytes"] for p in said["phases"])


def test_a_method_says_what_its_own_models_take(
    tmp_path: Path, tiny_folder: Path, workbench: Callable[..., CompletedProcess[str]]
) -> None:
    asked = ["plan", "--policy", tiny_folder, "--gpu", "L4", "--max-completion-length", "16"]
    done = workbench(*asked, "--method", "ppo", cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert "method='ppo': the critic takes" in said
    assert "that grpo takes." in said
    graded = workbench(*asked, "--method", "distill", "--teacher", tiny_folder, cwd=tmp_path)
    assert "the teacher takes" in " ".join(graded.stdout.split())
