"""The command line as a person uses it: training, help and a mistake as processes of their own, and
everything else in the process of the test, which spares the import of torch each time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.commands.views import sparkline
from workbench.runs import Run

Command = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture `workbench` (see `conftest.py`)."""

QUICK = [
    "--set",
    "prompts_per_step=4",
    "--set",
    "num_generations=4",
    "--set",
    "max_completion_length=8",
    "--set",
    "num_eval_problems=20",
    "--set",
    "save_steps=2",
    "--set",
    "learning_rate=1e-4",
]


def process(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=200, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> tuple[Path, str]:
    """(a folder with the run `r` of three steps, made by `workbench train` in a process of its own,
    what that printed)."""
    folder = tmp_path_factory.mktemp("finished")
    done = process(
        "train", "--policy", tiny_folder, "--steps", 3, "--out", "r", "--json", *QUICK, cwd=folder
    )
    return folder, done.stdout


@pytest.mark.slow
def test_train_says_every_step_and_the_result_as_json(finished_run: tuple[Path, str]) -> None:
    _, printed = finished_run
    lines = [json.loads(line) for line in printed.splitlines()]
    assert all(lines)
    assert {"run", "steps", "accuracy_before", "accuracy_after", "seconds"} <= lines[-1].keys()
    assert lines[-1]["steps"] == 3


def test_train_goes_on_with_a_run(
    finished_run: tuple[Path, str], tmp_path: Path, tiny_folder: Path, workbench: Command
) -> None:
    shutil.copytree(finished_run[0] / "r", tmp_path / "r")
    again = workbench(
        "train", "--policy", tiny_folder, "--steps", 5, "--out", "r", "--resume", cwd=tmp_path
    )
    assert "5 steps" in again.stdout
    assert Run.open(tmp_path / "r").steps().step.tolist() == [1, 2, 3, 4, 5]


def test_runs_lists_it(finished_run: tuple[Path, str], workbench: Command) -> None:
    (row,) = json.loads(workbench("runs", ".", "--json", cwd=finished_run[0]).stdout)
    assert (row["status"], row["steps"]) == ("finished", 3)


def test_eval_measures_its_policy(finished_run: tuple[Path, str], workbench: Command) -> None:
    done = workbench("eval", "--policy", "r/policy", "--n", 10, "--json", cwd=finished_run[0])
    assert json.loads(done.stdout)["n"] == 10


def test_eval_with_samples_prints_every_figure_with_its_interval(
    finished_run: tuple[Path, str], workbench: Command
) -> None:
    folder = finished_run[0]
    asked = ("eval", "--policy", "r/policy", "--problems", 6, "--samples", 4)
    found = json.loads(workbench(*asked, "--json", cwd=folder).stdout)
    for name in ("greedy", "mean@4", "maj@4", "pass@4"):
        for figures in (found, found["lenient"]):
            value, (low, high) = figures[name]["value"], figures[name]["interval"]
            assert 0 <= low <= value <= high <= 1
            assert figures[name]["n"] == 6
    table = workbench(*asked, cwd=folder).stdout
    assert f"{found['pass@4']['value']:.1%}" in table
    assert "lenient" in table


@pytest.mark.slow
def test_eval_goes_on_after_a_kill(finished_run: tuple[Path, str], workbench: Command) -> None:
    """A process that is killed without warning, its file cut in the middle of a line."""
    folder = finished_run[0]
    asked = ("eval", "--policy", "r/policy", "--problems", 300, "--samples", 4, "--json")
    whole = workbench(*asked, "--out", "whole.jsonl", cwd=folder).stdout
    words = [sys.executable, "-m", "workbench", *map(str, asked), "--out", "killed.jsonl"]
    child = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
    killed = folder / "killed.jsonl"
    deadline = time.monotonic() + 120
    while not killed.exists() or killed.read_bytes().count(b"\n") < 40:
        assert child.poll() is None, "it came to its end before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.kill()
    child.wait()
    assert killed.read_bytes().count(b"\n") < 301
    after = workbench(*asked, "--out", "killed.jsonl", cwd=folder).stdout
    # The day is that of each evaluation.
    said, expected = (json.loads(text) | {"date": ""} for text in (after, whole))
    assert said | {"answers": "whole.jsonl"} == expected
    assert sorted(killed.read_text().splitlines()) == sorted(
        (folder / "whole.jsonl").read_text().splitlines()
    )


def test_export_writes_tables_and_a_page_that_needs_no_network(
    finished_run: tuple[Path, str], workbench: Command
) -> None:
    folder = finished_run[0]
    workbench("export", "csv", "r", cwd=folder)
    assert (folder / "r-csv").is_dir()
    workbench("export", "html", "r", cwd=folder)
    page = (folder / "r.html").read_text()
    script = page[page.index("<script>") : page.index("</script>")]
    assert "https://" not in page.replace(script, "")
    assert "Settings" in page


def test_doctor_examines_it(finished_run: tuple[Path, str]) -> None:
    """As a process: what it returns to the shell is part of its answer."""
    report = subprocess.run(
        [sys.executable, "-m", "workbench", "doctor", "r"],
        capture_output=True,
        text=True,
        cwd=finished_run[0],
        check=False,
    )
    assert report.returncode in (0, 1)
    assert "step" in report.stdout


def test_resume_starts_from_the_start_where_there_is_nothing(
    tmp_path: Path, tiny_folder: Path, workbench: Command
) -> None:
    done = workbench(
        "train",
        "--policy",
        tiny_folder,
        "--steps",
        1,
        "--out",
        "r",
        "--resume",
        "--json",
        *QUICK,
        cwd=tmp_path,
    )
    assert json.loads(done.stdout.strip().splitlines()[-1])["steps"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--set", "beta"], "NAME=VALUE"),
        (["train", "--set", "betta=1"], "Did you mean 'beta'"),
        (["train", "--set", "num_generations=1"], "num_generations=1"),
        (["train", "--preset", "nothing"], "deepseekmath"),
        (["train", "--policy", "./nowhere"], "no such folder"),
        (["train", "--task", "nowhere.jsonl"], "nowhere.jsonl"),
        (["train", "--reward", "no_such_reward"], "no_such_reward"),
        (["train", "--resume"], "--out"),
        (["runs", "nowhere"], "nowhere"),
        (["export", "csv", "nowhere"], "nowhere"),
        (["export", "pdf", "nowhere"], "No such command 'pdf'"),
        (["export", "trl", "nowhere"], "neither the folder of a run nor a file"),
        (["doctor", "nowhere"], "nowhere"),
        (["lab", "nowhere"], "nowhere"),
        (["train", "--out", "notes.txt"], "is a file"),
        (["train", "--threads", "-1"], "--threads"),
        (["train", "--seed", 10**20], "seed="),
        (["train", "--quantization", "nf4"], "--lora"),
        (["train", "--lora", "--quantization", "q4"], "'none', 'nf4', 'int8'"),
        (["train", "--lora", "big"], "--lora"),
        (["train", "--lora", "--set", "lora_target_modules=query"], "It has: "),
        (["train", "--rollout", "fast"], "'native', 'transformers', 'vllm'"),
        (["train", "--dtype", "float16"], "dtype='auto'"),
        (["train", "--policy", "nope"], "HF_HUB_OFFLINE"),
        (["train", "--set", "num_generations=100000000"], "Lower num_generations"),
        (["train", "--set", "max_completion_length=300"], "256 positions"),
        (["eval", "--max-completion-length", 250], "are too long"),
        (["eval", "--seed", -1], "--seed"),
        (["eval", "--quantization", "q4"], "none, nf4, int8"),
        (["train", "--lora", "0"], "is no rank"),
    ],
)
def test_mistakes_are_one_clear_message(
    tmp_path: Path, arguments: list[str], says: str, workbench: Command
) -> None:
    (tmp_path / "notes.txt").touch()
    done = workbench(*arguments, cwd=tmp_path, code=2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_mistake_is_no_traceback_of_the_process(tmp_path: Path) -> None:
    done = process("train", "--set", "beta", cwd=tmp_path, code=2)
    assert "NAME=VALUE" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_not_overwritten(
    finished_run: tuple[Path, str], tiny_folder: Path, workbench: Command
) -> None:
    folder, _ = finished_run
    before = Run.open(folder / "r").meta
    command = ["train", "--policy", tiny_folder, "--steps", 1, "--out", "r", *QUICK]
    assert "--resume" in workbench(*command, cwd=folder, code=2).stderr
    assert Run.open(folder / "r").meta == before


@pytest.mark.slow
def test_ctrl_c_ends_after_the_step_with_a_checkpoint(tmp_path: Path, tiny_folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "workbench",
        "train",
        "--policy",
        str(tiny_folder),
        "--steps",
        "5000",
        "--out",
        "r",
        "--json",
        *QUICK,
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    while '"step": 2' not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    steps = json.loads(out.strip().splitlines()[-1])["steps"]
    assert 2 <= steps < 5000
    assert (tmp_path / f"r/checkpoints/step-{steps:06d}").is_dir()
    assert Run.open(tmp_path / "r").meta.status == "stopped"


def test_doctor_says_what_works(tmp_path: Path, workbench: Command) -> None:
    findings = json.loads(workbench("doctor", "--json", cwd=tmp_path).stdout)["findings"]
    by_name = {f["what"]: f for f in findings}
    assert by_name["torch"]["status"] == "ok"
    assert by_name["embedded policy"]["status"] == "ok"
    assert "CPU" in by_name


def test_help_is_quick(tmp_path: Path) -> None:
    began = time.monotonic()
    assert "train" in process("--help", cwd=tmp_path).stdout
    code = (
        "import sys, workbench.cli; "
        "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    assert (
        subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ).strip()
        == "[]"
    )
    assert time.monotonic() - began < 30


def test_a_figure_that_is_not_finite_leaves_a_gap_in_the_bars() -> None:
    nan, inf = float("nan"), float("inf")
    assert sparkline([nan, 1.0, inf, 2.0]) == " ▁ █"
    assert sparkline([nan]) == " "


def test_a_setting_whose_choice_is_the_word_none() -> None:
    from workbench.commands.options import parse_settings

    assert parse_settings(["scale_rewards=none", "delta=none", "beta=1e-3"]) == {
        "scale_rewards": "none",
        "delta": None,
        "beta": 1e-3,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--lora"], ["train", "--lora=auto"]),
        (["--lora", "--json"], ["--lora=auto", "--json"]),
        (["--lora", "8"], ["--lora", "8"]),
        (["--lora=4", "--json"], ["--lora=4", "--json"]),
        (["eval"], ["eval"]),
    ],
)
def test_a_bare_lora_leaves_the_rank_open(arguments: list[str], expected: list[str]) -> None:
    from workbench.cli import with_rank

    assert with_rank(arguments) == expected


def test_an_adapter_gets_ten_times_the_learning_rate_unless_one_is_named() -> None:
    from workbench.commands.train import make_config

    assert make_config("embedded", None, {"lora_rank": 4}, None).learning_rate == pytest.approx(
        2e-3
    )
    assert make_config("a/model", None, {"lora_rank": 4}, None).learning_rate == pytest.approx(1e-5)
    assert (
        make_config("embedded", None, {"lora_rank": 4, "learning_rate": 1e-4}, None).learning_rate
        == 1e-4
    )
    assert make_config("embedded", None, {}, None).learning_rate == 2e-4


def test_an_open_rank_is_16_where_nobody_has_one() -> None:
    from workbench.commands.train import make_config

    assert make_config("embedded", None, {"lora_rank": "auto"}, None).lora_rank == 16


def test_the_flags_reach_the_run(tmp_path: Path, tiny_folder: Path, workbench: Command) -> None:
    workbench(
        "train",
        "--policy",
        tiny_folder,
        "--lora",
        "--quantization",
        "int8",
        "--rollout",
        "transformers",
        "--dtype",
        "float32",
        "--steps",
        1,
        "--out",
        "r",
        "--json",
        *QUICK,
        cwd=tmp_path,
    )
    config = Run.open(tmp_path / "r").config
    assert [config[n] for n in ("lora_rank", "quantization", "rollout_engine", "dtype")] == [
        16,
        "int8",
        "transformers",
        "float32",
    ]
    assert (tmp_path / "r/policy/model.safetensors").is_file()
    assert (tmp_path / "r/adapter/adapter_model.safetensors").is_file()
    for name, kind in (("r/adapter", "int8"), (tiny_folder, "nf4")):
        done = workbench(
            "eval",
            "--policy",
            name,
            "--quantization",
            kind,
            "--dtype",
            "bfloat16",
            "--n",
            4,
            "--json",
            cwd=tmp_path,
        )
        result = json.loads(done.stdout)
        assert (result["n"], result["quantization"], result["dtype"]) == (4, kind, "bfloat16")
    again = workbench(
        "train",
        "--policy",
        tiny_folder,
        "--resume",
        "--out",
        "r",
        "--steps",
        2,
        "--json",
        cwd=tmp_path,
    )
    assert json.loads(again.stdout.strip().splitlines()[-1])["steps"] == 2
