"""TRL trains the same with and without being watched, and the record says what it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench import watch
from workbench.config import ConfigError
from workbench.doctor import diagnose
from workbench.runs import Run
from workbench.watch import WatchCallback, WatchError
from workbench.watch.trl import watched

Make = Callable[..., Any]
TIMES = ("time", "runtime", "per_second")
CASES = {
    "plain": {},
    "no KL": {"beta": 0.0},
    "accumulated": {"gradient_accumulation_steps": 2},
    "several updates": {"steps_per_generation": 4, "max_steps": 8},
    "several passes": {"num_iterations": 2, "max_steps": 4},
    "several rollouts a step": {"gradient_accumulation_steps": 4, "steps_per_generation": 2},
    "all at once": {
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "max_steps": 8,
    },
    "not aligned": {"gradient_accumulation_steps": 2, "steps_per_generation": 3, "max_steps": 6},
    "LoRA": {"lora": True},
    "LoRA, no KL, passes": {"lora": True, "beta": 0.0, "num_iterations": 2, "max_steps": 4},
    "logged rarely": {"logging_steps": 3},
    "truncated left out": {"mask_truncated_completions": True},
    "sequence level": {"importance_sampling_level": "sequence", "num_iterations": 2},
    "evaluated": {"eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 4},
}


def outcome(trainer: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]], torch.Tensor]:
    """Train; weights, log without times, and where the random numbers stand."""
    torch.manual_seed(7)
    trainer.train()
    log = [
        {k: v for k, v in entry.items() if not any(word in k for word in TIMES)}
        for entry in trainer.state.log_history
    ]
    return trainer.model.state_dict(), log, torch.get_rng_state()


@pytest.mark.parametrize("case", CASES)
def test_watching_changes_no_bit(trainer_of: Make, tmp_path: Path, case: str) -> None:
    alone = outcome(trainer_of(**CASES[case]))
    trainer = trainer_of(**CASES[case])
    looked_at = watched(trainer, tmp_path / "run")
    seen = outcome(trainer)
    assert looked_at.recording
    assert looked_at.run.last_step() > 0
    assert all(torch.equal(alone[0][name], seen[0][name]) for name in alone[0])
    # Written out, since NaN equals nothing.
    assert repr(alone[1]) == repr(seen[1])
    assert torch.equal(alone[2], seen[2])
    assert Run.open(tmp_path / "run").meta.status == "finished"


def trained(trainer: Any, folder: Path) -> Run:
    WatchCallback(trainer, folder)
    trainer.train()
    return Run.open(folder)


def logged(trainer: Any, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}])
def test_the_figures_are_trls(trainer_of: Make, tmp_path: Path, options: dict[str, Any]) -> None:
    trainer = trainer_of(**options)
    steps = trained(trainer, tmp_path / "run").steps()
    pairs = {
        "loss": "loss",
        "reward": "reward",
        "grad_norm": "grad_norm",
        "learning_rate": "learning_rate",
        "rewards/count_a": "rewards/count_a/mean",
        "completion_length": "completions/mean_length",
        "dead_group_share": "frac_reward_zero_std",
    }
    if not options:
        # Ours are means over the tokens of an update, TRL's means of its micro-batches' means.
        pairs |= {"kl": "kl", "entropy": "entropy"}
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(
            steps[ours], logged(trainer, theirs), rtol=2e-4, atol=2e-6, err_msg=ours
        )
    assert list(steps["trl/global_step"]) == [1, 2, 3]


def test_rows_are_found_again_after_the_shuffle(trainer_of: Make, tmp_path: Path) -> None:
    """Before the first update of a rollout the policy is the old one: wherever a row went, its two
    log-probabilities must be equal; and each row's coefficient has its own advantage's sign."""
    trainer = trainer_of(steps_per_generation=4, max_steps=4, beta=0.0, learning_rate=0.5)
    batch = trained(trainer, tmp_path / "run").batch(1)
    mask = batch["mask_BT"]
    first = (batch["update_BT"] == 1).any(1)
    assert 0 < first.sum() < len(first)
    same = np.abs(batch["logp_BT"] - batch["old_logp_BT"])
    assert same[first][mask[first]].max() < 1e-5
    assert same[~first][mask[~first]].max() > 1e-2
    pushed = np.where(mask, batch["coefficient_BT"], 0).sum(1)[first]
    # By position, the sign would be another row's.
    np.testing.assert_array_equal(np.sign(pushed), np.sign(batch["advantages_B"][first]))
    assert len(set(np.flatnonzero(first) // 4)) > 1
    # The page of tokens goes by the record, not by the row's number.
    from workbench.widgets.tokens.inputs import row_inputs

    shown = [row_inputs(batch, row).update for row in range(len(first))]
    assert shown == batch["update_BT"][:, 0].tolist()


def test_a_rollout_is_a_step(trainer_of: Make, tmp_path: Path) -> None:
    several = trainer_of(steps_per_generation=4, num_iterations=2, max_steps=16)
    run = trained(several, tmp_path / "updates")
    assert list(run.steps()["trl/global_step"]) == [8, 16]
    assert set(run.steps()["updates"]) == {8}
    assert (run.config["prompts_per_step"], run.config["updates_per_rollout"]) == (4, 4)
    within = trainer_of(gradient_accumulation_steps=4, steps_per_generation=2, max_steps=2)
    run = trained(within, tmp_path / "within")
    assert list(run.steps()["trl/global_step"]) == [1, 1, 2, 2]


def test_samples_are_whole(trainer_of: Make, tmp_path: Path) -> None:
    run = trained(trainer_of(gradient_accumulation_steps=2), tmp_path / "run")
    assert list(run.meta.reward_names) == ["count_a", "short"]
    samples = run.samples(1)
    assert len(samples) == 8
    groups = {"a b": "1", "c": "2", "d e f": "3", "g h": "4"}
    assert all(groups[row.prompt] == row.gold_answer for row in samples.itertuples())
    assert [text.count("a") for text in samples["completion"]] == list(samples["rewards/count_a"])
    assert run.config["beta"] == 0.1
    assert (run.config["max_steps"], run.config["lr_scheduler_type"]) == (3, "linear")
    [arguments] = [e for e in run.events().itertuples() if e.kind == "trl config"]
    assert arguments.data["beta"] == 0.1


def test_an_evaluation_is_in_its_step(trainer_of: Make, tmp_path: Path) -> None:
    trainer = trainer_of(**CASES["evaluated"])
    steps = trained(trainer, tmp_path / "run").steps()
    rewards = logged(trainer, "eval_reward")
    assert rewards
    assert steps["eval/reward"].tolist()[1:] == pytest.approx(rewards)
    assert steps["eval/reward"].isna().tolist() == [True, False, False]


def test_a_reward_that_abstains_spoils_no_other_step(trainer_of: Make, tmp_path: Path) -> None:
    """TRL logs one figure of several steps, which was NaN where one of them was
    (huggingface/trl#4501); the record has each step's own."""
    trainer = trainer_of(logging_steps=3)
    calls = []

    def sparse(completions: list[str], **columns: Any) -> list[float | None]:
        calls.append(len(completions))
        return [None if len(calls) == 2 else 1.0 for _ in completions]

    trainer.reward_funcs[1] = sparse
    steps = trained(trainer, tmp_path / "run").steps()
    assert len(logged(trainer, "reward")) == 1
    assert steps["rewards/short"].isna().tolist() == [False, True, False]
    assert steps["reward"].notna().all()


def test_what_nothing_scores_is_recorded_as_trl_has_it(trainer_of: Make, tmp_path: Path) -> None:
    trainer = trainer_of(one=True, max_steps=1)

    def half(completions: list[str], **columns: Any) -> list[float | None]:
        return [None, 1.0, 0.0, None]

    trainer.reward_funcs[0] = half
    run = trained(trainer, tmp_path / "run")
    samples = run.samples(1)
    assert samples["reward"].isna().tolist() == [True, False, False, True]
    assert (samples["advantage"] == 0).tolist() == [True, False, False, True]
    assert samples["advantage"].sum() == pytest.approx(0, abs=1e-5)


# ----------------------------------------------------------------------------------------- knobs


class MoveAt:
    """A reward that moves knobs while TRL trains, as a person would."""

    def __init__(self, session: Any, call: int, **knobs: Any) -> None:
        self.session, self.call, self.knobs = session, call, knobs

    def __call__(self, *args: Any) -> None:
        self.call -= 1
        if self.call == 0:
            self.session.set(**self.knobs)


def moved(trainer: Any, folder: Path, **knobs: Any) -> Any:
    session = watched(trainer, folder)
    move = MoveAt(session, 2, **knobs)
    original = session._recording.rewarding
    session._recording.rewarding = lambda: (move(), original())
    trainer.train()
    return session


def test_knobs_reach_trl_and_the_record(trainer_of: Make, tmp_path: Path) -> None:
    """Asked for in the second rollout, in force from the third."""
    trainer = trainer_of(max_steps=4, lr_scheduler_type="linear")
    before = logged_rates(trainer_of(max_steps=4, lr_scheduler_type="linear"))
    session = moved(
        trainer,
        tmp_path / "run",
        beta=0.7,
        epsilon=0.05,
        epsilon_high=0.4,
        temperature=0.5,
        learning_rate=1e-3,
    )
    assert (trainer.beta, trainer.epsilon_low, trainer.epsilon_high) == (0.7, 0.05, 0.4)
    assert trainer.generation_config.temperature == 0.5
    rates = logged(trainer, "learning_rate")
    assert rates[:2] == before[:2]
    np.testing.assert_allclose(rates[2:], [rate / 10 for rate in before[2:]], rtol=1e-9)
    knobs = session.run.knobs()
    assert set(knobs["step"]) == {3}
    assert dict(zip(knobs["name"], knobs["new"], strict=True))["beta"] == 0.7
    # The loss is made with them: TRL's own figure is that of our formula with the new beta.
    steps = session.run.steps()
    assert steps["kl"].iloc[3] > 0
    np.testing.assert_allclose(steps["kl"], logged(trainer, "kl"), rtol=1e-3, atol=1e-7)


def logged_rates(trainer: Any) -> list[float]:
    trainer.train()
    return logged(trainer, "learning_rate")


def test_a_rate_of_0_lets_the_weights_stand(trainer_of: Make, tmp_path: Path) -> None:
    steady = {"lr_scheduler_type": "constant"}
    two_steps = outcome(trainer_of(max_steps=2, **steady))[0]
    trainer = trainer_of(max_steps=4, **steady)
    torch.manual_seed(7)
    moved(trainer, tmp_path / "run", learning_rate=0.0)
    assert all(torch.equal(two_steps[n], v) for n, v in trainer.model.state_dict().items())


def test_beta_changes_the_weights(trainer_of: Make, tmp_path: Path) -> None:
    alone = outcome(trainer_of(max_steps=4))[0]
    trainer = trainer_of(max_steps=4)
    torch.manual_seed(7)
    moved(trainer, tmp_path / "run", beta=5.0)
    assert any(not torch.equal(alone[n], v) for n, v in trainer.model.state_dict().items())


def test_the_loss_is_scored_at_the_new_temperature(trainer_of: Make, tmp_path: Path) -> None:
    """Entropies under a temperature of 0.05 are near 0."""
    trainer = trainer_of(max_steps=4)
    session = moved(trainer, tmp_path / "run", temperature=0.1)
    entropies = session.run.steps()["entropy"]
    assert entropies.iloc[3] < entropies.iloc[1] - 0.05


def test_what_cannot_be_moved_is_said(trainer_of: Make, tmp_path: Path) -> None:
    session = watched(trainer_of(beta=0.0), tmp_path / "run")
    with pytest.raises(WatchError, match="top_p is fixed while TRL trains"):
        session.set(top_p=0.5)
    with pytest.raises(WatchError, match="made no reference, because beta was 0"):
        session.set(beta=0.1)
    with pytest.raises(ConfigError, match="epsilon"):
        session.set(epsilon=-1.0)
    for call in (session.start, session.step, lambda: session.rewind(1)):
        with pytest.raises(WatchError):
            call()
    assert session.pending == {}


# ------------------------------------------------------------------------------------- its life


def test_an_untested_version_is_refused(
    trainer_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl

    trainer = trainer_of()
    monkeypatch.setattr(trl, "__version__", "1.17.0")
    with pytest.raises(WatchError, match=r"TRL 1.17.0 is installed.* force=True"):
        watched(trainer, tmp_path / "run")
    watched(trainer, tmp_path / "run", force=True)
    with pytest.raises(WatchError, match="watched already"):
        watched(trainer, tmp_path / "other", force=True)
    with pytest.raises(WatchError, match="give a TRL GRPOTrainer"):
        watched(object())


def test_a_failure_of_ours_ends_the_recording_alone(trainer_of: Make, tmp_path: Path) -> None:
    alone = outcome(trainer_of())
    trainer = trainer_of()
    session = watched(trainer, tmp_path / "run")

    def broken(record: Any) -> None:
        raise OSError("no space left")

    session._recording.writer.write_step = broken
    with pytest.warns(UserWarning, match="watching ended, TRL goes on: OSError: no space left"):
        seen = outcome(trainer)
    assert all(torch.equal(alone[0][name], seen[0][name]) for name in alone[0])
    assert not session.recording


def test_an_error_of_trls_is_in_the_record(trainer_of: Make, tmp_path: Path) -> None:
    trainer = trainer_of()
    session = watched(trainer, tmp_path / "run")

    def broken(completions: list[str], **columns: Any) -> list[float]:
        raise KeyError("gold")

    trainer.reward_funcs[0] = broken
    with pytest.raises(KeyError, match="gold"):
        trainer.train()
    assert session.status == "failed"
    assert "gold" in Run.open(tmp_path / "run").meta.reason


def test_stop_ends_trl_after_the_update(trainer_of: Make, tmp_path: Path) -> None:
    trainer = trainer_of(max_steps=10)
    session = watched(trainer, tmp_path / "run")
    session.subscribe(lambda: session.stop() if session.step_number == 2 else None)
    trainer.train()
    assert session.status == "stopped"
    assert trainer.state.global_step in (2, 3)


def test_left_alone_the_trainer_is_as_it_was(trainer_of: Make, tmp_path: Path) -> None:
    trainer = trainer_of()
    own = set(trainer.__dict__)
    session = watched(trainer, tmp_path / "run")
    session.leave()
    assert set(trainer.__dict__) == own
    trainer.train()


# ----------------------------------------------------------------------------------- as it is seen


def test_the_dashboard_shows_it_live_and_afterwards(trainer_of: Make, tmp_path: Path) -> None:
    trainer = trainer_of(num_iterations=2, max_steps=6)
    dashboard = watch(trainer, tmp_path / "run")
    session = dashboard.session
    seen = []
    session.subscribe(lambda: (dashboard.redraw(), seen.append(dashboard.sources[0].last_step)))
    trainer.train()
    assert {1, 2, 3} <= set(seen)
    assert dashboard.error.value == ""
    assert session.status == "finished"
    for place, view in enumerate(dashboard.views):
        dashboard.tabs.selected_index = place
        dashboard.redraw(force=True)
        assert dashboard.error.value == "", view.title
    dashboard.close()
    from workbench.widgets.dashboard import Dashboard

    stored = Dashboard(tmp_path / "run")
    for place, view in enumerate(stored.views):
        stored.tabs.selected_index = place
        stored.redraw(force=True)
        assert stored.error.value == "", view.title
    stored.close()
    assert isinstance(diagnose(Run.open(tmp_path / "run")), object)


def test_what_if_finds_trls_advantages_and_clips(trainer_of: Make, tmp_path: Path) -> None:
    from workbench.widgets.what_if.comparison import outcome as computed
    from workbench.widgets.what_if.kept_batch import KeptBatch

    trainer = trainer_of(num_iterations=2, max_steps=2, learning_rate=0.2, epsilon=0.01, one=True)
    kept = KeptBatch.of(trained(trainer, tmp_path / "run").batch(1))
    # Made again from the rewards, by our rule.
    again = kept.advantages(kept.config.replace(advantage_std="population"))
    assert not torch.allclose(again.float(), kept.batch.advantages.float())
    assert int((computed(kept, kept.config).clipped_BT != 0).sum()) > 0


def test_the_controls_offer_what_trl_honours(trainer_of: Make, tmp_path: Path) -> None:
    dashboard = watch(trainer_of(), tmp_path / "run")
    controls = dashboard.controls
    assert not controls.rows["beta"].box.disabled
    controls.knobs.all.value = True
    assert controls.rows["max_grad_norm"].box.disabled
    off = {name for name, button in controls.buttons.items() if button.disabled}
    assert {"start", "pause", "step", "branch", "rewind"} <= off
    controls.rows["beta"].box.value = 0.5
    assert dashboard.session.pending == {"beta": 0.5}
    dashboard.close()
