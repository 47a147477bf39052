"""The recorded runs that ship: they open, are small, name no machine, and each shows what it is
for."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from workbench import Dashboard
from workbench.assets.recorded.make_recorded import COMMON, RECIPES, brevity_reward
from workbench.config import GRPOConfig
from workbench.course import recorded, recorded_names
from workbench.course.recorded import FOLDER
from workbench.doctor import diagnose
from workbench.runs import Run, learned
from workbench.runs.thin import ENVIRONMENT

EACH = pytest.mark.parametrize("name", sorted(RECIPES))
PRIVATE = re.compile(rb"/home/|/Users/|/root|/tmp|/work/|[A-Z]:\\\\|hostname|@[a-z]+\.")
SICKNESS = {
    "hacked": {"reward_hacked", "length_down"},
    "kl_blow_up": {"kl_high", "accuracy_fell"},
    "truncated": {"truncated"},
    "patient": {"dead_groups_mixed", "no_gradient"},
    # Of a run that cannot have learned there is nothing to say, above all nothing good.
    "control": set(),
    "start_control": set(),
    "long": {"accuracy_improved", "reward_rising"},
    "branch": {"accuracy_improved"},
    "vllm": {"accuracy_improved", "reward_rising"},
}
HEALTHY = ("long",)
ILL = {
    "reward_hacked",
    "reward_falling",
    "reward_dropped",
    "accuracy_fell",
    "kl_high",
    "truncated",
    "nothing_ends",
    "entropy_explosion",
    "clipped_too_often",
    "sampler_mismatch",
    "no_gradient",
    "not_finite",
    "rewards_all_equal",
    "reward_without_accuracy",
}


@cache
def opened(name: str) -> Run:
    return Run.open(recorded(name))


@cache
def found(name: str) -> dict[str, str]:
    """Key -> severity of what the doctor says of the whole run."""
    return {finding.key: finding.severity for finding in diagnose(opened(name))}


def test_every_recipe_has_its_record_and_the_other_way_round() -> None:
    assert recorded_names() == sorted(RECIPES)


def test_all_together_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.sqlite")}
    assert sum(sizes.values()) <= 5e6, sizes
    assert not list(FOLDER.glob("*.sqlite-*")), "a log beside a record: it was not closed"


@EACH
def test_it_is_what_its_recipe_says(name: str) -> None:
    run, recipe = opened(name), RECIPES[name]
    origin = RECIPES[recipe.parent] if recipe.parent else recipe
    config = GRPOConfig(**{**COMMON, **origin.config})
    assert run.meta.status == "finished"
    assert run.last_step() == len(run.steps()) == config.max_steps
    wanted = config.to_dict()  # may have gained fields since the run was recorded
    assert run.config == {field: wanted[field] for field in run.config}
    moved = [(knob.step, knob.name, knob.new) for knob in run.knobs().itertuples()]
    asked = {recipe.from_step + 1: recipe.fork} if recipe.parent else recipe.moves
    assert moved == [
        (step, field, value) for step, knobs in asked.items() for field, value in knobs.items()
    ]
    assert len(run.evaluations()) == config.max_steps // config.eval_steps + 1


@EACH
def test_it_names_no_machine(name: str) -> None:
    meta = opened(name).meta
    assert set(meta.environment) <= set(ENVIRONMENT)
    assert (meta.policy, meta.task) == ("embedded", "arithmetic")
    with closing(sqlite3.connect(recorded(name))) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'writer'").fetchone() == ("null",)
        facts = " ".join(
            str(row) for table in ("meta", "events") for row in db.execute(f"SELECT * FROM {table}")
        )
    assert PRIVATE.search(facts.encode()) is None
    assert "error" not in set(opened(name).events().kind)


@EACH
def test_the_kept_steps_hold_completions_and_tokens(name: str) -> None:
    run = opened(name)
    kept = next(data["kept_steps"] for data in run.events().data if "kept_steps" in data)
    assert {1, 2, 3, 4, 5, run.last_step()} <= set(kept)
    assert RECIPES[name].keep in kept
    for step in kept:
        assert len(run.samples(step)) == GRPOConfig(**run.config).completions_per_step
        assert len(run.tokens(step)) == run.steps().set_index("step").tokens[step]
    assert run.samples(7).empty


@EACH
def test_the_dashboard_shows_every_page(name: str) -> None:
    dashboard = Dashboard(recorded(name))
    for tab in range(len(dashboard.views)):
        dashboard.tabs.selected_index = tab
        for step in (1, 7, opened(name).last_step()):
            dashboard.step.value = step
            assert "could not be drawn" not in dashboard.error.value


@EACH
def test_the_doctor_finds_what_it_is_for(name: str) -> None:
    assert SICKNESS[name] <= set(found(name)), found(name)


def test_a_gamed_reward_is_never_praised() -> None:
    run = opened("hacked")
    at_40 = {finding.key: finding for finding in diagnose(run, 40)}
    dead = at_40["dead_groups_paid_most"]
    assert "held-out accuracy is 4.7 %" in dead.what
    assert "easy" not in dead.what
    assert "harder problems would change nothing" in dead.try_
    for step in range(40, 61, 4):
        said = {finding.key: finding for finding in diagnose(run, step)}
        assert not {"reward_rising", "accuracy_improved"} & said.keys(), step
        advice = " ".join(finding.try_ for finding in said.values())
        assert "harder problems, or" not in advice, step
        assert "Stop here" not in advice, step


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_told_so(name: str) -> None:
    assert not ILL & set(found(name)), found(name)
    assert "problem" not in found(name).values()


@pytest.mark.parametrize("name", ["hacked", "kl_blow_up", "truncated"])
def test_a_sick_run_is_told_apart_from_a_healthy_one(name: str) -> None:
    """The keys that `long` must not have do turn up where they belong."""
    assert ILL & set(found(name))


def test_the_branch_leaves_its_parent_and_is_held_back() -> None:
    long, branch = opened("long"), opened("branch")
    assert (branch.meta.parent_id, branch.meta.branch_step) == (
        long.meta.id,
        RECIPES["branch"].from_step,
    )
    shared = slice(0, branch.meta.branch_step)
    assert (long.steps().reward[shared] == branch.steps().reward[shared]).all()
    free, held = (run.steps()[140:].mean() for run in (long, branch))
    assert held.kl < free.kl / 1.5
    assert held.reward < free.reward - 0.1
    assert held.entropy > 2 * free.entropy


def test_the_control_learns_nothing_that_the_honest_run_learns() -> None:
    ends = {
        name: opened(name).evaluations().query("step == 60").iloc[0] for name in ("long", "control")
    }
    assert ends["control"].high < ends["long"].low


@pytest.mark.parametrize("name", ["control", "start_control"])
def test_a_control_stays_where_it_began(name: str) -> None:
    """The embedded policy is made so that drift alone turns no answer over."""
    assert not {"accuracy_improved", "reward_rising", "reward_plateau"} & set(found(name))
    accuracy = opened(name).evaluations().accuracy
    assert (accuracy - accuracy[0]).abs().max() <= 0.05
    assert not learned(recorded(name), *[recorded(n) for n in ("control", "start_control")])


def test_vllm_sampled_what_the_trainer_computes() -> None:
    run = opened("vllm")
    assert (run.config["rollout_engine"], run.config["lora_rank"]) == ("vllm", 8)
    largest = run.steps().sampler_logp_difference_max
    assert 0 < largest.min() <= largest.max() < 1e-4


def test_brevity_reward() -> None:
    assert brevity_reward(["a", "b"], completion_ids=[[1] * 48, [1] * 10], answer=["1", "2"]) == [
        0.0,
        38.0,
    ]
    assert "brevity_reward" in opened("hacked").meta.reward_names


def test_records_are_files_of_the_package() -> None:
    assert Path(recorded("long")).parts[-3:] == ("assets", "recorded", "long.sqlite")
