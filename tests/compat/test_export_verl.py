"""A config in verl's words: nothing of it is lost, and Hydra composes it on verl's own files, which
refuse a name that is none. verl itself is not imported."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from helpers import in_one_test

from workbench.compat.export import Exported, ExportFolderError, Report, export_verl
from workbench.compat.export.report import KINDS
from workbench.compat.export.verl import DEFAULTS, verl_report
from workbench.compat.export.verl_folder import TRIED, override
from workbench.config import GRPOConfig
from workbench.rewards import RewardSet
from workbench.tasks.types import Problem, Task

REQUIRE_ALL = bool(os.environ.get("WORKBENCH_REQUIRE_ALL"))
FIELDS = [field.name for field in dataclasses.fields(GRPOConfig)]
TASK = Task(
    "sums", [Problem(f"{n} + 1?", str(n + 1), "add") for n in range(3)], [Problem("?", "8")]
)

CONFIGS: list[dict[str, Any]] = [
    {},
    dict(loss_type="grpo", lora_rank=8, lora_target_modules="q_proj,v_proj", optim="adamw_8bit"),
    dict(loss_type="dr_grpo", scale_rewards="none", advantage_baseline="leave_one_out", beta=0.0),
    dict(loss_type="sapo", delta=None, top_k=5, max_grad_norm=0.0, kl_estimator="k2"),
    dict(loss_type="luspo", importance_sampling_level="sequence", epsilon=3e-4, epsilon_high=4e-4),
    dict(loss_type="clip_cov", micro_batch_size=5, warmup_steps=2, max_prompt_length=None),
    dict(loss_type="kl_cov", rollout_engine="vllm", importance_sampling_mode="token_truncate"),
    dict(loss_type="bnpo", delta=4.0, reward_weights=(1.0, 0.5), eval_steps=0, dtype="float32"),
    dict(
        advantage_std="population",
        scale_rewards="batch",
        curriculum="pass_rate",
        max_resample=2,
        loss_reduction="prompt_mean",
        eval_samples=4,
        lr_scheduler_type="linear",
        importance_sampling_mode="sequence_mask",
        top_entropy_quantile=0.5,
        sync_ref_model=True,
        entropy_coef=0.1,
    ),
]
WARNS = pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")


def exported_of(**changes: Any) -> Exported:
    """The default config with these changes, on three problems."""
    return Exported(GRPOConfig(**changes), TASK, ["format", "answer"])


def report_of(**changes: Any) -> Report:
    """What becomes of it."""
    return verl_report(exported_of(**changes))


@WARNS
@in_one_test([dict(changes=changes) for changes in CONFIGS])
def test_every_field_stands_in_one_table(changes: dict[str, Any]) -> None:
    report = report_of(**changes)
    assert [row.name for row in report.rows if row.is_field] == FIELDS
    assert {row.kind for row in report.rows} <= set(KINDS)
    assert all(row.note for row in report.rows if row.kind != "mapped")


@WARNS
def test_what_is_written_is_known_and_all_that_is_known_is_written() -> None:
    written = {name for changes in CONFIGS for name in report_of(**changes).settings}
    assert written == set(DEFAULTS)


@WARNS
@in_one_test(
    [
        dict(changes=dict(loss_type="gmpo"), says="gmpo"),
        dict(changes=dict(loss_type="vespo"), says="vespo"),
    ]
)
def test_another_objective_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ExportFolderError, match=says):
        report_of(**changes)


def test_the_batch_and_the_bounds() -> None:
    settings = report_of(epsilon=0.1, epsilon_high=0.3, micro_batch_size=5).settings
    actor = "actor_rollout_ref.actor"
    assert settings["data.train_batch_size"] == 16
    assert settings[f"{actor}.ppo_mini_batch_size"] == 4  # prompts; verl multiplies by n
    assert settings[f"{actor}.ppo_micro_batch_size_per_gpu"] == 4
    assert settings[f"{actor}.clip_ratio_low"] == 0.1
    assert settings[f"{actor}.clip_ratio_high"] == 0.3
    # verl caps the ratio at 3 unless it is told otherwise.
    assert settings[f"{actor}.clip_ratio_c"] >= 1e9
    assert report_of(delta=4.0).settings[f"{actor}.clip_ratio_c"] == 4.0


@in_one_test(
    [
        dict(value=None, text="a=null"),
        dict(value=True, text="a=true"),
        dict(value=1e-6, text="a=1e-06"),
        dict(value=[1, "b"], text="a=[1,b]"),
        dict(value="low_var_kl", text="a=low_var_kl"),
        dict(value="a b,c", text="a='a b,c'"),
        dict(value="it's", text="a='it\\'s'"),
        dict(value="back\\", text="a='back\\\\'"),
    ]
)
def test_values_are_written_in_hydras_grammar(value: Any, text: str) -> None:
    assert override("a", value) == text


def test_a_text_that_leaves_its_line_is_refused() -> None:
    with pytest.raises(ExportFolderError):
        override("a", "x\ntrainer.logger=[wandb]")


# ---------------------------------------------------------------------------------- the folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder, weights 1 and 0.5."""
    out = tmp_path_factory.mktemp("verl") / "f"
    export_verl(exported_of(reward_weights=(1.0, 0.5)), out)
    return out


def test_rows_are_as_verl_reads_them(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "train.jsonl").open()]
    assert [row["prompt"][-1]["content"] for row in rows] == [
        TASK.train[i].question for i in TASK.draw(0, 16, 0)
    ]
    assert {row["reward_model"]["ground_truth"] for row in rows} == {"1", "2", "3"}


def test_the_score_is_the_weighted_sum(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked as verl asks, for one completion at a time."""
    monkeypatch.delitem(sys.modules, "rewards", raising=False)
    spec = importlib.util.spec_from_file_location("exported_score", folder / "score.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    monkeypatch.delitem(sys.modules, "rewards")
    row = json.loads((folder / "train.jsonl").open().readline())
    gold = row["reward_model"]["ground_truth"]
    texts = [f"<think>x</think><answer>{gold}</answer>", f"<answer>{gold}</answer>", "no"]
    scores = [
        module.compute_score(row["data_source"], text, gold, extra_info=row["extra_info"])
        for text in texts
    ]
    assert [score["score"] for score in scores] == [1.5, 0.5, 0.0]
    names = [f"{i}_{name}" for i, name in enumerate(RewardSet(["format", "answer"]).names)]
    assert all(list(score) == ["score", *names] for score in scores)


# ------------------------------------------------------------------------- on verl's own files

HYDRA = "hydra-core==1.3.8"
COMPOSE = """
import json, sys
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

folder, answers = sys.argv[1], []
with initialize_config_dir(config_dir=folder, version_base=None):
    for overrides, names in json.load(sys.stdin):
        try:
            made = compose("ppo_trainer", overrides=overrides)
            answers.append({name: OmegaConf.select(made, name) for name in names})
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")
print(json.dumps(answers, default=list))
"""


def pip(*words: str) -> None:
    """Fetch a package; without a network the test has nothing to stand on."""
    command = [sys.executable, "-m", "pip", *words, "-q", "--timeout", "20", "--retries", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        (pytest.fail if REQUIRE_ALL else pytest.skip)(f"{' '.join(words)}: {done.stderr[-300:]}")


@pytest.fixture(scope="module")
def verls_own(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """(a folder of packages with Hydra, the folder of verl's configs), fetched once into pytest's
    cache. Hydra stands apart, since it needs another antlr than math-verify has here."""
    place = request.config.cache.mkdir(f"verl-{TRIED}")
    packages, configs = place / "packages", place / "verl" / "trainer" / "config"
    if not (packages / "hydra").is_dir():
        pip("install", "--no-warn-conflicts", "--target", str(packages), HYDRA)
    if not (configs / "ppo_trainer.yaml").is_file():
        pip("download", "--no-deps", "-d", str(place), f"verl=={TRIED}")
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.startswith("verl/trainer/config/")]
            archive.extractall(place, names)
        wheel.unlink()
    return packages, configs


def composed(
    verls_own: tuple[Path, Path], cases: list[list[str]], names: list[str] | None = None
) -> list[Any]:
    """For each list of overrides the values that verl would read under these names (or what is
    overridden), or what Hydra says of them."""
    packages, configs = verls_own
    asked = [(case, names or [each.partition("=")[0] for each in case]) for case in cases]
    done = subprocess.run(
        [sys.executable, "-c", COMPOSE, str(configs)],
        input=json.dumps(asked),
        env=os.environ | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.slow
@WARNS
def test_hydra_composes_it_on_verls_own_files(
    verls_own: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    cases = [report_of(**changes).settings for changes in CONFIGS]
    texts = [[override(n, v) for n, v in settings.items()] for settings in cases]
    assert composed(verls_own, texts) == cases
    # The file as train.sh reads it, in a folder with a blank in its name.
    moved = shutil.copytree(folder, tmp_path / "a folder & more")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").write_text('#!/bin/sh\nshift 2\nfor a in "$@"; do echo "$a"; done\n')
    (bin_folder / "python3").chmod(0o755)
    done = subprocess.run(
        ["bash", str(moved / "train.sh"), "trainer.n_gpus_per_node=4"],
        env=os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "trainer.n_gpus_per_node=4"
    (read,) = composed(verls_own, [lines])
    assert read["data.train_files"] == str(moved / "train.jsonl")
    assert read["actor_rollout_ref.model.path"] == str(moved / "policy")
    assert read["trainer.n_gpus_per_node"] == 4


@pytest.mark.slow
def test_the_defaults_are_verls_and_a_typo_is_refused(verls_own: tuple[Path, Path]) -> None:
    (usual,) = composed(verls_own, [[]], list(DEFAULTS))
    assert usual == DEFAULTS
    typo, elsewhere = composed(
        verls_own, [["trainer.total_epoch=3"], ["actor_rollout_ref.actor.clip_low=0.1"]]
    )
    assert "Could not override 'trainer.total_epoch'" in typo
    assert "Could not override 'actor_rollout_ref.actor.clip_low'" in elsewhere
