"""The counterfactual tornado: the session is as it was, each branch is what a real branch would be,
and only what lies beyond the band of a seed change counts."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import digits_reward
from training.conftest import SMALL

from workbench.config import ConfigError, GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs.tornado import open_tornado, stored_tornados
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run
from workbench.training.knobs import Knobs
from workbench.training.phases import Phases
from workbench.training.session import Session, SessionError
from workbench.training.tornado import TornadoCancelledError, TornadoError
from workbench.training.tornado.branch import BranchTrainer, own_copy
from workbench.training.tornado.sharing import SAMPLED_WITH
from workbench.training.tornado.sides import REACHES, USUAL, sides_of
from workbench.training.tornado.work import FIGURES, make_branches, plan_of
from workbench.training.trainer import Trainer

FEW = dict(knobs=["learning_rate", "beta"], steps=2, problems=8)
CURVE = ["reward", "kl", "entropy", "loss", "grad_norm", "completion_length"]


def curve(session: Session) -> list[list[float]]:
    return session.run.steps()[CURVE].to_numpy().tolist()


def state_of(trainer: Trainer) -> dict[str, Any]:
    """All that the next step depends on, ready to be compared."""
    snapshot = own_copy(trainer.snapshot())
    tensors = {
        f"{file}/{name}": tensor.tolist()
        for file, named in snapshot.tensors.items()
        for name, tensor in named.items()
        # The reference is loaded when it is first asked for: whether it is there yet changes
        # nothing, and what it holds is compared by the KL of the steps that follow.
        if file != "reference"
    }
    return tensors | {"step": snapshot.step, **snapshot.state}


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, list[list[float]]]:
    """The curve of the run that nobody disturbed, made once."""
    return {}


def expected_curve(make_session: Callable[..., Session], known: dict[str, Any]) -> Any:
    if not known:
        known["curve"] = curve(make_session("undisturbed").step(4).wait(120))
    return known["curve"]


@pytest.mark.parametrize("end", ["result", "cancel", "error"])
def test_the_next_steps_are_what_they_would_have_been(
    make_session, undisturbed, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    wanted = expected_curve(make_session, undisturbed)
    session = make_session().step(2).wait(120)
    before = state_of(session.trainer)
    checkpoints = sorted(p.name for p in (session.out / "checkpoints").iterdir())
    position = session.run.position()

    if end == "error":
        plain = BranchTrainer.evaluations_after

        def broken(trainer: BranchTrainer, step: int) -> list[Any]:
            # After the update, in the second branch: the weights have moved and are no step's.
            if trainer.generator.initial_seed() != session.config.seed:
                raise OSError("no such luck")
            return plain(trainer, step)

        monkeypatch.setattr(BranchTrainer, "evaluations_after", broken)
    tornado = session.tornado(**FEW)
    if end == "cancel":
        tornado.subscribe(lambda: tornado.cancel() if tornado.progress.done == 2 else None)
        with pytest.raises(TornadoCancelledError, match="after 2 of 8 branches"):
            tornado.result(120)
        assert tornado.state == "cancelled"
    elif end == "error":
        with pytest.raises(TornadoError, match=r"seed .*OSError: no such luck .*as it was"):
            tornado.result(120)
        assert tornado.state == "failed"
    else:
        tornado.result(120)
        assert str(tornado.progress) == "8 of 8 branches (all made), about 0 s left"

    session.wait(120)
    assert session.status == "paused"
    assert session.error is None
    assert state_of(session.trainer) == before
    assert session.run.position() == position, "nothing was recorded"
    assert sorted(p.name for p in (session.out / "checkpoints").iterdir()) == checkpoints
    assert len(stored_tornados(session.out)) == (end == "result")
    session.step(2).wait(120)
    assert curve(session) == wanted
    # An error that is kept must not keep the model.
    model = weakref.ref(session.trainer.policy.model)
    session.free()
    gc.collect()
    assert model() is None


def test_a_branch_is_what_a_real_branch_of_the_session_would_be(make_session) -> None:
    session = make_session(num_iterations=2).step(2).wait(120)
    moved = {"epsilon": (0.01, 0.5), "temperature": [1.3]}
    tornado = session.tornado(moved, steps=2, problems=8)
    result = tornado.result(120)
    for knob, value in (("epsilon", 0.01), ("temperature", 1.3)):
        found = next(b for b in result.branches if (b.knob, b.value) == (knob, value))
        child = session.branch(f"{knob}-by-hand", **{knob: value}).wait(120)
        child.step(2).wait(120)
        recorded = child.run.steps().iloc[-2:]
        for name in FIGURES:
            assert [s[name] for s in found.steps] == recorded[name].tolist(), (knob, name)
        # What was measured is what the weights of that branch give.
        ruler = tornado.plan.ruler
        again = ruler.measure(BranchTrainer(child.trainer, own_copy(child.trainer.snapshot())))
        assert again == found.measures
    assert [b.shared_rollouts for b in result.of("epsilon")] == [1, 1]
    assert [b.shared_rollouts for b in result.of("temperature")] == [0]


@pytest.mark.parametrize("mixes", [False, True])
def test_sharing_rollouts_changes_nothing(make_trainer, mixes: bool) -> None:
    trainer = make_trainer(
        max_resample=1, num_iterations=2, sync_ref_model=mixes, ref_model_sync_steps=2
    )
    trainer.step()
    # Not advantage_baseline="none", with which no group is drawn again.
    # vespo_k_pos is another loss's: its branch comes to the base's own weights.
    moved = {
        "beta": [0.0],
        "epsilon": [0.05],
        "learning_rate": [1e-2],
        "temperature": [1.3],
        "scale_rewards": ["none"],
        "advantage_baseline": ["leave_one_out"],
        "max_resample": [3],
        "vespo_k_pos": [1.0],
    }
    made = []
    for shares in (True, False):
        plan = plan_of(trainer, moved, steps=2, seeds=3, problems=4, shares=shares)
        made.append(make_branches(trainer, plan))
    shared, alone = made
    assert [b.measures for b in shared.branches] == [b.measures for b in alone.branches]
    assert [b.steps for b in shared.branches] == [b.steps for b in alone.branches]
    counts = {b.knob: b.shared_rollouts for b in shared.branches if b.kind == "knob"}
    assert counts["temperature"] == 0
    assert all(counts[knob] >= 1 for knob in set(moved) - {"temperature"})
    # Where the reference changes with the weights' past, equal weights are not all that counts.
    assert (counts["vespo_k_pos"] > counts["learning_rate"]) != mixes
    assert not any(b.shared_rollouts for b in alone.branches)


@pytest.mark.parametrize("method", ["ppo", "dpo", "reinforce_pp", "online_rft"])
def test_a_method_that_learns_beside_the_policy_is_as_it_was(
    tiny_folder: Path, tmp_path: Path, method: str
) -> None:
    """PPO's critic and its optimizer, and whatever else a method keeps from step to step."""
    config = GRPOConfig(**SMALL).with_method(method)
    curves = []
    for out in ("disturbed", "alone"):
        trainer = start_run(
            tmp_path / out,
            policy=load_policy(tiny_folder),
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(digits_reward),
            config=config,
        )
        figures = [trainer.step().metrics]
        if out == "disturbed":
            knobs = {"learning_rate": [1e-2], "temperature": [1.3]}
            make_branches(trainer, plan_of(trainer, knobs, steps=1, seeds=3, problems=4))
        figures += [trainer.step().metrics, trainer.step().metrics]
        curves.append(
            [
                {name: value for name, value in step.items() if not name.startswith("seconds")}
                for step in figures
            ]
        )
    assert curves[0] == curves[1]


def test_what_a_rollout_reads_of_the_live_settings(make_trainer) -> None:
    """A field that a rollout reads and that is not in SAMPLED_WITH would be shared wrongly."""
    trainer = make_trainer(curriculum="pass_rate")
    trainer.step()
    read: set[str] = set()

    class Listening(GRPOConfig):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    values = {f.name: getattr(trainer.config, f.name) for f in fields(GRPOConfig)}
    config = Listening(**values)
    read.clear()
    trainer.groups(trainer.cursor, 2, config, 2, Phases(trainer.config, "test"))
    live = set(GRPOConfig.live_fields())
    assert {"temperature", "top_p", "top_k"} <= read
    # Of problems drawn, the pass counts as what was right at the step's end, by the config then.
    assert read & live <= set(SAMPLED_WITH)


def test_a_running_session_goes_on_to_where_it_was_going(make_session, undisturbed) -> None:
    wanted = expected_curve(make_session, undisturbed)
    session = make_session()
    hears = threading.Event()
    session.subscribe(lambda: hears.set() if session.step_number >= 1 else None)
    session.step(4)
    assert hears.wait(60)
    result = session.tornado(knobs={"beta": [0.3]}, steps=1, problems=4).result(120)
    session.wait(120)
    assert 1 <= result.step <= 4
    assert (session.status, session.step_number) == ("paused", 4)
    assert curve(session) == wanted


def test_knobs_that_are_set_meanwhile_are_for_the_session_alone(make_session) -> None:
    session = make_session()
    session.set(beta=0.02)
    tornado = session.tornado(**FEW)
    session.set(epsilon=0.3)
    result = tornado.result(120)
    session.wait(120)
    assert session.status == "ready", "as it was"
    assert session.pending == {"beta": 0.02, "epsilon": 0.3}
    assert [(b.before, b.value) for b in result.of("beta")] == [(0.02, 0.005), (0.02, 0.08)]


def test_a_stopped_session_stays_stopped_and_a_stop_cancels(make_session) -> None:
    session = make_session().step(1).wait(120)
    tornado = session.tornado(**FEW)
    session.stop()
    assert tornado.state == "cancelled"
    assert (session.status, session.run.meta.status) == ("stopped", "stopped")
    events = len(session.run.events())
    session.tornado(knobs={"beta": [0.3]}, steps=1, problems=4).result(120)
    session.wait(120)
    assert (session.status, session.run.meta.status) == ("stopped", "stopped")
    assert len(session.run.events()) == events
    session.step(1).wait(120)
    assert session.step_number == 2


def test_a_rollout_in_hand_is_broken_off(make_session, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make_session().step(1).wait(120)
    inside = threading.Event()
    plain = session.trainer.engine.generate

    def slow(*args: Any, **options: Any) -> Any:
        inside.set()
        assert session.trainer._cancelled.wait(60)
        return plain(*args, **options)

    before = state_of(session.trainer)
    with monkeypatch.context() as patch:
        patch.setattr(session.trainer.engine, "generate", slow)
        tornado = session.tornado(**FEW)
        assert inside.wait(60)
        tornado.cancel()
        with pytest.raises(TornadoCancelledError):
            tornado.result(60)
    session.wait(60)
    assert state_of(session.trainer) == before


def test_a_number_that_is_not_finite_is_a_finding(
    make_session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hundred_digits(completions: Any, **columns: Any) -> list[float]:
        return [100 * share for share in digits_reward(completions)]

    session = make_session(rewards=hundred_digits).step(1).wait(120)
    before = state_of(session.trainer)
    plain = BranchTrainer.step

    def ruined(trainer: BranchTrainer) -> Any:
        """An update that overflows the weights in the last step, so that measuring meets it."""
        step = plain(trainer)
        if trainer.config.beta == 0.3 and trainer.steps_done == 3:
            for weight in trainer.policy.trainable_parameters():
                weight.data.fill_(float("inf"))
        return step

    monkeypatch.setattr(BranchTrainer, "step", ruined)
    # Logits over 1e-38 overflow in the sampler; rewards of 3e38 times some, in the advantage.
    moved = {"temperature": (1e-38, 1.1), "reward_weights": [(3e38,)], "beta": [0.3]}
    result = session.tornado(moved, steps=2, problems=4).result(120)
    in_the_rollout, well = result.of("temperature")
    (in_the_loss,) = result.of("reward_weights")
    (when_measured,) = result.of("beta")
    assert "weights or logits are not finite" in in_the_rollout.error
    assert "No update was made" in in_the_loss.error
    assert "weights or logits are not finite" in when_measured.error
    assert [len(branch.steps) for branch in (in_the_rollout, in_the_loss)] == [0, 0]
    assert len(when_measured.steps) == 2
    for broken in (in_the_rollout, in_the_loss, when_measured):
        assert {result.verdict(broken, name) for name in result.measures} == {"failed"}
    assert well.error == ""
    assert "broke the training" in result._repr_html_()
    session.wait(60)
    assert state_of(session.trainer) == before


def test_an_inert_knob_is_said_to_change_nothing(make_session) -> None:
    session = make_session(updates_per_rollout=1).step(1).wait(120)
    result = session.tornado(knobs=["epsilon", "weight_decay"], steps=2, problems=8).result(120)
    verdicts = result.frame.groupby("knob")["verdict"].agg(set)
    assert verdicts["epsilon"] == {"same"}, "on-policy the ratio is 1, and nothing is clipped"
    assert "same" not in verdicts["weight_decay"]


def test_it_is_kept_and_opens_without_computing(make_session, tmp_path: Path) -> None:
    session = make_session().step(1).wait(120)
    made = [session.tornado(knobs={"beta": [0.3]}, steps=1, problems=4).result(120) for _ in "ab"]
    assert made[0].branches == made[1].branches, "the same again"
    names = [path.name for path in stored_tornados(session.out)]
    assert names == ["step-000001.json", "step-000001-2.json"]
    assert made[0].path.stat().st_size < 20_000
    opened = open_tornado(made[0].path)
    assert opened == made[0]
    assert opened.steps_frame["step"].tolist() == [2] * len(opened.branches)


def test_what_cannot_be_asked(make_session) -> None:
    session = make_session().step(7).wait(120)
    for asked, words in (
        (dict(steps=4), "1 steps are left of max_steps=8.*session.extend"),
        (dict(steps=0), r"steps=0\): must be at least 1"),
        (dict(seeds=2), r"seeds=2\): must be at least 3"),
        (dict(knobs=["num_generations"]), "num_generations is fixed for the run"),
        (dict(knobs=["bata"]), "Did you mean 'beta'"),
        (dict(knobs=["loss_type"]), "no number.*Give values"),
        (dict(knobs=["top_k"]), "top_k is 0.*Give a value"),
        (dict(knobs={"beta": (1, 2, 3)}), "give two values"),
        (dict(knobs={"beta": [0.15]}), "would stay where it is"),
        (dict(knobs={"epsilon": [5]}), "epsilon=5"),
        (dict(knobs=[]), "no knob can be moved"),
    ):
        with pytest.raises(ConfigError, match=words):
            session.tornado(**{"steps": 1, **asked})
    assert session.status == "paused"
    session.trainer.fault = SimpleNamespace(spec="stale_sampler:2")
    with pytest.raises(ConfigError, match="mistake on purpose .fault='stale_sampler:2'"):
        session.tornado(steps=1)
    session.free()
    with pytest.raises(SessionError, match="freed"):
        session.tornado()


@pytest.mark.parametrize(
    ("method", "fixed"),
    [
        ("grpo", {}),
        ("dpo", {"beta": "made by beta=0", "entropy_coef": "has no entropy bonus"}),
        ("ppo", {"beta": "made by beta=0"}),
        ("online_rft", {"beta": "made by beta=0"}),
    ],
)
def test_the_usual_knobs_of_each_method_are_live_and_move(
    method: str, fixed: dict[str, str]
) -> None:
    config = GRPOConfig().with_method(method)
    sides, left_out = sides_of(None, Knobs(config))
    assert left_out.keys() == fixed.keys()
    assert all(why in left_out[name] for name, why in fixed.items())
    assert not {side.knob for side in sides} & fixed.keys()
    assert {"learning_rate", "temperature"} <= {side.knob for side in sides}
    assert all(side.value != side.before for side in sides)
    assert all(name in GRPOConfig.live_fields() for name in {*USUAL, *REACHES})


def test_how_far_the_knobs_go() -> None:
    knobs = Knobs(GRPOConfig(beta=0.0, epsilon=0.6, learning_rate=1e-3))
    names = ["beta", "epsilon", "learning_rate", "epsilon_high", "lam"]
    goals = {(side.knob, side.direction): side.value for side in sides_of(names, knobs)[0]}
    assert goals == {
        ("beta", "up"): 0.02,
        ("epsilon", "down"): 0.3,
        ("epsilon", "up"): 1.0,
        ("learning_rate", "down"): 5e-4,
        ("learning_rate", "up"): 2e-3,
        ("epsilon_high", "down"): 0.3,
        ("epsilon_high", "up"): 1.2,
        ("lam", "down"): 0.475,
        ("lam", "up"): 1.0,
    }
