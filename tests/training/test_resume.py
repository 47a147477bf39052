"""Checkpoints: N steps are k steps, a resume and N - k steps, bit for bit; damaged checkpoints are
refused by name."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import same_weights, weights_of

from workbench.config import ConfigError
from workbench.policy.policy import PolicyError
from workbench.runs import Run, RunRecordError
from workbench.training import checkpoints, start_run
from workbench.training.checkpoints import Checkpoint, CheckpointError

SETTINGS = {
    "default": dict(),
    "two passes, refreshed reference": dict(
        num_iterations=2,
        beta=0.1,
        sync_ref_model=True,
        ref_model_sync_steps=2,
        ref_model_mixup_alpha=0.3,
    ),
    "no reference": dict(beta=0.0),
    "adapter": dict(lora_rank=4, beta=0.1),
    "schedule, decay": dict(lr_scheduler_type="cosine", warmup_steps=2, weight_decay=0.1),
    # Around the policy's own entropy, so that the coefficient goes up and down.
    "adapting entropy bonus": dict(
        use_adaptive_entropy=True, entropy_coef=0.02, entropy_target=2.2, beta=0.0
    ),
    "transformers engine": dict(rollout_engine="transformers"),
}


def comparable(run: Run) -> pd.DataFrame:
    """The metrics of every step, without clocks."""
    steps = run.steps()
    return steps[[c for c in steps.columns if not c.startswith("seconds") and c != "time"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_run_is_the_uninterrupted_run(make_trainer, tmp_path: Path, name: str) -> None:
    whole = make_trainer("whole", **SETTINGS[name])
    whole.train()
    make_trainer("cut", **SETTINGS[name]).train(3)
    resumed = make_trainer("cut", resume=True, **SETTINGS[name])
    assert resumed.steps_done == 3
    resumed.train()
    assert same_weights(weights_of(whole), weights_of(resumed))
    a, b = Run.open(tmp_path / "whole"), Run.open(tmp_path / "cut")
    pd.testing.assert_frame_equal(comparable(a), comparable(b))
    assert a.samples(6).completion.tolist() == b.samples(6).completion.tolist()


def test_knobs_survive_a_resume(make_trainer) -> None:
    def steer(trainer, until: int) -> None:
        while trainer.steps_done < until:
            if trainer.steps_done == 1:
                trainer.knobs.set(beta=0.3, temperature=0.8)
            trainer.step()

    whole, cut = make_trainer("whole"), make_trainer("cut")
    steer(whole, 6)
    steer(cut, 4)
    cut.run.close()
    resumed = make_trainer("cut", resume=True)
    assert resumed.config.beta == 0.3
    steer(resumed, 6)
    assert same_weights(weights_of(whole), weights_of(resumed))


def test_steps_after_the_checkpoint_are_made_again_once(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer(save_steps=2)
    for _ in range(3):
        trainer.step()
    assert checkpoints.steps_in(tmp_path / "run/checkpoints") == [0, 2]
    assert Run.open(tmp_path / "run").last_step() == 3
    trainer.run.close()
    resumed = make_trainer(save_steps=2, resume=True)
    assert resumed.steps_done == 2
    resumed.train()
    assert list(Run.open(tmp_path / "run").steps().step) == [1, 2, 3, 4, 5, 6]


MANIFESTS = [
    "[1,2]",
    "3",
    "{}",
    "",
    "[" * 100_000,
    '{"step": 2, "sha256": [1]}',
    '{"step": 2, "sha256": {}}',
    '{"step": 2, "sha256": {"state.json": 1, "weights.safetensors": 2}}',
    '{"step": 1, "sha256": {"state.json": "a", "weights.safetensors": "b"}}',
    '{"step": 2, "sha256": {"state.json": "a", "weights.safetensors": "b", "../x": "c"}}',
]


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_of_another_shape_is_named_and_the_checkpoint_before_used(
    tmp_path: Path, manifest: str
) -> None:
    for step in (1, 2):
        weights = {"weights": {"w": torch.ones(2) * step}}
        checkpoints.save(tmp_path, checkpoints.Checkpoint(step, weights, {"a": step}))
    (tmp_path / "step-000002" / "manifest.json").write_text(manifest)
    with pytest.warns(UserWarning, match="step-000002: manifest.json cannot be read"):
        assert checkpoints.load_latest(tmp_path).step == 1


def test_a_state_and_tensors_that_match_their_hash_and_are_none_are_refused(
    tmp_path: Path,
) -> None:
    for file, content in (("state.json", b"[1]"), ("weights.safetensors", b"no tensors")):
        for step in (1, 2):
            weights = {"weights": {"w": torch.ones(2) * step}}
            checkpoints.save(tmp_path, checkpoints.Checkpoint(step, weights, {"a": step}))
        folder = tmp_path / "step-000002"
        (folder / file).write_bytes(content)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["sha256"][file] = hashlib.sha256(content).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.warns(UserWarning, match="step-000002: .* cannot be read"):
            assert checkpoints.load_latest(tmp_path).step == 1


@pytest.mark.parametrize("harm", ["cut short", "altered", "missing", "no manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    make_trainer, tmp_path: Path, harm: str
) -> None:
    trainer = make_trainer(save_steps=2)
    trainer.train()
    whole = weights_of(trainer)
    trainer.run.close()
    file = (
        tmp_path
        / "run/checkpoints/step-000006"
        / ("manifest.json" if harm == "no manifest" else "weights.safetensors")
    )
    if harm in ("missing", "no manifest"):
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        file.write_bytes(data[:-100] if harm == "cut short" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.warns(UserWarning, match="step-000006.*(missing|damaged|cannot be read)"):
        resumed = make_trainer(save_steps=2, resume=True)
    assert resumed.steps_done == 4
    resumed.train()
    assert same_weights(whole, weights_of(resumed))


def test_when_all_are_damaged_nothing_is_overwritten(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer.train()
    trainer.run.close()
    for folder in (tmp_path / "run/checkpoints").iterdir():
        (folder / "state.json").write_text("{}")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(CheckpointError, match="every checkpoint is damaged"),
    ):
        make_trainer(resume=True)
    assert Run.open(tmp_path / "run").last_step() == 6


def test_an_unfinished_checkpoint_does_not_count(tmp_path: Path) -> None:
    whole = Checkpoint(2, {"weights": {"w": torch.ones(3)}}, {"cursor": 1})
    checkpoints.save(tmp_path, whole)
    (tmp_path / ".writing-step-000004").mkdir()
    assert checkpoints.load_latest(tmp_path).step == 2
    assert json.loads((tmp_path / "step-000002/manifest.json").read_text())["step"] == 2


def test_old_checkpoints_go_and_the_first_stays(make_trainer, tmp_path: Path) -> None:
    make_trainer(save_steps=1, save_total_limit=2).train()
    assert checkpoints.steps_in(tmp_path / "run/checkpoints") == [0, 5, 6]


def test_a_run_is_not_started_over_another(make_trainer) -> None:
    make_trainer()
    with pytest.raises(RunRecordError):
        make_trainer()


def test_resuming_with_another_seed_is_refused(make_trainer) -> None:
    make_trainer().train(2)
    with pytest.raises(ConfigError, match="num_generations=8 differs"):
        make_trainer(num_generations=8, resume=True)


def test_resuming_may_extend_the_run_and_turn_knobs(make_trainer, tmp_path: Path) -> None:
    make_trainer().train()
    resumed = make_trainer(resume=True, max_steps=8, beta=0.2)
    resumed.train()
    assert resumed.steps_done == 8
    assert list(Run.open(tmp_path / "run").knobs().who) == ["resume"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_policy_that_does_not_belong_to_a_run_leaves_its_record_alone(
    make_trainer, tmp_path: Path, finished: bool
) -> None:
    from workbench.policy import load_policy

    first = make_trainer(save_steps=4)
    first.train() if finished else [first.step() for _ in range(3)]
    first.run.close()
    before = Run.open(tmp_path / "run")
    status, steps = before.meta.status, before.steps().step.tolist()
    with (
        pytest.warns(UserWarning, match="goes on with 'embedded'"),
        pytest.raises(PolicyError, match="policy 'embedded'.*that the run was started with"),
    ):
        start_run(
            tmp_path / "run",
            policy=load_policy("embedded"),
            task=first.task,
            rewards=first.rewards,
            config=first.config,
            resume=True,
        )
    after = Run.open(tmp_path / "run")
    assert (after.meta.status, after.steps().step.tolist()) == (status, steps)
    assert after.events().kind.tolist() == before.events().kind.tolist()


def test_settings_that_change_no_result_may_differ_in_a_resumed_run(
    make_trainer, tiny_folder: Path, tmp_path: Path
) -> None:
    from workbench.policy import load_policy

    whole = make_trainer("whole")
    whole.train()
    first = make_trainer()
    first.train(3)
    config = first.config.replace(
        gradient_checkpointing=True,
        vllm_server_base_url="http://localhost:1",
        vllm_gpu_memory_utilization=0.5,
        vllm_enable_sleep_mode=True,
        micro_batch_size=4,
    )
    resumed = start_run(
        tmp_path / "run",
        policy=load_policy(tiny_folder, config=config),
        task=first.task,
        rewards=first.rewards,
        config=config,
        resume=True,
    )
    assert resumed.config == config
    resumed.train()
    for name, tensor in weights_of(whole).items():
        torch.testing.assert_close(weights_of(resumed)[name], tensor, rtol=1e-4, atol=1e-5)


def test_another_policys_weights_are_refused(make_trainer) -> None:
    make_trainer().train(2)
    other = make_trainer("other", lora_rank=4)
    with pytest.raises(ValueError, match="do not belong to policy"):
        other.policy.load_trainable_state({"nothing": torch.ones(1)})


@pytest.mark.parametrize("moment", ["before the new one stands", "before the old one is gone"])
def test_a_kill_while_a_checkpoint_is_replaced_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    checkpoints.save(tmp_path, Checkpoint(2, {"weights": {"w": torch.zeros(3)}}, {"cursor": 1}))
    renames, rename = [], os.replace

    def killed_rename(*paths) -> None:
        renames.append(paths)
        if len(renames) == 2 and moment == "before the new one stands":
            raise SystemExit
        rename(*paths)

    def killed_delete(path, *args, **options) -> None:
        if Path(path).exists():
            (Path(path) / "manifest.json").unlink()
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.whole_folder.os.replace", killed_rename)
        patch.setattr("workbench.runs.whole_folder.shutil.rmtree", killed_delete)
        with pytest.raises(SystemExit):
            checkpoints.save(
                tmp_path, Checkpoint(2, {"weights": {"w": torch.ones(3)}}, {"cursor": 1})
            )
    loaded = checkpoints.load_latest(tmp_path)
    assert loaded is not None
    assert loaded.tensors["weights"]["w"].unique().tolist() in ([0.0], [1.0])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".replaced")] == []


def test_a_kill_while_an_old_checkpoint_is_deleted_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (0, 1, 2):
        checkpoints.save(tmp_path, Checkpoint(step, {"weights": {"w": torch.zeros(3)}}, {}))
    with monkeypatch.context() as patch:
        patch.setattr(
            "workbench.runs.whole_folder.shutil.rmtree",
            lambda path, *args, **options: (Path(path) / "manifest.json").unlink(missing_ok=True),
        )
        checkpoints.prune(tmp_path, 1)
    assert checkpoints.steps_in(tmp_path) == [0, 2]


def test_a_damaged_checkpoint_does_not_count_as_the_newest_to_keep(
    make_trainer, tmp_path: Path
) -> None:
    make_trainer(save_steps=1, save_total_limit=1).train()
    folder = tmp_path / "run/checkpoints"
    checkpoints.save(folder, Checkpoint(5, *vars_of(checkpoints.load(folder, 6))))
    (folder / "step-000006/state.json").write_text("{}")
    with pytest.warns(UserWarning, match="damaged"):
        resumed = make_trainer(save_steps=1, save_total_limit=1, resume=True)
    assert resumed.steps_done == 5
    assert checkpoints.steps_in(folder) == [0, 5]


def vars_of(checkpoint: Checkpoint) -> tuple[dict, dict]:
    """All but the mark of the step that it was made after: these are put under another step."""
    state = {name: v for name, v in checkpoint.state.items() if name != checkpoints.MARK}
    return checkpoint.tensors, state


def test_a_knob_that_moved_after_the_checkpoint_is_not_lost(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer(save_steps=100)
    trainer.step()
    trainer.knobs.set(beta=0.3)
    trainer.step()
    trainer.run.close()
    resumed = make_trainer(save_steps=100, resume=True)
    assert (resumed.steps_done, resumed.knobs.pending) == (0, {"beta": 0.3})
    resumed.step()
    assert resumed.config.beta == 0.3
    assert Run.open(tmp_path / "run").knobs().new.tolist() == [0.3]


def test_another_task_or_other_rewards_are_refused_and_another_policy_is_warned_of(
    make_trainer, tmp_path: Path
) -> None:
    first = make_trainer()
    first.run.close()
    options = dict(
        policy=first.policy,
        task=first.task,
        rewards=first.rewards,
        config=first.config,
        resume=True,
    )
    with pytest.raises(ConfigError, match="task: arithmetic. It cannot be resumed with: other"):
        start_run(tmp_path / "run", **(options | {"task": replace(first.task, name="other")}))
    with pytest.raises(
        ConfigError, match="rewards: digits_reward. It cannot be resumed with: format"
    ):
        start_run(tmp_path / "run", **(options | {"rewards": ["format"]}))
    with pytest.warns(UserWarning, match="goes on with 'elsewhere'"):
        start_run(
            tmp_path / "run", **(options | {"policy": replace(first.policy, source="elsewhere")})
        )


def test_checkpoints_without_their_record_are_not_mixed_into_a_new_run(
    make_trainer, tmp_path: Path
) -> None:
    make_trainer().run.close()
    (tmp_path / "run/run.sqlite").unlink()
    with pytest.raises(CheckpointError, match="record is gone"):
        make_trainer()
    assert not (tmp_path / "run/run.sqlite").exists()


def test_a_file_is_no_folder_for_a_run(make_trainer, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("my notes")
    with pytest.raises(ConfigError, match="is a file"):
        make_trainer()
    assert (tmp_path / "run").read_text() == "my notes"
