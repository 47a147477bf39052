"""What a tornado says: the band by hand, the verdicts, the file, the picture, inert whatever it
holds."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run

from workbench.runs import Run, RunRecordError
from workbench.runs.tornado import Branch, TornadoResult, open_tornado, stored_tornados
from workbench.runs.tornado.band import band_of
from workbench.runs.tornado.picture import drawn, still, summary
from workbench.runs.tornado.stored import is_of_this_past, save
from workbench.runs.tornado.words import as_html, sentences


def measured(reward: float, kl: float = 0.01, accuracy: float = 0.4) -> dict[str, float]:
    return {"reward": reward, "kl": kl, "entropy": 0.5, "accuracy": accuracy}


def made(*more: Branch, **changed: Any) -> TornadoResult:
    """Base reward 1.0, other seeds 1.1, 0.9 and 1.0: mean 1, s = 0.0816, so a band of ± 0.2905."""
    branches = [
        Branch("base", measures=measured(1.0), steps=[{"reward": 1.0}]),
        Branch("seed", seed=1, measures=measured(1.1, 0.011)),
        Branch("seed", seed=2, measures=measured(0.9, 0.009)),
        Branch("seed", seed=3, measures=measured(1.0)),
        *more,
    ]
    given: dict[str, Any] = dict(run="run", step=3, steps=4, problems=50, branches=branches)
    return TornadoResult(**given | changed)


def knob(side: str = "up", value: Any = 0.02, **how: Any) -> Branch:
    return Branch("knob", knob="beta", side=side, before=0.005, value=value, **how)


def test_the_band_by_hand() -> None:
    band = band_of([1.0, 1.1, 0.9, 1.0])
    # t(0.975, 3) = 3.182446, s = sqrt(0.02 / 3), sqrt(1 + 1/4)
    assert band.high - 1 == pytest.approx(3.182446 * (0.02 / 3) ** 0.5 * 1.25**0.5, rel=1e-7)
    assert 1 - band.low == pytest.approx(band.high - 1)
    assert band_of([2.0, 2.0], resolution=0.1).high == 2.1
    with pytest.raises(ValueError, match="at least two runs, there are 1"):
        band_of([1.0])


@pytest.mark.parametrize("count", [4, 6])
def test_the_band_holds_one_more_seed_in_95_of_100(count: int) -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, count + 1))
    inside = [band_of(row[:-1].tolist()).holds(row[-1]) for row in draws]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_the_verdicts() -> None:
    same = Branch(
        "knob", "epsilon", "up", 0.2, 0.4, measures=measured(1.0), steps=[{"reward": 1.0}]
    )
    broken = Branch("knob", "learning_rate", "up", 1e-4, 1e-2, error="NaN")
    result = made(
        knob("down", measures=measured(1.29)),
        knob("up", measures=measured(1.30, accuracy=0.42)),
        same,
        broken,
    )
    frame = result.frame.set_index(["knob", "side", "measure"])["verdict"]
    assert frame["beta", "down", "reward"] == "chance"
    assert frame["beta", "up", "reward"] == "beyond"
    # All seeds gave the same accuracy: one answer of 50 more is no finding.
    assert frame["beta", "up", "accuracy"] == "chance"
    assert set(frame["epsilon"]) == {"same"}
    assert set(frame["learning_rate"]) == {"failed"}
    assert result.frame.query("knob == 'beta'")["effect"].iloc[0] == pytest.approx(0.29)
    said = " ".join(sentences(result))
    assert "epsilon: changes nothing, bit for bit" in said
    assert "beta: reward +0.3 at 0.02." in said
    assert "Of 16 bars about 1 would stand out by chance alone" in said
    assert "0.01 broke the training: NaN" in said


def test_a_seed_that_breaks_the_training_is_said_and_left_out_of_the_band() -> None:
    """A run near its edge: what another seed did not survive is a finding, no lost tornado."""
    broken = Branch("seed", seed=4, error="the gradient is NaN.")
    result = made(knob(measures=measured(1.3)), broken)
    assert result.bands["reward"] == made().bands["reward"]
    said = " ".join(sentences(result))
    assert "The band comes from 4 runs" in said
    assert "seed 4 alone broke the training: the gradient is NaN." in said
    assert "seed 4" in as_html(result)
    # None left: nothing is compared, and that is said.
    lost = [replace(branch, measures={}, error="NaN") for branch in result.seeds]
    nothing = replace(result, branches=[result.base, *lost, knob(measures=measured(1.3))])
    assert nothing.measures == []
    assert "there is no band" in " ".join(sentences(nothing))
    assert "there is no band" in as_html(nothing)
    assert len(nothing.frame) == 0


def test_a_reward_that_scores_nothing_is_no_finding() -> None:
    nothing = float("nan")
    result = made(knob(measures=measured(nothing)))
    assert result.verdict(result.of("beta")[0], "reward") == "chance"
    unscored = [replace(b, measures=measured(nothing)) for b in made().branches]
    assert "reward" not in replace(made(), branches=unscored).measures


def test_a_run_without_a_kl_has_three_panels() -> None:
    result = made(knob(measures=measured(1.0)))
    bare = [
        replace(b, measures={n: v for n, v in b.measures.items() if n != "kl"})
        for b in result.branches
    ]
    result = replace(result, branches=bare)
    assert result.measures == ["reward", "entropy", "accuracy"]
    assert "KL" not in drawn(result)


def test_the_picture_is_one_svg_that_says_what_it_shows() -> None:
    quiet = knob("down", 0.00125, measures=measured(1.1))
    result = made(quiet, knob(measures=measured(2.0)), run='<run> & "co" \u202eevil\x1b[31m')
    for picture in (drawn(result), still(result)):
        root = ElementTree.fromstring(picture)
        assert "beta up on reward" in root.attrib["aria-label"]
        bars = [e for e in root.iter() if "data-verdict" in e.attrib]
        told = {e[0].text: (e.attrib["data-verdict"], e.attrib["fill"]) for e in bars}
        assert told["beta 0.02: +1"] == ("beyond", "#0072B2")
        assert told["beta 0.00125: +0.1"] == ("chance", "none")
        assert not {"\u202e", "\x1b"} & set(picture)
    assert still(result).count("#FFFFFF") == 1
    page = as_html(result)
    assert "<run>" not in page
    assert "&lt;run&gt;" in page
    assert not {"\u202e", "\x1b"} & set(page)
    assert result.picture().data.startswith("<svg")
    assert "nothing" in summary(made(quiet))


def test_the_bars_start_at_the_middle_and_end_at_the_effect() -> None:
    """The longest is the reach; half of it is half as long."""
    result = made(knob("down", measures=measured(0.5)), knob("up", measures=measured(2.0)))
    root = ElementTree.fromstring(drawn(result))
    bars = [e.attrib for e in root.iter() if "data-verdict" in e.attrib][:2]
    down, up = (float(bar["width"]) for bar in bars)
    assert up == pytest.approx(2 * down, abs=0.2)
    assert float(bars[0]["x"]) + down == pytest.approx(float(bars[1]["x"]), abs=0.2)


def test_the_file_and_what_is_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    result = save(made(knob(measures=measured(2.0)), left_out={"lam": "why"}), run)
    assert result.path == tmp_path / "run/tornado/step-000003.json"
    assert open_tornado(result.path) == result
    later = save(replace(result, step=12), run)
    again = save(result, run)
    assert stored_tornados(run) == [result.path, again.path, later.path]
    assert [p.name for p in (tmp_path / "run/tornado").iterdir() if p.name[0] == "."] == []
    whole = json.loads(result.path.read_text())
    for broken, words in (
        ("no json", "no tornado that can be read"),
        ("[" * 100_000, "no tornado that can be read"),
        ("[]", "no tornado that can be read"),
        (json.dumps(whole | {"version": 99}), "version 99, this workbench reads 1"),
        (json.dumps({"version": 1, "tornado": {}}), "no whole tornado"),
        (json.dumps({"version": 1, "tornado": whole["tornado"] | {"branches": []}}), "no whole"),
        (json.dumps({"version": 1, "tornado": whole["tornado"] | {"more": 1}}), "no whole"),
    ):
        result.path.write_text(broken)
        with pytest.raises(RunRecordError, match=words):
            open_tornado(result.path)


def test_a_past_that_the_run_no_longer_has(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=4)
    kl = float(run.steps()["kl"].iloc[2])
    result = made(knob(measures=measured(1.0)), fingerprint={"kl": kl})
    assert is_of_this_past(result, run)
    assert not is_of_this_past(replace(result, fingerprint={"kl": kl + 1e-9}), run)
    assert not is_of_this_past(replace(result, step=9), run)
    assert is_of_this_past(replace(result, step=0, fingerprint={}), Run.open(run.path))
