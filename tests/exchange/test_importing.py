"""Files of other trainers become records that dashboard and doctor open."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict, deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli.conftest import Command
from cli.conftest import workbench as workbench

from workbench.errors import WorkbenchError
from workbench.exchange import import_completions
from workbench.exchange.readers import NEUTRAL_NAMES
from workbench.exchange.tokens import ID_NAMES, LOGP_NAMES, TEXT_NAMES
from workbench.runs import Run
from workbench.widgets.export_html import export_html


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def verl_rows(step: int, prompts: str = "ab") -> list[dict[str, Any]]:
    """As verl's `_dump_generations` writes them; the groups are mixed, as its balancing leaves
    them."""
    return [
        {
            "input": f"user\n{prompt}?",
            "output": f"<b>{prompt}{i}</b>",
            "gts": prompt,
            "score": float((i + step) % 2 if prompt == "a" else 1),
            "step": step,
            "acc": True,
        }
        for i in range(4)
        for prompt in prompts
    ]


def jsonl_row(**changes: Any) -> dict[str, Any]:
    return {"prompt": "1+1", "completion": "2", "reward": 1.0, "step": 1} | changes


def test_verl_becomes_a_run_that_everything_opens(workbench: Command, tmp_path: Path) -> None:
    for step in (2, 10):
        written(tmp_path / "dump" / f"{step}.jsonl", verl_rows(step))
    printed = workbench("import", "dump", "--from", "verl", "--out", "run", cwd=tmp_path).stdout
    run = Run.open(tmp_path / "run")
    assert run.kept_steps("samples") == [2, 10]
    samples = run.samples(10)
    assert samples["group"].tolist() == [0] * 4 + [1] * 4
    assert samples["reward"].tolist() == [0, 1, 0, 1, 1, 1, 1, 1]
    assert samples["gold_answer"].tolist() == ["a"] * 4 + ["b"] * 4
    assert samples["baseline"].tolist() == [0.5] * 4 + [1.0] * 4
    assert samples["dead"].tolist() == [False] * 4 + [True] * 4
    assert samples["advantage"].isna().all()
    assert run.config == {"num_generations": 4}

    # What the files do not say is said, on the terminal and in the record.
    said = " ".join(printed.split())
    assert "lengths in tokens" in said
    assert "advantages" in said
    assert "Columns not read: acc" in said
    assert "lengths in tokens" in run.events()["text"].iloc[-1]
    assert "completion_length" not in run.steps()
    assert "truncated_share" not in run.steps()

    assert "finished, as of step 10" in workbench("doctor", "run", cwd=tmp_path).stdout
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_html([tmp_path / "run"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<b>a0</b>" not in page
    assert "a0" in page
    # Neither a length nor a beta is made up.
    assert '<td class="wb-number">?</td>' in page
    assert '<td class="wb-number">0</td></tr>' not in page
    assert "beta = 0" not in page


def test_a_file_that_trl_itself_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    import transformers

    # TRL's own `log` writes the parquet file; only what sends figures elsewhere is left out.
    monkeypatch.setattr(transformers.Trainer, "log", lambda self, *a, **k: None)
    trainer = trl.GRPOTrainer.__new__(trl.GRPOTrainer)
    trainer.model = SimpleNamespace(training=True)
    trainer._metrics = {"train": defaultdict(list)}
    trainer.accelerator = SimpleNamespace(is_main_process=True)
    trainer.log_completions = True
    trainer.num_completions_to_print = 0
    trainer.state = SimpleNamespace(global_step=5)
    trainer.args = SimpleNamespace(report_to=[], output_dir=str(tmp_path))
    asked = [[{"role": "user", "content": f"{i // 2}?"}] for i in range(4)]
    given = [[{"role": "assistant", "content": f"answer {i}"}] for i in range(4)]
    trainer._logs = {
        "images": deque(),
        "prompt": deque(asked),
        "completion": deque(given),
        "rewards": {"right": deque([0.0, 1.0, 1.0, 1.0]), "form": deque([0.5, float("nan"), 0, 0])},
        "advantages": deque([-0.7, 0.7, 0.0, 0.0]),
        "extra": {"note": deque(["x"] * 4)},
    }
    (tmp_path / "completions").mkdir()
    trainer.log({})

    made = import_completions([tmp_path / "completions"], "trl", tmp_path / "run")
    run = Run.open(made.path)
    samples = run.samples(5)
    assert run.meta.reward_names == ["right", "form"]
    assert samples["completion"].tolist() == [f"answer {i}" for i in range(4)]
    assert samples["prompt"].tolist() == ["0?", "0?", "1?", "1?"]
    np.testing.assert_array_equal(samples["rewards/form"], [0.5, np.nan, 0, 0])
    np.testing.assert_allclose(samples["advantage"], [-0.7, 0.7, 0, 0])
    assert any("no weights are known" in note for note in made.notes)
    assert any("note" in note for note in made.notes if note.startswith("Columns not read"))


def test_what_a_plain_row_may_say(tmp_path: Path) -> None:
    rows = [
        jsonl_row(rewards={"a": i, "b": 1.0}, uid=f"g{i // 2}", length=3 + i, truncated=i == 3)
        for i in range(4)
    ]
    made = import_completions([written(tmp_path / "c.jsonl", rows)], "jsonl", tmp_path / "run")
    run = Run.open(made.path)
    # One prompt, drawn twice: the id tells its groups apart.
    assert run.samples(1)["group"].tolist() == [0, 0, 1, 1]
    assert run.samples(1)["reward"].tolist() == [1, 2, 3, 4]
    [step] = run.steps().to_dict("records")
    assert step["completion_length"] == 4.5
    assert step["truncated_share"] == 0.25


def test_a_group_of_another_size_is_left_out_and_said(tmp_path: Path) -> None:
    rows = [jsonl_row(prompt=p) for p in ("a", "a", "b", "b", "c", "d", "d", "d", "d")]
    made = import_completions([written(tmp_path / "c.jsonl", rows)], "jsonl", tmp_path / "run")
    assert made.completions == 8
    assert "not of their step's size: 1 completions" in " ".join(made.notes)
    assert Run.open(made.path).samples(1)["group"].max() == 3


@pytest.mark.parametrize(
    ("source", "row", "said"),
    [
        ("jsonl", jsonl_row(reward="good"), "line 2: the reward is 'good'"),
        ("jsonl", jsonl_row(reward=True), "line 2: the reward is True"),
        ("jsonl", jsonl_row(step=-4), "line 2: step is -4"),
        ("jsonl", jsonl_row(completion=[["x"]]), "line 2: the completion is [['x']]"),
        ("jsonl", jsonl_row(length=1.5), "line 2: length is 1.5"),
        ("jsonl", jsonl_row(truncated="no"), "line 2: truncated='no'"),
        ("jsonl", {"prompt": "p", "completion": "c"}, "line 2: has no reward"),
        ("jsonl", {"prompt": "p"}, "line 2: has no completion"),
        ("verl", {"input": "p", "output": "c"}, "line 2: has no 'score'"),
        ("trl", jsonl_row(), "line 1: has no 'advantage'"),
        ("jsonl", ["no row"], "line 2"),
    ],
)
def test_a_wrong_row_is_refused_by_line_and_value(
    source: str, row: Any, said: str, tmp_path: Path
) -> None:
    good = {"input": "p", "output": "c", "score": 1.0} if source == "verl" else jsonl_row()
    file = written(tmp_path / "c.jsonl", [good, row])
    with pytest.raises(WorkbenchError) as error:
        import_completions([file], source, tmp_path / "run")
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_wrong_source_and_a_far_step_are_refused(workbench: Command, tmp_path: Path) -> None:
    file = written(tmp_path / "c.jsonl", [jsonl_row(step=900_000)])
    asked = ("import", file, "--out", "run", "--from")
    refused = workbench(*asked, "veRL", cwd=tmp_path, code=2).stderr
    assert "choose one of trl, verl, jsonl" in " ".join(refused.split())
    refused = workbench(*asked, "jsonl", cwd=tmp_path, code=2).stderr
    assert "900000" in refused
    assert not (tmp_path / "run").exists()


def test_the_document_names_what_is_read_in_its_order() -> None:
    page = (Path(__file__).parents[2] / "docs" / "importing.md").read_text()
    for names in (*NEUTRAL_NAMES.values(), ID_NAMES, TEXT_NAMES, *LOGP_NAMES.values()):
        told = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        assert f"| {told} |" in page
