"""Makes the record that stands for this version in `tests/runs/corpus/`, and the figures that it
must always give. Run at a release, once: PYTHONPATH=.:tests python tests/runs/make_corpus.py

A record of an earlier version is never made anew: that it opens is what `test_corpus.py` promises.
`version-0.1.0` was written by that version's own code, `before-0.2.0` by what came between.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from made_runs import make_run

from workbench import __version__
from workbench.runs import Answered, Event, Figure, Run, RunWriter, SampledEvaluation

CORPUS = Path(__file__).with_name("corpus")
LARGEST = 100_000
"""Bytes of one record."""


def figures_of(run: Run) -> dict[str, Any]:
    """What a record says, as plain values."""
    last = run.last_step()
    samples = run.samples(last)
    batch = run.batch(last)
    return {
        "name": run.meta.name,
        "status": run.meta.status,
        "steps": run.steps()["step"].tolist(),
        "reward": run.steps()["reward"].tolist(),
        "kl": run.steps()["kl"].tolist(),
        "knobs": run.knobs()[["step", "name", "old", "new"]].to_numpy().tolist(),
        "accuracy": run.evaluations()["accuracy"].tolist(),
        "sampled": run.sampled_evaluations()["value"].tolist(),
        "answers": run.sampled_answers()["greedy"].tolist(),
        "events": run.events()["text"].tolist(),
        "completions": samples["completion"].tolist(),
        "rewards": samples["reward"].tolist(),
        "ids": int(batch["ids_BT"].sum()),
        "logp": float(np.nansum(batch["logp_BT"])),
        "vocab": len(run.vocab()),
    }


def corpus_record(folder: Path) -> Path:
    """A small run with one of everything."""
    run = make_run(
        folder,
        steps=3,
        prompts=2,
        group=3,
        name="corpus",
        knobs={2: {"beta": 0.02}},
        events={3: [Event("notice", "a note <b>", {"bytes": 1})]},
    )
    with RunWriter.resume(folder, 3) as writer:
        figures = [Figure("strict", "all", "", "mean@2", 0.5, 0.25, 0.75, 2)]
        answers = [Answered(0, "1 + 1", "2", "", "<answer>2</answer>", ["2", "3"])]
        writer.write_sampled_evaluation(
            3, SampledEvaluation("held_out", figures, answers, {"samples": 2}, 100.0)
        )
        writer.finish()
    return run.path


def main() -> None:
    file = CORPUS / f"version-{__version__}.sqlite"
    if file.exists():
        sys.exit(f"{file.name} is there already: a released record is never made anew.")
    CORPUS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(corpus_record(Path(place)), file)
    assert file.stat().st_size <= LARGEST, file.stat().st_size
    said = json.dumps(figures_of(Run.open(file)), indent=1)
    file.with_suffix(".json").write_text(f"{said}\n")


if __name__ == "__main__":
    main()
