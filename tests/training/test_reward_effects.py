"""What a reward function does to the process must not reach the training."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from helpers import digits_reward, same_weights, weights_of

from workbench.rewards import RewardWarning
from workbench.runs import Run
from workbench.training.reward_effects import SETTINGS, torch_settings_kept


def plain_run(make_trainer, out="plain", **changes):
    trainer = make_trainer(out, max_steps=2, **changes)
    trainer.train()
    return trainer


def named_digits(effect):
    """`digits_reward` with an effect; its name is the same, so that the records are."""

    def digits(completions, **columns):
        effect()
        return digits_reward(completions)

    return digits


def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_a_reward_that_seeds_every_generator_does_not_change_what_is_sampled(
    make_trainer, engine
) -> None:
    plain = plain_run(make_trainer, rollout_engine=engine)
    seeded = plain_run(make_trainer, "seeded", rewards=named_digits(seeds), rollout_engine=engine)
    assert same_weights(weights_of(plain), weights_of(seeded))
    texts = [list(Run.open(run.out).samples(2).completion) for run in (plain, seeded)]
    assert texts[0] == texts[1]


OTHER_VALUES = {
    "torch.set_grad_enabled": False,
    "torch.set_default_dtype": torch.float64,
    "torch.set_default_device": torch.device("meta"),
    "torch.set_num_threads": 3,
    "torch.set_float32_matmul_precision": "medium",
    "torch.use_deterministic_algorithms": True,
    "torch.autograd.set_detect_anomaly": True,
}


def test_every_setting_is_tried() -> None:
    assert OTHER_VALUES.keys() == SETTINGS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_setting_of_torch_that_a_reward_changes_is_put_back_and_said(make_trainer, name) -> None:
    read, write = SETTINGS[name]
    before = read()
    plain = plain_run(make_trainer)
    with pytest.warns(RewardWarning) as said:
        changed = plain_run(
            make_trainer, "changed", rewards=named_digits(lambda: write(OTHER_VALUES[name]))
        )
    assert read() == before
    assert same_weights(weights_of(plain), weights_of(changed))
    assert f"one of the reward functions (digits) called {name}(" in str(said[0].message)


def test_a_reward_that_fails_leaves_no_setting_either(make_trainer) -> None:
    def fails():
        torch.set_grad_enabled(False)
        raise ValueError("no")

    trainer = make_trainer(rewards=named_digits(fails))
    with pytest.warns(RewardWarning, match="set_grad_enabled"), pytest.raises(RuntimeError):
        trainer.train()
    assert torch.is_grad_enabled()


def enters_inference_mode(kept):
    mode = torch.inference_mode()
    mode.__enter__()
    # Torch leaves a mode that nobody holds any more.
    kept.append(mode)


@pytest.fixture
def kept():
    """The modes that a test's rewards keep. They are let go when the test ends: the collector would
    do it in the middle of a later one, and torch then sets what held when the mode was entered."""
    modes = []
    yield modes
    modes.clear()


def check_left_and_said(said):
    assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) == (False, True)
    texts = {str(warning.message) for warning in said}
    assert len(texts) == 1
    assert "(digits) called torch.inference_mode(True)" in texts.pop()


def test_an_inference_mode_that_a_reward_does_not_leave_is_left_and_said(
    make_trainer, kept
) -> None:
    plain = plain_run(make_trainer)
    changing = named_digits(lambda: enters_inference_mode(kept))
    with pytest.warns(RewardWarning) as said:
        changed = plain_run(make_trainer, "changed", rewards=changing)
    check_left_and_said(said)
    assert same_weights(weights_of(plain), weights_of(changed))


def test_an_inference_mode_is_left_also_where_the_reward_fails(make_trainer, kept) -> None:
    def fails():
        enters_inference_mode(kept)
        raise ValueError("no")

    trainer = make_trainer(rewards=named_digits(fails))
    with pytest.warns(RewardWarning) as said, pytest.raises(RuntimeError, match="ValueError: no"):
        trainer.train()
    check_left_and_said(said)


def test_a_mode_that_is_let_go_later_changes_nothing(kept) -> None:
    with pytest.warns(RewardWarning), torch_settings_kept(["digits"]):
        enters_inference_mode(kept)
    kept.clear()
    assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) == (False, True)


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
def test_the_callers_own_mode_is_kept_and_nothing_is_said_of_it(outside) -> None:
    with warnings.catch_warnings(), outside():
        warnings.simplefilter("error")
        before = (torch.is_inference_mode_enabled(), torch.is_grad_enabled())
        with torch_settings_kept(["digits"]):
            pass
        assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) == before


def test_a_reward_may_print_fork_and_start_processes(make_trainer, capsys) -> None:
    def busy():
        print("a line of the reward")
        done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True)
        assert done.stdout.strip() == b"1"
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    with warnings.catch_warnings():
        # Python warns of a fork while other threads run, and torch keeps some.
        warnings.simplefilter("ignore", DeprecationWarning)
        trainer = plain_run(make_trainer, "busy", rewards=named_digits(busy))
    assert same_weights(weights_of(plain_run(make_trainer)), weights_of(trainer))
    assert "a line of the reward" in capsys.readouterr().out


def test_what_a_reward_keeps_of_what_it_was_given_does_not_change_later(make_trainer) -> None:
    kept = []

    def keeps(completions, prompts, answer, **columns):
        kept.append((completions, prompts, answer, json.dumps([completions, prompts, answer])))
        return digits_reward(completions)

    plain_run(make_trainer, "kept", rewards=keeps)
    assert len(kept) == 2
    assert all(json.dumps([c, p, a]) == text for c, p, a, text in kept)
