"""A sampler that lags by some steps on purpose."""

from __future__ import annotations

import pytest
import torch
from helpers import same_weights, weights_of

from workbench.config import ConfigError, ConfigWarning, GRPOConfig
from workbench.doctor import diagnose
from workbench.faults import FaultError, make_fault
from workbench.methods import loss_mask
from workbench.policy.logprobs import logps_in_parts
from workbench.policy.past_weights import FILE
from workbench.runs import Run
from workbench.training import checkpoints

LAG = dict(
    rollout_staleness=2,
    importance_sampling_mode="token_truncate",
    learning_rate=1e-2,
    save_steps=1,
    save_total_limit=20,
)


def test_the_sampler_has_the_weights_of_so_many_steps_ago(make_trainer, monkeypatch) -> None:
    trainer = make_trainer(**LAG)
    seen = []
    batch_of = type(trainer).batch_of
    monkeypatch.setattr(
        type(trainer),
        "batch_of",
        lambda self, rollout, *args: (seen.append(rollout), batch_of(self, rollout, *args))[1],
    )
    before = [weights_of(trainer)]
    for _ in range(4):
        trainer.step()
        before.append(weights_of(trainer))
    for step, rollout in enumerate(seen):
        sampler = before[max(0, step - 2)]
        for weights, is_it in ((sampler, True), (before[step], step == 0)):
            trainer.policy.load_trainable_state(weights)
            with torch.no_grad():
                logp_BT = logps_in_parts(trainer.policy.model, rollout, trainer.config)
            mask_BT = loss_mask(rollout, trainer.config)
            apart = (logp_BT - rollout.sampler_logp_BT)[mask_BT].abs().max()
            assert bool(apart < 1e-4) == is_it, f"step {step + 1}"


def test_the_lag_survives_a_stop(make_trainer) -> None:
    whole = make_trainer("whole", **LAG)
    whole.train(5)
    first = make_trainer("cut", **LAG)
    first.train(3)
    first.run.close()
    again = make_trainer("cut", resume=True, **LAG)
    again.train(2)
    assert same_weights(weights_of(whole), weights_of(again))
    kept = checkpoints.load(again.folder, 5).tensors[FILE]
    assert {key.split("/")[0] for key in kept} == {"4", "5"}


def test_a_rewind_goes_back_to_the_lag_of_then(make_session) -> None:
    session = make_session(**LAG)
    session.step(5).wait(60)
    before, weights = session.run.steps().loss.tolist(), weights_of(session.trainer)
    session.rewind(2).wait(60)
    session.step(3).wait(60)
    assert session.run.steps().loss.tolist() == before
    assert same_weights(weights, weights_of(session.trainer))


def test_a_step_that_fails_keeps_its_weights_once(make_trainer) -> None:
    trainer = make_trainer(**LAG)
    trainer.step()
    trainer.past.keep(2)
    trainer.step()
    assert [step for step, _ in trainer.past._kept] == [1, 2]


def test_without_a_lag_nothing_is_kept(make_trainer) -> None:
    trainer = make_trainer(save_steps=1)
    trainer.train(2)
    assert FILE not in checkpoints.load(trainer.folder, 2).tensors


def test_the_correction_acts_and_the_doctor_tells(make_trainer, tmp_path) -> None:
    plain = LAG | dict(importance_sampling_mode=None)
    with pytest.warns(ConfigWarning, match="is measured and not corrected"):
        without = make_trainer("without", **plain)
    corrected = make_trainer("with", **LAG)
    for trainer in (without, corrected):
        trainer.train(6)
    assert not same_weights(weights_of(without), weights_of(corrected))
    for out, severity in (("without", "warning"), ("with", "note")):
        run = Run.open(tmp_path / out)
        assert run.steps().sampler_logp_difference.iloc[-1] > 1e-3
        found = {finding.key: finding.severity for finding in diagnose(run)}
        assert found["sampler_lags"] == severity
        assert not {"sampler_stale", "sampler_mismatch", "sampler_ahead"} & found.keys()


def test_what_cannot_lag_is_refused() -> None:
    lag = dict(rollout_staleness=1, importance_sampling_mode="token_mask")
    with pytest.raises(ConfigError, match="keeps no older ones"):
        GRPOConfig(rollout_engine="vllm", **lag)
    with pytest.raises(ConfigError, match="no sampler can lag"):
        GRPOConfig(method="sft", rollout_staleness=1)


def test_a_fault_of_the_sampler_beside_it_is_refused() -> None:
    with pytest.raises(FaultError, match="rollout_staleness=2"):
        make_fault("stale_sampler").check(GRPOConfig(**LAG))
