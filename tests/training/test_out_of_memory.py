"""Memory that runs out: one clear error from every phase, nothing half done, and nothing held
afterwards."""

from __future__ import annotations

import gc
import warnings
import weakref
from pathlib import Path

import pytest
import torch
from helpers import digits_reward, same_weights, weights_of

from workbench.config import ConfigWarning, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.plan import device_named, plan, shape_of
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run
from workbench.training.out_of_memory import OutOfMemoryError, explain_out_of_memory
from workbench.training.session import Session, SessionError

CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 14.56 GiB"
)
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000000 bytes. Error code 12"
)
PLACES = {
    "rollout": ("engine.generate", "num_generations=4 or max_completion_length=8"),
    "reward": ("score", "Let them need less"),
    "logprobs": ("add_old_and_reference", "micro_batch_size=4"),
    "update": (
        "workbench.training.trainer.accumulate_gradient",
        "micro_batch_size=4.*gradient_checkpointing=True",
    ),
    "record": ("refresh_reference", "prompts_per_step=4"),
}


def fails(error: BaseException):
    def fail(*args, **options):
        raise error

    return fail


def break_at(monkeypatch: pytest.MonkeyPatch, trainer, phase: str, error: BaseException) -> None:
    target = PLACES[phase][0]
    monkeypatch.setattr(target, fails(error)) if target.startswith(
        "workbench."
    ) else monkeypatch.setattr(
        trainer.engine if "." in target else trainer, target.split(".")[-1], fails(error)
    )


@pytest.mark.parametrize("error", [CUDA, CPU, MemoryError()], ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize("phase", PLACES)
def test_each_phase_says_what_was_done_and_what_to_change(
    make_trainer, monkeypatch: pytest.MonkeyPatch, phase: str, error: BaseException
) -> None:
    trainer = make_trainer()
    trainer.step()
    before = weights_of(trainer)
    with monkeypatch.context() as patch:
        break_at(patch, trainer, phase, error)
        with pytest.raises(
            OutOfMemoryError,
            match=rf"in the phase '{phase}'.*{PLACES[phase][1]}.*workbench plan --policy",
        ) as caught:
            trainer.step()
    assert isinstance(caught.value, WorkbenchError)
    assert isinstance(caught.value, MemoryError)
    assert caught.value.__cause__ is error
    assert "step 2" in caught.value.__notes__[0]
    assert "\n" not in str(caught.value)
    assert trainer.dirty == (phase == "record")
    if phase != "record":  # nothing was updated: the step can be made again
        assert same_weights(before, weights_of(trainer))
        assert trainer.step().step == 2


def test_an_update_that_ran_out_leaves_a_checkpoint_as_the_only_way_back(
    make_trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    monkeypatch.setattr(trainer.optimizer, "step", fails(CUDA))
    with pytest.raises(OutOfMemoryError, match="phase 'update'"):
        trainer.step()
    assert trainer.dirty
    with pytest.raises(RuntimeError, match="broken off after an update"):
        trainer.step()


def test_a_real_allocation_that_cannot_be_made_is_seen(make_trainer) -> None:
    def hungry(*args, **options):
        torch.empty(2**58, dtype=torch.uint8)

    trainer = make_trainer()
    trainer.add_old_and_reference = hungry
    with pytest.raises(
        OutOfMemoryError,
        match=r"phase 'logprobs'.*\(DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 288230376151711744 bytes",
    ):
        trainer.step()


def test_other_errors_stay_as_they_are(make_trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    monkeypatch.setattr(trainer.engine, "generate", fails(RuntimeError("shapes do not fit")))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trainer.step()


ADAPTER = dict(lora_rank=4, gradient_checkpointing=True, optim="adamw_8bit")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(micro_batch_size=1), r"Lower prompts_per_step=4.*gradient_checkpointing=True"),
        (
            dict(micro_batch_size=6, gradient_checkpointing=True),
            r"Set micro_batch_size=3.*lora_rank=16.*adamw_8bit",
        ),
        (ADAPTER, r"Set micro_batch_size=8.*A new run with quantization='nf4' needs less"),
        (ADAPTER | dict(quantization="nf4"), r"resumed with it\. What a run needs"),
    ],
)
def test_what_is_set_already_is_not_advised(changes: dict, says: str) -> None:
    config = GRPOConfig(
        **(dict(updates_per_rollout=1, num_generations=4, prompts_per_step=4) | changes)
    )
    with (
        pytest.raises(OutOfMemoryError, match=says),
        explain_out_of_memory("update", config, "embedded"),
    ):
        raise CUDA


def make_run(tiny_folder: Path, out: Path, **changes):
    config = GRPOConfig(
        prompts_per_step=4,
        num_generations=4,
        updates_per_rollout=2,
        max_completion_length=8,
        max_steps=2,
        num_eval_problems=8,
        **changes,
    )
    return start_run(
        out,
        policy=load_policy(tiny_folder),
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(digits_reward),
        config=config,
    )


@pytest.mark.parametrize("before", ["nothing", "a folder with a file", "a folder of checkpoints"])
def test_a_first_evaluation_that_fails_leaves_no_run_behind(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    out = tmp_path / "runs" / "mine"
    kept = {
        "nothing": None,
        "a folder with a file": out / "notes.txt",
        "a folder of checkpoints": out / "checkpoints" / "notes.txt",
    }[before]
    if kept is not None:
        kept.parent.mkdir(parents=True)
        kept.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.trainer.greedy_accuracy", fails(CUDA))
        with pytest.raises(
            OutOfMemoryError, match="phase 'evaluation': held-out problems.*prompts_per_step=4"
        ):
            make_run(tiny_folder, out)
    left = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()]
    assert left == ([] if kept is None else [str(kept.relative_to(tmp_path))])
    assert out.exists() == (kept is not None)
    assert (tmp_path / "runs").exists() == (kept is not None)
    make_run(tiny_folder, out).step()


def test_a_record_that_was_there_is_not_removed_by_a_first_evaluation_that_fails(
    make_trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    make_trainer().run.close()
    shutil.rmtree(tmp_path / "run/checkpoints")
    with monkeypatch.context() as patch:
        patch.setattr("workbench.training.trainer.greedy_accuracy", fails(CUDA))
        with pytest.raises(OutOfMemoryError):
            make_trainer(resume=True)
    assert Run.open(tmp_path / "run").last_step() == 0


# ----------------------------------------------------------------------------------- afterwards


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("branch", [True, False])
def test_free_gives_the_model_back_after_an_error(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool, branch: bool
) -> None:
    config = GRPOConfig(
        prompts_per_step=4,
        num_generations=4,
        updates_per_rollout=2,
        max_completion_length=8,
        max_steps=4,
        num_eval_problems=8,
        save_steps=9,
    )
    session = Session(
        load_policy(tiny_folder),
        arithmetic_task(0, 64, 16),
        RewardSet(digits_reward),
        config,
        out=tmp_path / "run",
    )
    if branch:
        session.step(2).wait(60)
    with monkeypatch.context() as patch:
        patch.setattr(
            "workbench.training.trainer.accumulate_gradient",
            fails(torch.OutOfMemoryError("CUDA out of memory.")),
        )
        child = session.branch("other", from_step=1) if branch else session.start()
        if waits:
            with pytest.raises(
                SessionError, match="OutOfMemoryError: out of memory in the phase 'update'"
            ) as kept:
                child.wait(60)
        else:
            child._runner.worker.wait()
            kept = child.error
            assert isinstance(kept, OutOfMemoryError)
    model = weakref.ref(child.trainer.policy.model)
    child.free()
    session.free()
    gc.collect()
    assert model() is None, f"held by {kept}"
    text = "".join(child.run.events().data.astype(str))
    assert "accumulate_gradient" in text, "the record keeps the lines"


# ----------------------------------------------------------------------------------- beforehand


def test_a_gpu_that_is_too_small_is_warned_of_with_the_figure(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training.out_of_memory.gpu_memory", lambda policy: 2**20)
    with pytest.warns(
        ConfigWarning,
        match=r"needs 0\.[5-9] GiB at its peak, cpu has 0\.0 GiB.*micro_batch_size.*workbench plan",
    ) as seen:
        make_run(tiny_folder, tmp_path / "run").step()
    assert [Path(w.filename).name for w in seen if "at its peak" in str(w.message)] == [
        "test_out_of_memory.py"
    ]


def test_a_gpu_with_room_and_a_cpu_are_not_warned_of(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConfigWarning)
        make_run(tiny_folder, tmp_path / "cpu")
        monkeypatch.setattr("workbench.training.out_of_memory.gpu_memory", lambda policy: 2**34)
        make_run(tiny_folder, tmp_path / "run")


def test_a_plan_that_cannot_be_made_does_not_stop_a_run(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training.out_of_memory.gpu_memory", lambda policy: 2**20)
    monkeypatch.setattr("workbench.training.out_of_memory.planned_bytes", fails(KeyError("heads")))
    with pytest.warns(ConfigWarning, match="could not be planned: KeyError: 'heads'"):
        make_run(tiny_folder, tmp_path / "run").step()


@pytest.mark.parametrize(
    "loaded", [dict(lora=4), dict(lora=4, quantization="nf4")], ids=["lora", "nf4"]
)
def test_the_policy_as_it_was_loaded_is_planned(tiny_folder: Path, loaded: dict) -> None:
    from workbench.training.out_of_memory import planned_bytes

    config = GRPOConfig(num_eval_problems=8, max_prompt_length=32)
    policy = load_policy(tiny_folder, **loaded)
    own = config.replace(lora_rank=4, quantization=loaded.get("quantization", "none"))
    assert (
        planned_bytes(policy, config, 2**34)
        == plan(own, shape_of(tiny_folder), device_named("16GB"), advice=False).peak
    )


@pytest.mark.parametrize(
    "changes",
    [dict(lora_rank=16, quantization="nf4"), dict(lora_rank=16), dict()],
    ids=["nf4", "lora", "all weights"],
)
def test_the_preset_for_real_models_fits_a_t4_with_a_tenth_free(changes: dict) -> None:
    config = GRPOConfig.preset("real", **changes)
    made = plan(config, shape_of("Qwen/Qwen2.5-0.5B-Instruct"), device_named("T4"), advice=False)
    assert config.max_prompt_length == 512
    assert made.margin > 0.1 * made.device.memory, made
