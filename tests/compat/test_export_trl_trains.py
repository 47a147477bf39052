"""The folder of `workbench export trl` trains: two updates of TRL's, whose tokens are scored and
learnt from by our own parts beside it; and two processes of it."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from workbench.compat.export import Exported, export_trl
from workbench.config import GRPOConfig
from workbench.libraries.trl_ import ROW, Hooks
from workbench.methods import Batch, make_method
from workbench.objective import group_advantages
from workbench.policy import load_policy
from workbench.policy.logprobs import logps_in_parts
from workbench.policy.optim import make_optimizer
from workbench.rewards import RewardSet
from workbench.rewards.functions import as_messages
from workbench.rollout.types import Rollout
from workbench.tasks import load_task
from workbench.tasks.types import columns_of
from workbench.training.update import accumulate_gradient, apply_gradient

pytestmark = pytest.mark.slow

SMALL = GRPOConfig(
    prompts_per_step=6,
    num_generations=4,
    updates_per_rollout=2,
    micro_batch_size=6,
    max_completion_length=40,
    max_steps=1,
    beta=0.1,
    lr_scheduler_type="constant",
    num_eval_problems=4,
    seed=3,
)
REWARDS = ["format", "answer"]


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The folder's train.py, with the rewards.py beside it."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "rewards", raising=False)
    spec = importlib.util.spec_from_file_location("exported_train", folder / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Looking:
    """Keeps what TRL's trainer sampled, which rows each micro-batch has, and what it came to."""

    def __init__(self, trainer: Any) -> None:
        self.rollouts: list[dict[str, Any]] = []
        self.rows: list[list[int]] = []
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.hooks = Hooks(trainer, self)

    def rollout_begins(self) -> None: ...

    def rewarding(self) -> None: ...

    def rewarded(self, rows: Any, texts: Any, ids: Any, rewards: Any) -> None:
        self.scores = rewards

    def rolled_out(self, output: dict[str, Any]) -> None:
        self.rollouts.append({name: value.clone() for name, value in output.items()})

    def passed(self, inputs: dict[str, Any], logp: Any, entropy: Any) -> None:
        self.rows.append(inputs[ROW].tolist())

    def differentiated(self, inputs: dict[str, Any], gradient: Any) -> None: ...

    def micro_batch_done(self, loss: float) -> None:
        self.losses.append(loss)

    def updated(self, gradient_norm: float, learning_rate: float) -> None:
        self.norms.append(gradient_norm)


WITNESS = """
import os
from helper import BONUS

def paid_by_length(completions, answer):
    place = os.path.join(os.path.dirname(__file__), "calls-" + os.environ.get("RANK", "-"))
    with open(place, "a") as file:
        file.write(f"{len(completions)}\\n")
    return [BONUS + len(each[0]["content"]) / 100 for each in completions]
"""
"""A user's own reward file, which writes down who called it."""


@pytest.mark.parametrize("processes", [1, 2])
def test_the_script_trains(tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a stranger would start it, with a reward function of one's own and the file beside it."""
    own = tmp_path / "rewards.py"  # a name that the folder has too
    own.write_text(WITNESS)
    (tmp_path / "helper.py").write_text("BONUS = 0.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "folder"
    config = SMALL.replace(reward_weights=(1.0, 0.5, 0.25))
    task = load_task("arithmetic", SMALL.seed)
    export_trl(Exported(config, task, [*REWARDS, f"{own}:paid_by_length"]), folder)
    own.unlink()
    start = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    words = [*(start if processes == 2 else []), "train.py", "max_steps=2", "output_dir=out"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    (state,) = (folder / "out").glob("checkpoint-2/trainer_state.json")
    history = json.loads(state.read_text())["log_history"]
    losses = [row["loss"] for row in history if "loss" in row]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert any("eval_reward" in row for row in history)
    ranks = ["0", "1"] if processes == 2 else ["-"]
    calls = {path.name: path.read_text().split() for path in (folder / "own").glob("calls-*")}
    # One rollout of 24, shared by the processes, and evaluations.
    assert sorted(calls) == [f"calls-{rank}" for rank in ranks]
    assert all(str(24 // processes) in sizes for sizes in calls.values())
    assert (folder / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(loss_type="grpo", scale_rewards="none", micro_batch_size=None),
        dict(lora_rank=4, quantization="nf4", learning_rate=2e-3),
    ],
    ids=str,
)
def test_the_first_updates_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """TRL samples 24 completions to our prompts; our rewards, advantages, loss and optimizer make
    of them the same two updates."""
    torch.set_num_threads(1)
    config = SMALL.replace(**changes)
    task = load_task("arithmetic", config.seed)
    folder = tmp_path / "folder"
    export_trl(Exported(config, task, REWARDS), folder)
    trainer = imported(folder, monkeypatch).make_trainer(
        output_dir=str(tmp_path / "out"), disable_tqdm=True
    )
    looking = Looking(trainer)
    # An adapter begins at random: ours takes over the other's.
    begun = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    (theirs,) = looking.rollouts
    parts = 24 // config.rows_at_once // 2
    assert [len(rows) for rows in looking.rows] == [config.rows_at_once] * parts * 2

    policy = load_policy("embedded", config=config)
    policy.load_trainable_state(begun)
    prompts = [task.train[i] for i in task.draw(0, config.prompts_per_step, config.seed)]
    group = config.num_generations
    padded = zip(theirs["prompt_ids"], theirs["prompt_mask"], strict=True)
    asked = [ids[mask.bool()].tolist() for ids, mask in padded]
    assert asked[::group] == [policy.encode_prompt(task.messages(p)) for p in prompts]

    rollout = Rollout(
        theirs["prompt_ids"][::group],
        theirs["prompt_mask"][::group].bool(),
        theirs["completion_ids"],
        theirs["completion_mask"].bool(),
        torch.zeros(theirs["completion_ids"].shape),
        torch.zeros(len(theirs["completion_ids"]), dtype=torch.bool),
        group,
    )
    texts = [policy.text_of(ids) for ids in rollout.completion_lists()]
    repeated = [problem for problem in prompts for _ in range(group)]
    rewards = RewardSet(REWARDS)
    table = rewards.score(
        [task.messages(problem) for problem in repeated],
        as_messages(texts),
        step=1,
        columns=columns_of(repeated),
    )
    assert torch.equal(torch.as_tensor(table.rewards_BK), looking.scores.float())
    advantages = group_advantages(torch.as_tensor(table.rewards_BK), config)
    assert not advantages.dead_N.all()
    torch.testing.assert_close(
        advantages.advantage_B, theirs["advantages"].float(), atol=1e-4, rtol=0
    )

    batch = Batch(rollout, advantages.advantage_B, rollout.mask_BT)
    with torch.no_grad():
        batch.old_logp_BT = logps_in_parts(policy.model, rollout, config)
    batch.ref_logp_BT = batch.old_logp_BT
    method = make_method(policy, config, rewards)
    optimizer = make_optimizer(policy.trainable_parameters(), config)
    for update in range(2):
        part = slice(parts * update, parts * (update + 1))
        rows = torch.tensor([row for rows in looking.rows[part] for row in rows])
        gradient = accumulate_gradient(policy, method, batch, rows, config, 1)
        moved = apply_gradient(policy, optimizer, config)
        loss = sum(looking.losses[part])
        assert math.isclose(gradient["loss"], loss, rel_tol=1e-4)
        # Over quantised weights TRL's adapter is bfloat16.
        exact = 1e-4 if config.quantization == "none" else 5e-3
        assert math.isclose(moved["grad_norm"], looking.norms[update], rel_tol=exact)
        assert loss != 0
