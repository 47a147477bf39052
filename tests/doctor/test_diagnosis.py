"""The doctor as a whole: what it reads, in which order it speaks, and that no run can break it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import growing_run, make_run

from workbench.doctor import SEVERITIES, Finding, diagnose, report
from workbench.doctor.facts import Facts
from workbench.doctor.finding import percent
from workbench.runs import Run, RunNotFoundError, RunWriter, StepRecord
from workbench.widgets.base.source import RunSource

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202eevil\u200b\x07" + "x" * 5000


def keys(findings: list[Finding]) -> set[str]:
    return {f.key for f in findings}


def test_a_path_a_run_and_a_source_say_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", truncation=0.4, tokens=16)
    assert (
        diagnose(run)
        == diagnose(tmp_path / "run")
        == diagnose(str(tmp_path / "run"))
        == diagnose(RunSource(run))
    )
    assert "truncated" in keys(diagnose(run))


def test_the_worst_comes_first(tmp_path: Path) -> None:
    how = dict(status="failed", tokens=16, truncation=0.3, metrics={"kl": 30.0})
    severities = [f.severity for f in diagnose(make_run(tmp_path / "run", **how))]
    assert set(severities) == set(SEVERITIES)
    assert severities == sorted(severities, key=SEVERITIES.index)


def test_good_news_comes_before_notes_where_nothing_is_worse(tmp_path: Path) -> None:
    severities = [f.severity for f in diagnose(make_run(tmp_path / "run"))]
    assert set(severities) == {"good", "note"}
    assert severities == sorted(severities)


def test_an_earlier_step_is_judged_as_it_was(tmp_path: Path) -> None:
    how = dict(
        status="failed",
        knobs={25: {"learning_rate": 0.0}},
        evaluations={0: (60, 200), 30: (140, 200)},
        metrics={"kl": lambda step: 30.0 if step > 20 else 0.1},
    )
    run = make_run(tmp_path / "run", **how)
    later = {"run_failed", "learning_rate_zero", "knob_changed", "accuracy_improved", "kl_high"}
    assert later <= keys(diagnose(run)) == keys(diagnose(run, 30))
    assert not later & keys(diagnose(run, 20))
    assert keys(diagnose(run, 0)) == {"no_steps"}


@pytest.mark.parametrize("step", [-1, 31])
def test_a_step_that_is_not_there_is_an_error(step: int, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", name="mine")
    with pytest.raises(
        ValueError, match=rf"step {step} is not in the record of 'mine', which ends at step 30"
    ):
        diagnose(run, step)


def test_a_missing_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        diagnose(tmp_path / "nothing")


@pytest.mark.parametrize(
    "metrics",
    [{}, {"loss": 1.0}, {"reward": float("nan")}, {"seconds/step": 0.0, "seconds/x": 0.0}],
    ids=str,
)
def test_a_record_with_few_metrics_and_no_config_can_be_read(
    metrics: dict[str, float], tmp_path: Path
) -> None:
    with RunWriter.create(tmp_path / "run", config={}) as writer:
        for step in range(1, 61):
            writer.write_step(StepRecord(step=step, metrics=metrics))
        writer.finish()
    assert keys(diagnose(tmp_path / "run")) == {"no_evaluation"}


def test_a_metric_that_comes_later_or_has_gaps_is_read_where_it_is(tmp_path: Path) -> None:
    nan = float("nan")
    how = dict(
        metrics={
            "kl": lambda s: 5.0 if s > 12 else None,
            "entropy": lambda s: nan if s % 2 else 1.0,
            "grad_norm": lambda s: nan if s % 3 else 0.5,
            "reward_std": lambda s: nan if s == 4 else 0.5,
        }
    )
    assert "kl_high" in keys(diagnose(make_run(tmp_path / "run", **how)))


def test_every_step_of_a_bad_run_can_be_judged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = (
        "reward",
        "reward_std",
        "kl",
        "entropy",
        "grad_norm",
        "loss",
        "completion_length",
        "truncated_share",
        "dead_group_share",
        "clip_ratio_region",
        "ratio_max",
        "sampler_logp_difference",
        "learning_rate",
        "seconds/reward",
        "rewards/format_reward",
    )
    wild = {
        name: list(rng.choice([0.0, 1.0, -1.0, 1e12, 1e-12, np.inf, np.nan], 60)) for name in names
    }
    run = make_run(
        tmp_path / "run",
        steps=60,
        metrics=wild,
        knobs={i: {"beta": i / 100} for i in range(1, 60, 5)},
    )
    for step in range(61):
        for finding in diagnose(run, step):
            assert finding.what
            assert finding.evidence


def test_a_rewind_and_another_course_are_seen(tmp_path: Path) -> None:
    easy = dict(reward_names=["r"], prompts=8, group=8, evaluations={})
    right, wrong = (np.concatenate([np.full(48, v), np.arange(16) % 2.0]) for v in (1.0, 0.0))
    live = growing_run(tmp_path / "run", rewards=lambda step: right, **easy)
    live.add(12)
    assert "dead_groups_too_easy" in keys(diagnose(live.run))
    live.writer.close()
    again = RunWriter.resume(tmp_path / "run", 0)
    other = growing_run(tmp_path / "other", rewards=lambda step: wrong, **easy)
    for step in range(1, 13):
        again.write_step(other.how.step(step))
    assert "dead_groups_too_hard" in keys(
        diagnose(live.run)
    )  # samples of the first course are not remembered


def test_steps_taken_away_while_a_view_looks_on_do_no_harm(tmp_path: Path) -> None:
    live = growing_run(tmp_path / "run")
    live.add(20)
    source = RunSource(live.run)
    live.writer.close()
    RunWriter.resume(tmp_path / "run", 3).close()
    assert diagnose(source)


def test_a_finding_of_unknown_severity_is_refused() -> None:
    with pytest.raises(
        ValueError, match="severity='bad' must be one of problem, warning, note, good"
    ):
        Finding("x", "bad", "what", "evidence")


def test_the_report_is_plain_and_inert(tmp_path: Path) -> None:
    names = [HOSTILE, "answer"]
    run = make_run(
        tmp_path / "run",
        name=HOSTILE,
        reward_names=names,
        status="failed",
        reason=HOSTILE,
        rewards=lambda step: np.stack([np.zeros(16), np.arange(16) % 2], 1),
    )
    text = report(run)
    assert {c for c in text if not c.isprintable()} == {"\n"}
    assert "U+001B[31mU+202EevilU+200B" in text
    assert "PROBLEM: The run failed." in text
    assert "try: " in text
    assert len(text) < 10_000, "long names are cut"
    assert max(map(len, text.splitlines())) <= 100


def test_the_report_names_run_and_step(tmp_path: Path) -> None:
    make_run(tmp_path / "run", name="mine")
    assert report(tmp_path / "run").startswith("mine: finished, as of step 30; ")
    assert report(str(tmp_path / "run"), step=0) == (
        "mine: finished, as of step 0; 1 finding\n\n● NOTE: There is no step yet.\n"
        "  evidence: the run is finished, with 0 steps recorded\n"
        "  try: Start it, or wait: the first findings come after a few steps.\n"
    )


def test_the_report_names_the_engine_that_served(tmp_path: Path) -> None:
    config = {"rollout_engine": "native", "seed": 0}
    with RunWriter.create(tmp_path / "run", config=config) as writer:
        writer.add_to_environment(rollout_engine="transformers", shared_prompts=False)
    run = Run.open(tmp_path / "run")
    assert "packages" in run.meta.environment, "what was known stays"
    assert Facts.of(run).engine == "transformers"
    said = " ".join(report(run).split())
    assert (
        "Sampled by the engine 'transformers' in place of 'native', which cannot serve this model; "
        "computing log-probabilities does not share a prompt among its completions."
    ) in said
    assert Facts.of(make_run(tmp_path / "old")).engine == "native", "an older record: its config's"
    for apart, words in ((True, "without a mask"), (False, "with a mask")):
        with RunWriter.create(tmp_path / f"{apart}", config=config) as writer:
            writer.add_to_environment(rollout_engine="native", attention_apart=apart)
        said = " ".join(report(tmp_path / f"{apart}").split())
        assert f"among its completions, {words} where they are long." in said


def test_the_doctor_needs_no_torch_and_no_widget(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    code = (
        "import sys; from workbench.doctor import report; print(report(sys.argv[1])); "
        "print([m for m in ('torch', 'ipywidgets', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_ten_thousand_steps_are_judged_quickly(tmp_path: Path) -> None:
    import time

    import pandas as pd

    run = make_run(tmp_path / "run", steps=40)
    short = RunSource(run)
    metrics = pd.concat([short.metrics] * 250, ignore_index=True)
    metrics["step"] = range(1, 10_001)
    long = type(
        "Long",
        (),
        dict(
            run=run,
            metrics=metrics,
            knobs=short.knobs,
            evaluations=short.evaluations,
            events=short.events,
        ),
    )()
    diagnose(long)
    start = time.process_time()
    assert len(Facts.of(long).steps) == 10_000
    diagnose(long)
    assert time.process_time() - start < 0.5  # measured 0.02 s; a redraw may take 0.05 s


def test_the_record_is_not_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = run.path.read_bytes()
    report(Run.open(run.path))
    assert run.path.read_bytes() == before
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["run.sqlite"]


def test_what_rounding_leaves_of_nothing_is_nothing() -> None:
    assert percent(8.7e-19) == "0 %"
    assert percent(-1e-17) == "0 %"
    assert [percent(share) for share in (0.0002, 0.034, 0.12, 1)] == [
        "0.02 %",
        "3.4 %",
        "12 %",
        "100 %",
    ]


def test_a_stretch_is_diagnosed_by_its_own_steps(tmp_path: Path) -> None:
    """An ill beginning, well again at the end: each is seen in its own steps alone."""
    run = make_run(tmp_path / "run", steps=40, metrics={"kl": lambda step: 5.0 if step < 15 else 0})
    ill = {finding.key: finding for finding in diagnose(run, 12, since=3)}
    assert "kl_high" in ill
    assert "steps 3 to" in " ".join(finding.evidence for finding in ill.values())
    assert "kl_high" not in keys(diagnose(run, 40, since=25))
    assert diagnose(run, 40, since=1) == diagnose(run, 40)
    # The settings in force are those from before, too.
    assert Facts.of(run, 40, 25).config == Facts.of(run, 40).config
    # Between two evaluations there is none, which is nobody's fault.
    assert "no_evaluation" not in keys(diagnose(run, 12, since=3))
    for first, last in ((0, 5), (9, 5), (41, 41)):
        with pytest.raises(ValueError, match="since=|is not in the record"):
            diagnose(run, last, since=first)


def test_every_stretch_of_a_run_can_be_diagnosed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=24, knobs={8: {"beta": 0.1}})
    for first in range(1, 25, 3):
        for last in range(first, 25, 4):
            for finding in diagnose(run, last, since=first):
                if finding.curve is not None:
                    assert finding.curve.last <= last
