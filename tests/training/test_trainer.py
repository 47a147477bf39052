"""The loop: what it computes, against a plain loop written out, and what it guards."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import digits_reward, same_weights, weights_of

from workbench.config import LOSS_TYPES, ConfigError, GRPOConfig
from workbench.errors import WorkbenchError
from workbench.methods.batch import Batch, loss_mask
from workbench.objective import rows_with_gradient, updates_of
from workbench.policy import PolicyError, load_policy
from workbench.policy.logprobs import completion_logps
from workbench.rewards import RewardError, RewardSet
from workbench.rollout.request import RolloutNotFiniteError
from workbench.runs import Run, RunRecordError
from workbench.tasks.arithmetic import arithmetic_task
from workbench.tasks.types import Problem
from workbench.training import start_run
from workbench.training.guard import NotFiniteError
from workbench.training.update import apply_gradient

BRIEF = dict(
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=2,
    max_completion_length=8,
    max_steps=2,
    num_eval_problems=8,
)


def test_it_equals_a_plain_loop_written_out(make_trainer) -> None:
    """Two steps of two updates: sampling by the engine, everything after it by hand in a dozen
    lines."""
    ours, plain = make_trainer("a", beta=0.1, epsilon=0.1), make_trainer("b", beta=0.1, epsilon=0.1)
    model, config = plain.policy.model, plain.config
    reference = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
    )

    def logps(r, rows):
        full = torch.cat([r.prompt_ids_NP[rows // 4], r.completion_ids_BT[rows]], 1)
        keep = torch.cat([r.prompt_mask_NP[rows // 4], r.mask_BT[rows]], 1).long()
        logits = model(
            full, attention_mask=keep, position_ids=(keep.cumsum(1) - 1).clamp(min=0)
        ).logits
        start = r.prompt_ids_NP.shape[1]
        return logits[:, start - 1 : -1].log_softmax(-1).gather(-1, full[:, start:, None])[..., 0]

    for number in range(2):
        ours.step()
        problems = [plain.task.train[i] for i in plain.task.draw(number * 4, 4, config.seed)]
        r = plain.sample(problems, config)
        texts = [plain.policy.decode(ids) for ids in r.completion_lists()]
        R = torch.tensor([sum(c.isdigit() for c in t) / max(len(t), 1) for t in texts]).view(4, 4)
        A = ((R - R.mean(1, keepdim=True)) / (R.std(1, keepdim=True) + 1e-4)).flatten()
        everything, m = torch.arange(16), r.mask_BT
        with torch.no_grad():
            old = logps(r, everything)
            mine = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(reference)
            ref = logps(r, everything)
            model.load_state_dict(mine)
        for rows in (everything[:8], everything[8:]):
            lp = logps(r, rows)
            ratio, a = torch.exp(lp - old[rows]), A[rows, None]
            term = -torch.min(ratio * a, ratio.clamp(0.9, 1.1) * a)
            kl = torch.exp(ref[rows] - lp) - (ref[rows] - lp) - 1
            loss = ((term + 0.1 * ratio * kl) * m[rows]).sum() / (m.sum() / 2)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    for name, value in weights_of(ours).items():
        torch.testing.assert_close(value, weights_of(plain)[name], rtol=1e-4, atol=1e-6)


LOSS_OPTIONS = {name: dict(loss_type=name) for name in LOSS_TYPES} | {
    "cispo": dict(loss_type="cispo", epsilon_high=5.0),
    "luspo": dict(loss_type="luspo", importance_sampling_level="sequence", epsilon=0.01),
    "clip_cov": dict(loss_type="clip_cov", clip_cov_ratio=0.2, clip_cov_min=0.1, clip_cov_max=50.0),
    "kl_cov": dict(loss_type="kl_cov", kl_cov_ratio=0.2, num_iterations=2),
    "prompt_mean": dict(loss_reduction="prompt_mean"),
    "entropy bonus": dict(entropy_coef=0.5),
}


@pytest.mark.parametrize("pieces", [dict(micro_batch_size=3), dict(micro_batch_tokens=90)])
@pytest.mark.parametrize("name", LOSS_OPTIONS)
def test_micro_batches_change_nothing(make_trainer, name: str, pieces: dict[str, int]) -> None:
    """Pieces of three rows, which cut the groups of four, and of 90 tokens, which hold one."""
    options = LOSS_OPTIONS[name]
    whole, cut = make_trainer("a", **options), make_trainer("b", **pieces, **options)
    a, b = whole.step(), cut.step()
    assert a.metrics["loss"] == pytest.approx(b.metrics["loss"], abs=1e-5)
    assert a.metrics["grad_norm"] == pytest.approx(b.metrics["grad_norm"], rel=1e-3)


def test_the_entropy_bonus_reaches_the_weights(make_trainer) -> None:
    """With nothing to learn from the rewards, it alone moves the policy, and opens it."""

    def trained(name: str, coef: float):
        trainer = make_trainer(
            name,
            rewards=lambda completions, **_: [1.0] * len(completions),
            beta=0.0,
            entropy_coef=coef,
            learning_rate=1e-2,
        )
        return [trainer.step().metrics for _ in range(4)]

    still = trained("still", 0.0)
    assert [step["grad_norm"] for step in still] == [0.0] * 4
    opened = trained("opened", 0.5)
    assert opened[0]["grad_norm"] > 0
    assert opened[-1]["entropy"] > opened[0]["entropy"]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_entropy_threshold_is_the_updates(make_trainer, size: int) -> None:
    """Micro-batches of one row each, with a threshold of their own, would keep other tokens."""
    # While policy and reference are one, the KL's gradient is rounding alone: with a large beta
    # Adam moves by it.
    options = dict(top_entropy_quantile=0.3, num_iterations=2, beta=0.005)
    whole = make_trainer("whole", **options)
    cut = make_trainer("cut", micro_batch_size=size, **options)
    a, b = whole.step().metrics, cut.step().metrics
    for name in ("loss", "policy_weight", "kl", "entropy", "ratio_mean", "tokens"):
        assert a[name] == pytest.approx(b[name], abs=2e-5), name
    assert a["policy_weight"] == pytest.approx(0.3, abs=0.03)
    assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_one_update_per_rollout_has_ratio_one_and_no_old_pass(make_trainer) -> None:
    trainer = make_trainer(updates_per_rollout=1)
    record = trainer.step()
    assert record.metrics["ratio_mean"] == 1.0
    assert record.metrics["clip_ratio_region"] == 0.0
    assert "old_logp" not in record.tokens.floats
    assert record.metrics["grad_norm"] > 0


def test_the_default_has_a_live_ratio(make_trainer) -> None:
    record = make_trainer(
        updates_per_rollout=2, num_iterations=2, learning_rate=1e-2, epsilon=0.01
    ).step()
    assert record.metrics["updates"] == 4
    assert record.metrics["clip_ratio_region"] > 0


def test_logps_are_the_samplers(make_trainer) -> None:
    trainer = make_trainer(temperature=0.7)
    record = trainer.step()
    assert record.metrics["sampler_logp_difference_max"] < 1e-4


def test_dead_groups_are_skipped_without_changing_the_gradient(make_trainer) -> None:
    """Half of the groups get equal rewards; skipping them (beta=0) gives the weights that
    beta=1e-30 gives."""

    def half_dead(completions, prompts, **columns) -> list[float]:
        return [(i % 3) * (i % 8 < 4) for i in range(len(completions))]

    skipping, counting = (
        make_trainer("a", rewards=half_dead, beta=0.0),
        make_trainer("b", rewards=half_dead, beta=1e-30),
    )
    a, b = skipping.step(), counting.step()
    assert a.metrics["dead_group_share"] >= 0.5
    assert a.metrics["sequences"] < b.metrics["sequences"]
    for name, value in weights_of(skipping).items():
        torch.testing.assert_close(value, weights_of(counting)[name], rtol=1e-5, atol=1e-7)


def test_truncated_completions_can_be_left_out(make_trainer) -> None:
    trainer = make_trainer(mask_truncated_completions=True)
    rollout = trainer.sample([trainer.task.train[i] for i in range(4)], trainer.config)
    mask = loss_mask(rollout, trainer.config)
    assert rollout.truncated_B.any()
    assert not mask[rollout.truncated_B].any()
    assert torch.equal(mask[~rollout.truncated_B], rollout.mask_BT[~rollout.truncated_B])
    batch = Batch(rollout, torch.ones(16), mask)
    kept = rows_with_gradient(
        batch.loss_mask_BT, batch.advantages, torch.arange(16), trainer.config
    )
    assert set(kept.tolist()) == set((~rollout.truncated_B).nonzero().flatten().tolist())


def test_the_end_token_is_inside_the_loss(make_trainer) -> None:
    trainer = make_trainer(max_completion_length=40)
    rollout = trainer.sample([trainer.task.train[i] for i in range(4)], trainer.config)
    ended = ~rollout.truncated_B
    assert ended.any()
    last = rollout.completion_ids_BT[ended, rollout.lengths_B[ended] - 1]
    assert set(last.tolist()) <= set(trainer.policy.eos_token_ids)
    logp, _ = completion_logps(trainer.policy.model, rollout, torch.arange(16), 1.0)
    assert (logp[ended, rollout.lengths_B[ended] - 1] < 0).all()


def test_updates_are_whole_groups(make_trainer) -> None:
    config = make_trainer(updates_per_rollout=2, num_iterations=3).config
    parts = updates_of(config, torch.device("cpu"))
    assert [p.tolist() for p in parts] == [list(range(8)), list(range(8, 16))] * 3


def test_a_rollout_after_an_update_differs(make_trainer) -> None:
    trainer = make_trainer(learning_rate=0.05, temperature=0.1)
    problems = [trainer.task.train[i] for i in range(4)]
    before = trainer.sample(problems, trainer.config)
    trainer.step()
    after = trainer.sample(problems, trainer.config)
    assert before.completion_lists() != after.completion_lists()


def test_lora_leaves_the_base_alone(make_trainer) -> None:
    trainer = make_trainer(lora_rank=4, beta=0.1)
    base = {n: p.clone() for n, p in trainer.policy.model.named_parameters() if not p.requires_grad}
    adapter = weights_of(trainer)
    trainer.train(2)
    assert base
    assert all(
        torch.equal(p, base[n])
        for n, p in trainer.policy.model.named_parameters()
        if not p.requires_grad
    )
    assert not same_weights(adapter, weights_of(trainer))
    assert trainer.reference.kind == "adapter"


def test_nan_weights_stop_before_an_update(make_trainer) -> None:
    trainer = make_trainer(prompts_per_step=4)
    trainer.step()
    with torch.no_grad():
        trainer.policy.model.model.norm.weight[0] = float("nan")
    before = weights_of(trainer)
    with pytest.raises(
        FloatingPointError, match="log-probability nan for token 0 of completion 0"
    ) as e:
        trainer.step()
    assert "step 2" in e.value.__notes__[0]
    assert isinstance(e.value, WorkbenchError)
    assert all(
        torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in zip(before.values(), weights_of(trainer).values(), strict=True)
    )


def test_a_bad_gradient_names_step_and_tensor(make_trainer) -> None:
    trainer = make_trainer()
    trainer.policy.model.lm_head.weight.register_hook(lambda g: g * float("inf"))
    before = weights_of(trainer)
    with pytest.raises(NotFiniteError, match=r"step 1: the gradient of .*weight") as e:
        trainer.step()
    assert "max_grad_norm" not in str(e.value), "clipping comes after"
    assert same_weights(before, weights_of(trainer))
    assert not trainer.dirty


@pytest.mark.parametrize("engine", ["native", "transformers"])
@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [("float16", "load them with dtype='float32'.*'bfloat16'"), ("float32", "weights are damaged")],
)
def test_weights_that_overflow_are_told_apart_from_a_step_too_far(
    tiny_folder: Path, tmp_path: Path, engine: str, dtype: str, remedy: str
) -> None:
    policy = load_policy(tiny_folder, lora=4, dtype=dtype)
    with torch.no_grad():
        policy.model.get_base_model().model.norm.weight[:] = float("inf")
    config = GRPOConfig(**BRIEF, lora_rank=4, dtype=dtype, rollout_engine=engine)
    with pytest.raises(RolloutNotFiniteError, match=remedy) as e:
        start_run(
            tmp_path / "run",
            policy=policy,
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet(digits_reward),
            config=config,
        )
    assert isinstance(e.value, WorkbenchError)
    assert isinstance(e.value, FloatingPointError)
    assert not (tmp_path / "run").exists()


def test_a_gradient_that_overflows_in_float16_names_the_format(
    tiny_folder: Path, tmp_path: Path
) -> None:
    trainer = start_run(
        tmp_path / "run",
        policy=load_policy(tiny_folder, lora=4, dtype="float16"),
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(digits_reward),
        config=GRPOConfig(**BRIEF, lora_rank=4, dtype="float16"),
    )
    trainer.policy.trainable_parameters()[0].register_hook(lambda g: g * float("inf"))
    with pytest.raises(NotFiniteError, match="dtype='float32'"):
        trainer.step()


def test_a_bad_reference_names_the_group(make_trainer) -> None:
    trainer = make_trainer(beta=0.1)
    trainer.reference.weights["model.norm.weight"].fill_(float("nan"))
    with pytest.raises(
        NotFiniteError, match=r"step 1: the loss term is nan at token 0 of completion 0 \(group 0\)"
    ):
        trainer.step()


def test_a_failing_reward_loses_nothing(make_trainer) -> None:
    """The step can be tried again and is then the step that an untroubled run makes, its knob
    change included."""
    from helpers import digits_reward

    trouble = {"on": True}

    def fragile(completions, **columns) -> list[float]:
        if trouble["on"]:
            raise KeyError("gold")
        return digits_reward(completions)

    hurt, sound = make_trainer("a", rewards=fragile), make_trainer("b")
    for t in (hurt, sound):
        t.knobs.set(beta=0.02)
    with pytest.raises(RewardError, match="fragile"):
        hurt.step()
    trouble["on"] = False
    a, b = hurt.step(), sound.step()
    assert [k.name for k in a.knobs] == ["beta"]
    assert a.metrics["loss"] == b.metrics["loss"]
    assert same_weights(weights_of(hurt), weights_of(sound))


def test_knobs_take_effect_at_the_next_step_and_are_records(make_trainer, tmp_path) -> None:
    trainer = make_trainer()
    trainer.step()
    trainer.knobs.set(who="slider", beta=0.5, learning_rate=1e-4)
    assert trainer.config.beta == GRPOConfig().beta
    assert trainer.knobs.pending == {"beta": 0.5, "learning_rate": 1e-4}
    record = trainer.step()
    assert trainer.config.beta == 0.5
    assert record.metrics["learning_rate"] == 1e-4
    knobs = Run.open(tmp_path / "run").knobs()
    assert sorted(zip(knobs.step, knobs.name, knobs.who, strict=True)) == [
        (2, "beta", "slider"),
        (2, "learning_rate", "slider"),
    ]


def test_knobs_refuse_with_the_reason_and_change_nothing(make_trainer) -> None:
    knobs = make_trainer().knobs
    with pytest.raises(ConfigError, match="num_generations is fixed"):
        knobs.set(num_generations=16)
    with pytest.raises(ConfigError, match="beta=-1"):
        knobs.set(epsilon=0.1, beta=-1)
    with pytest.raises(ConfigError, match="no_such_knob"):
        knobs.set(no_such_knob=1)
    assert knobs.pending == {}


def test_the_reference_stands_still_until_it_is_refreshed(make_trainer) -> None:
    trainer = make_trainer(
        beta=0.1, sync_ref_model=True, ref_model_sync_steps=2, ref_model_mixup_alpha=0.5
    )
    first = {k: v.clone() for k, v in trainer.reference.weights.items()}
    trainer.step()
    assert same_weights(first, trainer.reference.weights)
    trainer.step()
    mixed = {k: 0.5 * first[k] + 0.5 * v for k, v in weights_of(trainer).items()}
    for name, value in trainer.reference.weights.items():
        torch.testing.assert_close(value, mixed[name])


def test_beta_leaving_zero_in_mid_run_refers_to_the_first_policy(make_trainer) -> None:
    trainer = make_trainer(beta=0.0, learning_rate=1e-2)
    first = weights_of(trainer)
    trainer.step()
    assert trainer.reference is None
    trainer.knobs.set(beta=0.1)
    record = trainer.step()
    assert same_weights(first, trainer.reference.weights)
    assert record.metrics["kl"] > 0


def test_kl_is_zero_before_the_first_update(make_trainer) -> None:
    record = make_trainer(beta=0.1, updates_per_rollout=1).step()
    assert abs(record.metrics["kl"]) < 1e-9


def test_a_prompt_over_the_limit_is_an_error_not_a_cut(make_trainer) -> None:
    with pytest.raises(ValueError, match="max_prompt_length is 3"):
        make_trainer(max_prompt_length=3)


def test_the_record_holds_the_step(make_trainer, tmp_path) -> None:
    trainer = make_trainer()
    trainer.train()
    run = Run.open(tmp_path / "run")
    assert list(run.steps().step) == [1, 2, 3, 4, 5, 6]
    assert list(run.evaluations().step) == [0, 3, 6]
    samples = run.samples(3)
    assert len(samples) == 16
    assert math.isclose(samples.groupby("group").advantage.sum().abs().max(), 0, abs_tol=1e-5)
    batch = run.batch(3)
    assert {
        "old_logp_BT",
        "ref_logp_BT",
        "sampler_logp_BT",
        "logp_BT",
        "entropy_BT",
    } <= batch.keys()


def test_a_step_broken_off_after_an_update_is_not_built_upon(
    make_trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, calls = make_trainer(), []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return apply_gradient(*args)

    monkeypatch.setattr("workbench.training.trainer.apply_gradient", interrupted)
    with pytest.raises(KeyboardInterrupt) as e:
        trainer.step()
    assert e.value.__notes__ == ["This was in step 1."]
    with pytest.raises(RuntimeError, match="step 1 was broken off after an update"):
        trainer.step()


def test_a_checkpoint_that_cannot_be_written_does_not_undo_its_step(
    make_trainer, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    """The disk was full after step 2: the run that goes on is the run that had no trouble."""
    hurt, sound = make_trainer("a", save_steps=2), make_trainer("b", save_steps=2)
    for t in (hurt, sound):
        t.step()
        t.knobs.set(beta=0.2)
    with monkeypatch.context() as patch:
        patch.setattr(
            "workbench.training.checkpoints.save",
            lambda *args: (_ for _ in ()).throw(OSError("disk full")),
        )
        with pytest.raises(OSError, match="disk full"):
            hurt.step()
    sound.step()
    assert hurt.steps_done == 2
    assert hurt.knobs.pending == {}
    assert hurt.step().metrics["loss"] == sound.step().metrics["loss"]
    assert same_weights(weights_of(hurt), weights_of(sound))
    assert Run.open(tmp_path / "a").knobs().name.tolist() == ["beta"]


def test_a_cancel_during_the_last_evaluation_of_a_step_lets_the_step_end(
    make_trainer, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    trainer = make_trainer(eval_steps=1)
    monkeypatch.setattr(
        trainer, "evaluate", lambda own=trainer.evaluate: (trainer.cancel(), own())[1]
    )
    trainer.train(3)
    assert trainer.steps_done == 1
    assert not trainer.dirty
    assert Run.open(tmp_path / "run").last_step() == 1
    assert (tmp_path / "run/checkpoints/step-000001").is_dir()


def test_weights_for_other_reward_functions_are_refused_when_they_are_set(make_trainer) -> None:
    knobs = make_trainer().knobs
    with pytest.raises(ConfigError, match="2 entries for the reward functions digits_reward"):
        knobs.set(reward_weights=[1.0, 2.0])
    assert knobs.pending == {}
    knobs.set(reward_weights=[2.0])
    assert knobs.pending == {"reward_weights": (2.0,)}


def test_a_lora_rank_without_an_adapter_is_refused(make_trainer, tiny_folder, tmp_path) -> None:
    trainer = make_trainer()
    with pytest.raises(ConfigError, match="lora_rank=4, but the policy has no adapter"):
        start_run(
            tmp_path / "other",
            policy=load_policy(tiny_folder),
            task=trainer.task,
            rewards=trainer.rewards,
            config=trainer.config.replace(lora_rank=4),
        )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_prompt_without_room_is_found_before_the_run_starts(
    make_trainer, tmp_path, split: str
) -> None:
    trainer = make_trainer()
    huge = Problem("What is " + "1 + " * 200 + "1?", "201")
    task = replace(trainer.task, **{split: [*getattr(trainer.task, split)[:4], huge]})
    with pytest.raises(
        PolicyError,
        match=r"1 of 5 prompts are too long: 'What is 1 \+ .*"
        "128 positions less max_completion_length=8 leave 120",
    ):
        start_run(
            tmp_path / "other",
            policy=trainer.policy,
            task=task,
            rewards=trainer.rewards,
            config=trainer.config,
        )
    assert not (tmp_path / "other").exists()


def test_weights_of_the_reward_set_are_not_ignored(tiny_folder: Path, tmp_path: Path) -> None:
    def start(**changes):
        return start_run(
            tmp_path / "run",
            policy=load_policy(tiny_folder),
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet([digits_reward, "answer"], weights=[1.0, 0.5]),
            config=GRPOConfig(**(BRIEF | changes)),
        )

    with pytest.raises(ConfigError, match=r"reward_weights=\(1.0, 0.5\)"):
        start()
    assert start(reward_weights=(1.0, 0.5)).config.reward_weights == (1.0, 0.5)


def test_a_float64_policy_trains(tiny_folder: Path, tmp_path: Path) -> None:
    policy = load_policy(tiny_folder)
    policy.model.double()
    trainer = start_run(
        tmp_path / "run",
        policy=policy,
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(digits_reward),
        config=GRPOConfig(**BRIEF),
    )
    assert math.isfinite(trainer.step().metrics["loss"])


def test_an_engine_that_cannot_start_leaves_no_run_behind(
    make_trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args, **options):
        raise RuntimeError("no room for the engine")

    with monkeypatch.context() as patched:
        patched.setattr("workbench.training.trainer.make_engine", fails)
        with pytest.raises(RuntimeError, match="no room"):
            make_trainer("run")
        assert not (tmp_path / "run").exists()
    make_trainer("run").step()
    with monkeypatch.context() as patched:
        patched.setattr("workbench.training.trainer.make_engine", fails)
        with pytest.raises(RuntimeError, match="no room"):
            make_trainer("run", resume=True)
    assert len(Run.open(tmp_path / "run").steps()) == 1, (
        "the step after the checkpoint is still there"
    )


def test_a_folder_with_a_run_is_refused_before_the_engine_starts(
    make_trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trainer("run")
    monkeypatch.setattr(
        "workbench.training.trainer.make_engine",
        lambda *args, **options: pytest.fail("the engine was started"),
    )
    with pytest.raises(RunRecordError, match="holds a run already"):
        make_trainer("run")


def test_a_gradient_whose_norm_overflows_is_found_before_it_is_lost(make_trainer) -> None:
    """Each number is finite, the sum of their squares is not: clipping would make all of them 0."""
    trainer = make_trainer()
    trainer.policy.model.lm_head.weight.register_hook(lambda g: g * 1e28)
    before = weights_of(trainer)
    with pytest.raises(NotFiniteError, match="step 1: the norm of the gradient .* lm_head.weight"):
        trainer.step()
    assert same_weights(before, weights_of(trainer))
    assert not trainer.dirty


def test_a_folder_that_is_no_utf8_is_refused_before_the_run(make_trainer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no UTF-8"):
        make_trainer("caf\udce9")
    assert not list(tmp_path.iterdir())
