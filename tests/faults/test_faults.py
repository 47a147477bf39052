"""Each fault does exactly what it says, on a policy made on the spot, and leaves a healthy run
alone."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import digits_reward

from workbench.cli import main
from workbench.config import ConfigError, ConfigWarning, GRPOConfig
from workbench.doctor import report
from workbench.doctor.facts import Facts
from workbench.doctor.rules import consistency, optimizer, sampler, texts
from workbench.faults import FAULTS, SEALED_FAULTS, FaultError, make_fault, unseal
from workbench.objective import BatchTotals, LossBatch, policy_loss
from workbench.policy import load_policy
from workbench.policy.logprobs import logps_in_parts
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run
from workbench.training.session import Session
from workbench.widgets.base.source import RunSource
from workbench.widgets.overview.view import headline

SMALL: dict[str, Any] = dict(
    prompts_per_step=4,
    num_generations=4,
    updates_per_rollout=2,
    lr_scheduler_type="constant",
    max_completion_length=8,
    max_steps=6,
    eval_steps=0,
    save_steps=2,
    num_eval_problems=4,
    learning_rate=1e-3,
)


def always_paid(completions: list[Any], **columns: Any) -> list[float]:
    """A reward that varies by length, so that the groups live."""
    return [float(len(completion[0]["content"]) % 3) for completion in completions]


Make = Callable[..., Trainer]


@pytest.fixture
def start(tiny_folder: Path, tmp_path: Path) -> Make:
    """A function that starts (or resumes) a small run."""

    def make(
        fault: str | None = None, *, out: str = "run", resume: bool = False, **changes: Any
    ) -> Trainer:
        config = GRPOConfig(**(SMALL | changes))
        return start_run(
            tmp_path / out,
            policy=load_policy(tiny_folder, lora=config.lora_rank or None, seed=0),
            task=arithmetic_task(0, 64, 16),
            rewards=RewardSet([digits_reward, always_paid]),
            config=config,
            resume=resume,
            fault=fault,
        )

    return make


def recorded(trainer: Trainer, step: int) -> dict[str, Any]:
    """The batch of a step, as the record has it."""
    return Run.open(trainer.out).batch(step)


# ------------------------------------------------------------ the table


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_says_what_it_is_and_who_had_it(name: str) -> None:
    kind = FAULTS[name]
    assert kind.name == name
    assert kind.__doc__ is not None
    assert "Had by:" in kind.__doc__
    assert "sees" in kind.__doc__ or "Invisible" in kind.__doc__
    assert kind.reports
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", report) for report in kind.reports)
    rules = {n for module in (consistency, optimizer, sampler, texts) for n in vars(module)}
    assert set(kind.finding_keys) <= rules | {"rewards_all_equal"}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(FaultError) as error:
        make_fault("inverted_kl")
    assert all(name in str(error.value) for name in FAULTS)
    with pytest.raises(FaultError, match="number of steps"):
        make_fault("stale_sampler:x")
    with pytest.raises(FaultError, match="1 step behind"):
        make_fault("stale_sampler:0")


def test_a_sealed_fault_is_always_the_same_and_may_be_any() -> None:
    names = [unseal(f"sealed:{number}") for number in range(200)]
    assert names == [unseal(f"sealed:{number}") for number in range(200)]
    assert set(names) == set(SEALED_FAULTS) <= {*FAULTS, "placebo"}
    sealed = make_fault("sealed:3")
    assert (sealed.spec, sealed.name) == ("sealed:3", names[3])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("inverted_k3", {"beta": 0.0}),
        ("wrong_denominator", {}),
        ("temperature_not_divided", {}),
        ("double_merged_adapter", {}),
    ],
)
def test_settings_that_would_hide_a_fault_are_refused(
    name: str, settings: dict[str, Any], start: Make, tmp_path: Path
) -> None:
    with pytest.raises(FaultError, match="Set "):
        start(name, **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "method", "settings"),
    [
        ("advantage_sign", "dpo", {}),
        ("swapped_groups", "grpo", {"prompts_per_step": 1, "updates_per_rollout": 1}),
        ("stale_sampler", "sft", {}),
        ("stale_sampler", "rft", {}),
        ("double_merged_adapter", "rft", {"lora_rank": 8}),
    ],
)
def test_a_method_that_would_hide_a_fault_is_refused(
    name: str, method: str, settings: dict[str, Any]
) -> None:
    """Else the record would be marked with a mistake that was never made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        config = GRPOConfig().with_method(method, **settings)
    with pytest.raises(FaultError, match="Set "):
        make_fault(name).check(config)


# ------------------------------------------------------------ a healthy run


def test_a_healthy_run_passes_through_no_seam(start: Make) -> None:
    trainer = start()
    held = (trainer.task, trainer.rewards, trainer.engine, trainer.method)
    assert not [one for one in held if type(one).__module__.startswith("workbench.faults")]
    assert type(trainer) is Trainer
    trainer.train(2)
    assert "fault" not in Run.open(trainer.out).meta.environment
    assert "fault" not in headline([RunSource(trainer.out)])


def test_behind_the_seams_of_a_placebo_every_number_is_a_healthy_runs(start: Make) -> None:
    number = next(n for n in range(100) if unseal(f"sealed:{n}") == "placebo")
    runs = [start(out="healthy"), start(f"sealed:{number}", out="placebo")]
    for trainer in runs:
        trainer.train(3)
    healthy, placebo = (Run.open(trainer.out) for trainer in runs)
    assert placebo.meta.environment["fault"] == f"sealed:{number}"
    columns = [n for n in healthy.steps() if n != "time" and not n.startswith("seconds/")]
    assert healthy.steps()[columns].equals(placebo.steps()[columns])
    assert healthy.tokens(3).equals(placebo.tokens(3))


def test_the_policy_is_healthy_again_after_a_run_with_a_fault(start: Make) -> None:
    trainer = start("shifted_logps")
    trainer.train(1)
    head = trainer.policy.model.get_output_embeddings()
    assert not head._forward_pre_hooks


# ------------------------------------------------------------ the objective


def loss_batch(seed: int = 0) -> LossBatch:
    """Four completions of up to 5 tokens, off-policy and away from the reference."""
    random = torch.Generator().manual_seed(seed)

    def some() -> torch.Tensor:
        return -torch.rand(4, 5, generator=random, dtype=torch.float64) * 2

    mask = torch.arange(5)[None, :] < torch.tensor([5, 3, 4, 2])[:, None]
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5], dtype=torch.float64)
    logp = some().requires_grad_()
    return LossBatch(logp, advantages, mask, old_logp=some(), ref_logp=some())


class Plain:
    """A method that is GRPO."""

    def loss(self, part: LossBatch, config: GRPOConfig, totals: BatchTotals) -> Any:
        return part.loss(config, totals)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_inverted_k3_has_the_gradient_of_the_inverted_formula(corrected: bool) -> None:
    config = GRPOConfig(beta=0.3, use_bias_correction_kl=corrected)
    part = loss_batch()
    totals = BatchTotals.of(part.mask)
    found = make_fault("inverted_k3").loss(Plain(), part, config, totals)  # type: ignore[arg-type]
    gradient = torch.autograd.grad(found.loss, part.logp)[0]

    # By hand: the surrogate without a KL, plus beta times exp(-d) + d - 1.
    without = config.replace(beta=0.0)
    d = part.ref_logp - part.logp
    k3 = torch.exp(-d) + d - 1
    if corrected:
        k3 = torch.exp(part.logp - part.old_logp) * k3
    mean = (k3 * part.mask).sum() / part.mask.sum()
    surrogate = policy_loss(
        part.logp, part.advantages, part.mask, without, old_logp=part.old_logp, num_items=totals
    ).loss
    expected = torch.autograd.grad(surrogate + 0.3 * mean, part.logp)[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
    assert float(found.metrics["kl"]) == pytest.approx(float(mean.detach()), rel=1e-12)


def test_the_wrong_denominator_divides_by_the_micro_batchs_own_tokens() -> None:
    config = GRPOConfig(micro_batch_size=2, loss_type="dapo", beta=0.0)
    part = loss_batch().rows(torch.tensor([0, 1]))
    fault = make_fault("wrong_denominator")
    whole = BatchTotals(sequences=4, tokens=14)
    right = Plain().loss(part, config, whole).loss
    wrong = fault.loss(Plain(), part, config, whole).loss  # type: ignore[arg-type]
    assert float(wrong) == pytest.approx(float(right) * 14 / 8)


def test_a_turned_sign_an_end_and_padding_show_in_the_coefficients(start: Make) -> None:
    for name in ("advantage_sign", "eos_masked", "padding_counted"):
        trainer = start(name, out=name, beta=0.0, max_completion_length=24)
        trainer.train(2)
        batch = recorded(trainer, 2)
        total_B, advantage_B = batch["reward_B"], batch["advantages_B"]
        centred_B = total_B - total_B.reshape(4, 4).mean(1).repeat(4)
        rows = np.flatnonzero(np.abs(advantage_B) > 1e-6)
        last_B = batch["coefficient_BT"][np.arange(16), batch["lengths_B"] - 1]
        first_B = batch["coefficient_BT"][:, 0]
        if name == "advantage_sign":
            assert (np.sign(advantage_B[rows]) == -np.sign(centred_B[rows])).all()
        elif name == "eos_masked":
            ended = rows[~batch["truncated_B"][rows] & (batch["lengths_B"][rows] > 1)]
            assert len(ended)
            assert (last_B[ended] == 0).all()
            assert (first_B[ended] != 0).all()
        else:
            # Both updates divide by all places, 16 rows as long as the longest, in two halves.
            places = 16 * batch["lengths_B"].max() / 2
            early = rows[rows < 8]
            assert first_B[early] * places == pytest.approx(advantage_B[early], rel=1e-5)


def test_the_ratio_to_the_reference_has_it_in_the_old_policys_place(start: Make) -> None:
    trainer = start("ratio_to_reference", beta=0.01)
    trainer.train(2)
    batch = recorded(trainer, 2)
    np.testing.assert_array_equal(batch["old_logp_BT"], batch["ref_logp_BT"])
    assert np.abs(batch["old_logp_BT"] - batch["sampler_logp_BT"]).max() > 1e-4
    with pytest.raises(FaultError, match="needs a reference"):
        start("ratio_to_reference", out="none", beta=0.0, measure_kl=False).train(1)


def test_the_optimizer_alone_has_another_learning_rate(start: Make) -> None:
    healthy = start(out="healthy", learning_rate=1e-5)
    healthy.train(1)
    faulty = start("learning_rate_x100", out="faulty", learning_rate=1e-5)
    faulty.train(1)
    steps = [Run.open(trainer.out).steps().iloc[0] for trainer in (healthy, faulty)]
    assert [step["learning_rate"] for step in steps] == [1e-5, 1e-5]
    # Adam's first update is one learning rate long, whatever the gradient.
    assert steps[0]["update_over_lr_max"] == pytest.approx(1, rel=0.05)
    assert steps[1]["update_over_lr_max"] == pytest.approx(100, rel=0.05)


# ------------------------------------------------------------ the sampler


def test_the_stale_sampler_has_the_weights_of_n_steps_ago(start: Make) -> None:
    trainer = start("stale_sampler:2", beta=0.01)
    trainer.train(4)
    for step, way_back in ((1, True), (2, True), (3, True), (4, False)):
        batch = recorded(trainer, step)
        # Up to step 3 the weights of two steps ago are the first ones, the reference's.
        mask_BT = batch["mask_BT"]
        away = np.abs(batch["sampler_logp_BT"] - batch["ref_logp_BT"])[mask_BT].max()
        assert bool(away < 1e-5) is way_back, step


def test_the_doubled_adapter_samples_from_twice_the_adapter(start: Make) -> None:
    trainer = start("double_merged_adapter", lora_rank=4, learning_rate=1e-2)
    trainer.train(3)
    first, third = (recorded(trainer, step) for step in (1, 3))
    # In the first step the adapter is nothing, and twice nothing.
    np.testing.assert_allclose(first["sampler_logp_BT"], first["old_logp_BT"], atol=1e-5, rtol=1e-5)
    facts = Facts.of(trainer.out)
    assert np.abs(third["sampler_logp_BT"] - third["old_logp_BT"]).max() > 1e-3
    tokens = sampler._tokens(facts)
    assert tokens is not None
    assert sampler._beyond(tokens) > 0.9


@pytest.mark.parametrize("name", ["temperature_not_divided", "shifted_logps"])
def test_log_probabilities_at_another_temperature_or_place(name: str, start: Make) -> None:
    trainer = start(name, temperature=0.5)
    problems = [trainer.task.train[i] for i in trainer.task.draw(0, 4, 0)]
    rollout = trainer.sample(problems, trainer.config)
    row = torch.cat([rollout.prompt_ids_NP[0], rollout.completion_ids_BT[0]])
    attention = torch.cat([rollout.prompt_mask_NP[0], rollout.mask_BT[0]]).long()
    with torch.no_grad():
        places = (attention.cumsum(0) - 1).clamp(min=0)
        logits = trainer.policy.model(
            row[None], attention_mask=attention[None], position_ids=places[None]
        ).logits[0]
        assert trainer.fault is not None
        with trainer.fault.during_a_step(trainer):
            found = logps_in_parts(trainer.policy.model, rollout, trainer.config)
            # The sampler passes the hook untouched.
            again = trainer.sample(problems, trainer.config)
    prompt = len(rollout.prompt_ids_NP[0])
    # All but the last: what would predict the token after it, nobody computed.
    length = int(rollout.lengths_B[0]) - 1
    if name == "shifted_logps":
        expected_TV = logits[prompt : prompt + length] / 0.5
    else:
        expected_TV = logits[prompt - 1 : prompt - 1 + length]
    targets_T1 = rollout.completion_ids_BT[0, :length, None]
    expected_T = expected_TV.log_softmax(-1).gather(1, targets_T1)[:, 0]
    torch.testing.assert_close(found[0, :length], expected_T, rtol=1e-4, atol=1e-4)
    right_BT = logps_in_parts(trainer.policy.model, again, trainer.config)
    torch.testing.assert_close(again.sampler_logp_BT, right_BT.detach(), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------ rewards and prompts


def test_what_is_paid_and_asked_is_changed_as_the_names_say(start: Make) -> None:
    ones = start("reward_always_one", out="ones")
    ones.train(1)
    assert (recorded(ones, 1)["rewards_BK"][:, -1] == 1).all()

    healthy, swapped = start(out="healthy"), start("swapped_groups", out="swapped")
    healthy.train(1)
    swapped.train(1)
    right_BK = recorded(healthy, 1)["rewards_BK"]
    order_B = [group * 4 + i for i in range(4) for group in range(4)]
    np.testing.assert_array_equal(recorded(swapped, 1)["rewards_BK"], right_BK[order_B])

    cut = start("truncated_right", out="cut", max_completion_length=6)
    cut.train(1)
    batch = recorded(cut, 1)
    assert batch["truncated_B"].any()
    assert (batch["rewards_BK"][batch["truncated_B"]] == 1).all()

    leaked = start("leaked_gold", out="leaked")
    leaked.train(1)
    rows = Run.open(leaked.out).samples(1)
    assert all(
        prompt.endswith(f" (answer: {gold})")
        for prompt, gold in zip(rows["prompt"], rows["gold_answer"], strict=True)
    )
    # As a branch does, which is given a task that leaks already.
    assert leaked.fault is not None
    assert leaked.fault.asked(leaked.task) == leaked.task


# ------------------------------------------------------------ the mark


def test_the_record_says_so_and_a_resumed_run_keeps_it(start: Make) -> None:
    trainer = start("advantage_sign")
    trainer.train(2)
    trainer.run.close()
    assert Run.open(trainer.out).meta.environment["fault"] == "advantage_sign"
    assert "fault injected: advantage_sign" in headline([RunSource(trainer.out)])
    assert "a fault was injected on purpose: advantage_sign" in report(trainer.out)

    with pytest.raises(ConfigError, match="'eos_masked', but the run was made with"):
        start("eos_masked", resume=True)
    resumed = start(resume=True)
    resumed.train(2)
    batch = recorded(resumed, 4)
    centred_B = batch["reward_B"] - batch["reward_B"].reshape(4, 4).mean(1).repeat(4)
    assert float((centred_B * batch["advantages_B"]).sum()) < 0
    resumed.run.close()
    assert Run.open(resumed.out).meta.environment["fault"] == "advantage_sign"


def test_a_branch_keeps_the_fault(tiny_folder: Path, tmp_path: Path) -> None:
    session = Session(
        load_policy(tiny_folder),
        arithmetic_task(0, 64, 16),
        RewardSet([digits_reward, always_paid]),
        GRPOConfig(**SMALL),
        out=tmp_path / "parent",
        fault="swapped_groups",
    )
    session.step(1).wait()
    branch = session.branch("child")
    branch.wait()
    branch.step(1).wait()
    assert branch.trainer is not None
    # Once, not twice: the parent's rewards are wrapped already.
    assert isinstance(branch.trainer.rewards.healthy, RewardSet)
    assert Run.open(branch.out).meta.environment["fault"] == "swapped_groups"
    session.free()
    branch.free()


def test_the_command_line_lists_the_faults_for_an_unknown_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["workbench", "train", "--fault", "typo", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code not in (0, None)
    said = " ".join(capsys.readouterr().err.split())
    assert "fault='typo' is unknown" in said
    assert "inverted_k3" in said
    assert not (tmp_path / "run" / "run.sqlite").exists()
