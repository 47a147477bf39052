"""`export_verl`: a folder that trains by verl."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.compat.export.data import Row, held_out, rows_of, train_order, write_rows
from workbench.compat.export.folder import SCRIPTS, filled
from workbench.compat.export.policies import put_policy
from workbench.compat.export.readme import readme
from workbench.compat.export.report import Report
from workbench.compat.export.rewards import needs_workbench, write_rewards
from workbench.compat.export.source import Exported, ExportFolderError
from workbench.compat.export.verl import verl_report

TRIED = "0.9.1"
"""The version of verl whose settings these are."""

HERE = "{here}"
"""Stands in overrides.txt for the folder."""

USE = """\
```
pip install 'verl[vllm]=={tried}'{more}
bash train.sh
bash train.sh trainer.n_gpus_per_node=4     # any setting of verl's ppo_trainer
```

The settings are those of verl {tried}: the workbench's tests compose them on its own files. The
training itself needs a GPU, and was not tried there. Hydra refuses a setting that verl has not.

| File | |
| --- | --- |
| train.sh | the command |
| overrides.txt | the settings, one a line, as verl's `main_ppo` takes them |
| rewards.py, score.py | the reward functions, and what verl asks for a score |
| train.jsonl, eval.jsonl | the prompts as verl reads them |
| checkpoints/ | what verl writes |

To see the run in the workbench afterwards: `bash train.sh trainer.rollout_data_dir=rollouts`, then
`workbench import rollouts --from verl`.
"""


def export_verl(exported: Exported, out: str | Path) -> Report:
    """Write the folder `out`, and return what became of each setting. Raises `ExportFolderError`,
    `RewardSpecError`; nothing is left at `out` then."""
    report = verl_report(exported)
    filled(out, lambda folder: _write(exported, report, folder))
    return report


def _write(exported: Exported, report: Report, folder: Path) -> None:
    config, task = exported.config, exported.task
    model, about_model = put_policy(exported.policy, folder)
    notes = [about_model, *write_rewards(exported.rewards, folder, exported.weights)]
    for name, problems in (
        ("train.jsonl", train_order(task, config)),
        ("eval.jsonl", held_out(task, config)),
    ):
        write_rows(_as_verls(rows_of(task, problems), task.name), folder / name)
    local = (folder / model).is_dir() and not Path(model).is_absolute()
    places = {
        "data.train_files": f"{HERE}/train.jsonl",
        "data.val_files": f"{HERE}/eval.jsonl",
        "reward.custom_reward_function.path": f"{HERE}/score.py",
        "actor_rollout_ref.model.path": f"{HERE}/{model}" if local else model,
    }
    lines = [override(name, value) for name, value in (places | report.settings).items()]
    (folder / "overrides.txt").write_text("\n".join(lines) + "\n")
    shutil.copyfile(SCRIPTS / "train_verl.sh", folder / "train.sh")
    shutil.copyfile(SCRIPTS / "score_verl.py", folder / "score.py")
    use = USE.format(
        tried=TRIED, more=" grpo-workbench" if needs_workbench(exported.rewards) else ""
    )
    (folder / "README.md").write_text(readme(exported, report, "verl", use, notes))


def _as_verls(rows: Sequence[Row], task: str) -> list[Row]:
    """Rows with verl's columns; what the reward functions get is one text of JSON, which no table
    can change."""
    return [
        {
            "data_source": task,
            "prompt": row["prompt"],
            "ability": str(row["kind"]),
            "reward_model": {"style": "rule", "ground_truth": str(row["answer"])},
            "extra_info": {"index": place, "row": json.dumps(row)},
        }
        for place, row in enumerate(rows)
    ]


def override(name: str, value: Any) -> str:
    """A setting in the grammar of Hydra's overrides. Raises `ExportFolderError` for a text that
    does not stay on its line."""
    return f"{name}={_written(value)}"


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if not isinstance(value, str):
        return repr(value)
    if not value.isprintable():
        raise ExportFolderError(f"{value!r:.80} holds a character that no setting may have.")
    if re.fullmatch(r"[A-Za-z][\w.-]*", value):
        return value
    # A quote ends the text, and a backslash counts before one alone.
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", value)
    escaped = re.sub(r"(\\+)$", lambda m: m[1] * 2, escaped)
    return f"'{escaped}'"
