"""`export_trl`: a folder that trains by TRL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from workbench.compat.export.data import fit_for_arrow, held_out, rows_of, train_order, write_rows
from workbench.compat.export.folder import SCRIPTS, filled
from workbench.compat.export.policies import put_policy
from workbench.compat.export.readme import readme
from workbench.compat.export.report import Report
from workbench.compat.export.rewards import needs_workbench, write_rewards
from workbench.compat.export.source import Exported
from workbench.compat.export.trl import trl_report
from workbench.compat.export.trl_parts import QUANTIZED, adapter_of

TRIED = "1.16"
"""The version of TRL that a folder is tried with."""

USE = """\
```
pip install 'trl=={tried}.*'{more}
python train.py
python train.py max_steps=2 output_dir=try     # any argument of GRPOConfig
accelerate launch --multi_gpu --num_processes 2 train.py
```

The last line takes two GPUs; where there is none it starts two processes on the CPU, and without
`--multi_gpu` accelerate would start one there. The batch is the same, however many share it.

| File | |
| --- | --- |
| train.py | the script; nothing else is hidden |
| config.json | the settings: those of `trl.GRPOConfig`, `peft.LoraConfig`, `BitsAndBytesConfig` |
| rewards.py | the reward functions |
| train.jsonl, eval.jsonl | the prompts as messages, with the columns that reward functions get |
| output/ | checkpoints, and the trained policy at the end |

To see the run in the workbench's dashboard while it trains: `from workbench.watch import
WatchCallback`, and `trainer.add_callback(WatchCallback(trainer))` before `trainer.train()`.
"""


def export_trl(exported: Exported, out: str | Path) -> Report:
    """Write the folder `out`, and return what became of each setting. Raises `ExportFolderError`,
    `RewardSpecError`; nothing is left at `out` then."""
    report = trl_report(exported)
    filled(out, lambda folder: _write(exported, report, folder))
    return report


def _write(exported: Exported, report: Report, folder: Path) -> None:
    config = exported.config
    model, about_model = put_policy(exported.policy, folder)
    notes = [about_model, *write_rewards(exported.rewards, folder)]
    task = exported.task
    for name, problems in (
        ("train.jsonl", train_order(task, config)),
        ("eval.jsonl", held_out(task, config)),
    ):
        rows, lost = fit_for_arrow(rows_of(task, problems))
        write_rows(rows, folder / name)
        notes += [
            f"{name} lacks the column {column}, whose values are of several kinds."
            for column in lost
        ]
    settings: dict[str, Any] = {
        "model": model,
        "dtype": config.dtype,
        "LoraConfig": adapter_of(config),
        "BitsAndBytesConfig": QUANTIZED[config.quantization],
        "GRPOConfig": report.settings,
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    shutil.copyfile(SCRIPTS / "train_trl.py", folder / "train.py")
    more = " grpo-workbench" if needs_workbench(exported.rewards) else ""
    use = USE.format(tried=TRIED, more=more + (" bitsandbytes" if _needs_bits(exported) else ""))
    (folder / "README.md").write_text(readme(exported, report, "TRL", use, notes))


def _needs_bits(exported: Exported) -> bool:
    return exported.config.quantization != "none" or exported.config.optim == "adamw_8bit"
