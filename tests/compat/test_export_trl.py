"""A config in TRL's words: nothing of it is lost, TRL takes it, and read back it is the same."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import in_one_test

from workbench.compat.export import Exported, ExportFolderError, Report, export_trl
from workbench.compat.export.engine import IS_VLLM
from workbench.compat.export.report import KINDS, code, plain
from workbench.compat.export.rewards_text import quoted
from workbench.compat.export.trl import trl_report
from workbench.compat.trl import GRPOConfig as TheirsAsOurs
from workbench.config import GRPOConfig
from workbench.config.engines import ENGINE_FACTS
from workbench.rewards import RewardSet
from workbench.rewards.parameters import RewardSpecError
from workbench.tasks.types import Problem, Task

FIELDS = [field.name for field in dataclasses.fields(GRPOConfig)]
NOT_READ_BACK = ("shuffle_dataset",)
"""Arguments that TRL's scripts may not give here."""


def task_of(**columns: Any) -> Task:
    """Three problems to train on, and one held out."""
    problems = [Problem(f"{n} + 1?", str(n + 1), "add", columns) for n in range(3)]
    return Task("sums", problems, [Problem("7 + 1?", "8", "add", columns)], "Answer.")


def report_of(rewards: tuple[str, ...] = ("format", "answer"), **changes: Any) -> Report:
    """What becomes of the default config with these changes."""
    return trl_report(Exported(GRPOConfig(**changes), task_of(), rewards))


def test_every_engine_is_answered_for() -> None:
    assert IS_VLLM.keys() == ENGINE_FACTS.keys()


CONFIGS: list[dict[str, Any]] = [
    {},
    dict(advantage_estimator="pass_at_k", advantage_k=2),
    dict(micro_batch_size=5, num_iterations=2, warmup_steps=3, lr_scheduler_type="constant"),
    dict(rollout_engine="vllm", importance_sampling_mode="token_truncate"),
    dict(rollout_engine="vllm", vllm_mode="server", vllm_server_base_url="http://localhost:1"),
    dict(lora_rank=8, quantization="nf4", optim="adamw_8bit", gradient_checkpointing=True),
    dict(loss_type="sapo", use_adaptive_entropy=True, entropy_coef=0.01, beta=0.0),
    dict(loss_type="vespo", sync_ref_model=True, ref_model_sync_steps=7, eval_steps=0),
    dict(loss_type="cispo", epsilon_high=5.0, reward_weights=(1.0, 0.5), scale_rewards="none"),
    dict(loss_type="bnpo", micro_batch_size=4, top_entropy_quantile=0.5, weight_decay=0.1),
    dict(
        advantage_baseline="leave_one_out",
        advantage_std="population",
        kl_estimator="k1",
        curriculum="pass_rate",
        max_resample=2,
        loss_reduction="prompt_mean",
        eval_samples=4,
        importance_sampling_mode="token_mask",
    ),
]


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
@in_one_test([dict(changes=changes) for changes in CONFIGS])
def test_every_field_stands_in_one_table(changes: dict[str, Any]) -> None:
    report = report_of(**changes)
    assert [row.name for row in report.rows if row.is_field] == FIELDS
    assert {row.kind for row in report.rows} <= set(KINDS)
    # Whoever is told of a difference is told which.
    assert all(row.note for row in report.rows if row.kind != "mapped")


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
@in_one_test([dict(changes=changes) for changes in CONFIGS])
def test_read_back_it_is_the_same(changes: dict[str, Any]) -> None:
    """By the reader of TRL's scripts, which is the other direction."""
    config = GRPOConfig(**changes)
    report = report_of(**changes)
    settings = {n: v for n, v in report.settings.items() if n not in NOT_READ_BACK}
    back = TheirsAsOurs(**settings).config_for(3)
    for row in report.rows:
        # 5 does not divide a share, so that TRL gets smaller micro-batches; never an evaluation is
        # one after the last step there.
        if row.name in ("micro_batch_size", "eval_steps", "epsilon_high"):
            continue
        if row.is_field and row.theirs and row.kind == "mapped":
            assert getattr(back, row.name) == getattr(config, row.name), row.name


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
@in_one_test([dict(changes=changes) for changes in CONFIGS])
def test_trl_takes_it(changes: dict[str, Any]) -> None:
    from trl import GRPOConfig as Theirs

    settings = json.loads(json.dumps(report_of(**changes).settings))
    made = Theirs(output_dir="unused", use_cpu=True, bf16=False, **settings)
    config = GRPOConfig(**changes)
    assert made.generation_batch_size == config.completions_per_step
    updates = made.steps_per_generation // made.gradient_accumulation_steps
    assert updates == config.updates_per_rollout
    assert made.max_steps == config.max_steps * updates * config.num_iterations


def test_defaults_that_are_named_are_trls() -> None:
    from trl import GRPOConfig as Theirs

    usual = {}
    for field in dataclasses.fields(Theirs):
        made = field.default_factory
        value = made() if made is not dataclasses.MISSING else field.default
        usual[field.name] = getattr(value, "value", value)
    named: dict[str, Any] = {}
    for changes in (CONFIGS[0], CONFIGS[3], CONFIGS[7]):
        named |= report_of(**changes).defaults
    # "none" and "all" are both said of report_to, by releases of transformers.
    differing = {n for n, v in named.items() if usual[n] != v} - {"report_to"}
    assert differing == set()


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
@in_one_test(
    [
        dict(changes=dict(loss_type="gmpo"), says="gmpo.*--set loss_type="),
        dict(changes=dict(importance_sampling_level="sequence_token"), says="GSPO-token"),
        dict(changes=dict(reward_weights=(1.0, 1.0, 1.0)), says="3 numbers for 2"),
    ]
)
def test_what_would_be_another_objective_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ExportFolderError, match=says):
        report_of(**changes)


def test_another_method_is_refused() -> None:
    exported = Exported(GRPOConfig().with_method("rloo"), task_of(), ["answer"])
    with pytest.raises(ExportFolderError, match="method='rloo'"):
        trl_report(exported)


@pytest.mark.filterwarnings("ignore::workbench.config.ConfigWarning")
def test_what_has_no_counterpart_is_said() -> None:
    report = report_of(**CONFIGS[-1])
    missing = {row.name for row in report.of_kind("none")}
    assert missing >= {
        "advantage_baseline",
        "advantage_std",
        "curriculum",
        "max_resample",
        "loss_reduction",
        "eval_samples",
        "importance_sampling_mode",
    }
    said = "\n".join(report.said())
    assert all(name in said for name in missing)


# ------------------------------------------------------------------------------------ the folder


def test_the_folder_holds_what_it_needs(tmp_path: Path) -> None:
    config = GRPOConfig(lora_rank=4, quantization="nf4")
    export_trl(Exported(config, task_of(extra=[1, 2]), ["answer", "tag_count"]), tmp_path / "f")
    said = json.loads((tmp_path / "f" / "config.json").read_text())
    assert said["model"] == "policy"
    assert said["LoraConfig"]["r"] == 4
    assert said["LoraConfig"]["lora_alpha"] == 8
    assert said["BitsAndBytesConfig"]["bnb_4bit_quant_type"] == "nf4"
    assert (tmp_path / "f" / "policy" / "model.safetensors").is_file()
    rows = [json.loads(line) for line in (tmp_path / "f" / "train.jsonl").open()]
    assert {row["question"] for row in rows} == {"0 + 1?", "1 + 1?", "2 + 1?"}
    assert rows[0]["prompt"] == [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": rows[0]["question"]},
    ]
    assert rows[0]["extra"] == [1, 2]
    ast.parse((tmp_path / "f" / "train.py").read_text())


def test_the_prompts_come_in_the_runs_order(tmp_path: Path) -> None:
    task = task_of()
    config = GRPOConfig(seed=5, prompts_per_step=2, updates_per_rollout=1)
    export_trl(Exported(config, task, ["answer"]), tmp_path / "f")
    rows = [json.loads(line) for line in (tmp_path / "f" / "train.jsonl").open()]
    drawn = [task.train[i].question for i in task.draw(0, 3, 5)]
    assert [row["question"] for row in rows] == drawn


def test_few_prompts_are_drawn_again_until_a_batch_is_whole(tmp_path: Path) -> None:
    """TRL leaves out a batch that is not whole, and would train on nothing."""
    task = task_of()
    export_trl(Exported(GRPOConfig(prompts_per_step=8), task, ["answer"]), tmp_path / "f")
    rows = [json.loads(line) for line in (tmp_path / "f" / "train.jsonl").open()]
    assert [row["question"] for row in rows] == [task.train[i].question for i in task.draw(0, 8, 0)]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "mine").touch()
    with pytest.raises(ExportFolderError, match="there already"):
        export_trl(Exported(GRPOConfig(), task_of(), ["answer"]), tmp_path / "f")
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["mine"]


def test_nothing_is_left_of_an_export_that_failed(tmp_path: Path) -> None:
    with pytest.raises(RewardSpecError):
        export_trl(Exported(GRPOConfig(), task_of(), ["nowhere.py:f"]), tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_a_column_that_arrow_would_change_is_left_out_and_named(tmp_path: Path) -> None:
    problems = [Problem(f"{n}?", "1", columns={"mixed": [1, "a"][n]}) for n in range(2)]
    task = Task("t", problems, [Problem("9?", "1")])
    export_trl(Exported(GRPOConfig(), task, ["answer"]), tmp_path / "f")
    assert "mixed" not in (tmp_path / "f" / "train.jsonl").read_text()
    assert "lacks the column mixed" in (tmp_path / "f" / "README.md").read_text()


HOSTILE = "`|<script>alert(1)</script>![x](http://a/b)\n# \x1b[31m"


def test_texts_of_others_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    config = GRPOConfig(system_prompt=HOSTILE)
    problem = Problem(HOSTILE, "1", HOSTILE)
    task = Task(HOSTILE, [problem], [Problem("9?", "1")])
    exported = Exported(
        config, task, ["answer"], origin=HOSTILE, happened=[HOSTILE], opened=HOSTILE
    )
    export_trl(exported, tmp_path / "f")
    page = (tmp_path / "f" / "README.md").read_text()
    assert "<script>" not in page
    assert "](http" not in page
    assert "\x1b" not in page
    # No line begins anew, and no cell ends early.
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} <= {3, 4, 6}
    assert not [line for line in page.splitlines() if line.startswith("# \x1b")]
    first = (tmp_path / "f" / "train.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["question"] == HOSTILE


@in_one_test([dict(text=text) for text in ("a", 'a"b', "a\\", "\u202e\U0001f600\n", "'\"")])
def test_a_text_in_code_stays_a_text(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text
    assert quoted(text).isascii()
    assert quoted(text).isprintable()


def test_marks_are_escaped() -> None:
    assert code("a_b=1") == "`a_b=1`"
    assert code("a`b|c") == "<code>a&#96;b&#124;c</code>"
    assert plain("<b> [x](y) it's") == "&lt;b&gt; &#91;x&#93;(y) it's"


# ----------------------------------------------------------------------------------- the rewards


def rewards_in(folder: Path) -> list[Any]:
    """What the folder's rewards.py lists."""
    found: dict[str, Any] = {"__file__": str(folder / "rewards.py"), "__name__": "rewards"}
    exec(compile((folder / "rewards.py").read_text(), "rewards.py", "exec"), found)
    return list(found["REWARDS"])


def test_our_rewards_are_imported_by_name(tmp_path: Path) -> None:
    specs = ["format", "lenient_answer", "soft_overlong:max_completion_len=48,soft_punish_cache=16"]
    export_trl(Exported(GRPOConfig(), task_of(), specs), tmp_path / "f")
    assert RewardSet(rewards_in(tmp_path / "f")).names == RewardSet(specs).names


def test_files_are_copied_with_those_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / name))
        (tmp_path / name / "mine.py").write_text(
            f"from beside_{name} import N\ndef f(completions, **_):\n    return [N] * {number}\n"
        )
        (tmp_path / name / f"beside_{name}.py").write_text(f"N = {number}\n")
    specs = [f"{tmp_path}/{name}/mine.py:f" for name in ("a", "b")]
    export_trl(Exported(GRPOConfig(), task_of(), specs), tmp_path / "f")
    monkeypatch.undo()
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / name)
        sys.modules.pop(f"beside_{name}", None)
    assert [f([]) for f in rewards_in(tmp_path / "f")] == [[1], [2, 2]]


def test_a_function_that_names_its_columns_gets_those_alone(tmp_path: Path) -> None:
    """As here; TRL calls with every column."""
    (tmp_path / "mine.py").write_text("def f(answer, completions):\n    return [len(answer)]\n")
    export_trl(Exported(GRPOConfig(), task_of(), [f"{tmp_path}/mine.py:f"]), tmp_path / "f")
    (function,) = rewards_in(tmp_path / "f")
    assert function(prompts=["p"], completions=["c"], answer=["a"], kind=["k"]) == [1]
    assert function.__name__ == "f"


def test_an_async_function_that_names_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("async def f(completions):\n    return [1]\n")
    with pytest.raises(ExportFolderError, match=r"\*\*columns"):
        export_trl(Exported(GRPOConfig(), task_of(), [f"{tmp_path}/mine.py:f"]), tmp_path / "f")


def test_what_stays_on_this_machine_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def f(completions, **_):\n    return [1]\n")
    specs = ["model:judge", "noisy:p=0.1,reward=mine.py:f"]
    export_trl(Exported(GRPOConfig(), task_of(), specs), tmp_path / "f")
    text = (tmp_path / "f" / "rewards.py").read_text()
    assert f'resolve_reward("model:{tmp_path}/judge")' in text
    assert f'reward={tmp_path}/mine.py:f")' in text
    assert (tmp_path / "f" / "README.md").read_text().count("on this machine") == 2


def test_a_reward_of_a_name_that_is_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ExportFolderError, RewardSpecError)):
        export_trl(Exported(GRPOConfig(), task_of(), ["os:system('x')"]), tmp_path / "f")
