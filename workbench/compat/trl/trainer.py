"""TRL's `GRPOTrainer` over our trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from workbench import config as ours
from workbench.compat.trl.config import USUAL_FOLDER, GRPOConfig
from workbench.compat.trl.policies import adapter_settings, policy_for, quantization_settings
from workbench.compat.trl.prompts import prompt_task, reward_on_text
from workbench.config import ConfigError
from workbench.policy import save_policy
from workbench.rewards import RewardSet
from workbench.runs import Run
from workbench.training import Trainer, start_run
from workbench.training.session.branching import free_folder

NOT_OFFERED = {
    "reward_processing_classes": "a reward model loads its own tokenizer; remove it",
    "callbacks": "look at trainer.run while it trains, or use workbench.Session and subscribe",
    "tools": "there are no tools; write what they would answer into the prompts",
    "rollout_func": "choose the sampler with use_vllm; remove it",
    "environment_factory": "there are no environments; a reward function sees each completion",
}
"""Arguments of TRL's trainer that have no counterpart, and what to do."""

ARGUMENTS = (
    "model",
    "reward_funcs",
    "args",
    "train_dataset",
    "eval_dataset",
    "processing_class",
    "optimizers",
    "quantization_config",
    "peft_config",
    *NOT_OFFERED,
)

LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "reward": "reward",
    "reward_std": "reward_std",
    "kl": "kl",
    "entropy": "entropy",
    "dead_group_share": "frac_reward_zero_std",
    "completion_length": "completions/mean_length",
    "completion_length_max": "completions/max_length",
    "truncated_share": "completions/clipped_ratio",
    "clip_ratio_low": "clip_ratio/low_mean",
    "clip_ratio_high": "clip_ratio/high_mean",
    "seconds/step": "step_time",
}
"""Our metrics -> what TRL logs them as."""


class TrainOutput(NamedTuple):
    """What `train` returns, as transformers' Trainer does."""

    global_step: int
    training_loss: float
    metrics: dict[str, float]


@dataclass
class TrainerState:
    """How far the run is, in TRL's counts: a step is an update of the weights."""

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    log_history: list[dict[str, float]] = field(default_factory=list)


class GRPOTrainer:
    """Trains `model` ("embedded", a Hugging Face id, a folder, or a loaded model with its
    `processing_class`) on the prompts of `train_dataset` with `reward_funcs`, which are functions
    in TRL's signature, names of ours, or "model:FOLDER" for a reward model.

    `run` is the record and `trainer` our trainer, once `train` has begun. Raises `ConfigError`,
    `TaskError`, `PolicyError` and `RewardSpecError` for what cannot work.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        *,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        **others: Any,
    ) -> None:
        _check_others(others, optimizers)
        args = GRPOConfig() if args is None else args
        _check_args(args)
        self.args = args
        self.train_dataset = train_dataset
        self.eval_dataset = eval_dataset
        # What is quick and may be wrong comes before the weights.
        self.task = prompt_task(train_dataset, eval_dataset)
        self.reward_set = _rewards(reward_funcs, self.task.as_text)
        more = adapter_settings(peft_config) | quantization_settings(quantization_config)
        if self.task.held_out:
            more["num_eval_problems"] = len(self.task.held_out)
        self.config = args.config_for(len(self.task.train), **more)
        self.policy = policy_for(model, self.config, processing_class, args.trust_remote_code)
        self.trainer: Trainer | None = None

    # ------------------------------------------------------------------------------- training

    def train(self, resume_from_checkpoint: bool | None = None) -> TrainOutput:
        """Train to the end; `resume_from_checkpoint=True` goes on from the newest checkpoint in
        args.output_dir. A folder that holds a run is otherwise left alone, and a number is added to
        its name."""
        if resume_from_checkpoint not in (None, True, False):
            raise ConfigError(
                f"resume_from_checkpoint={resume_from_checkpoint!r:.80}: True goes on from the "
                "newest whole checkpoint in output_dir."
            )
        if self.trainer is None:
            out = Path(self.args.output_dir or USUAL_FOLDER).absolute()
            resume = bool(resume_from_checkpoint)
            self.trainer = start_run(
                out if resume else free_folder(out),
                policy=self.policy,
                task=self.task,
                rewards=self.reward_set,
                config=self.config,
                resume=resume,
                name=self.args.run_name or "",
            )
        self.trainer.train()
        history = self.state.log_history
        losses = [row["loss"] for row in history if "loss" in row]
        mean = math.fsum(losses) / len(losses) if losses else math.nan
        return TrainOutput(self.state.global_step, mean, {"train_loss": mean})

    def evaluate(self) -> dict[str, float]:
        """Greedy strict accuracy on the eval_dataset's rows with a gold answer."""
        if not self.task.held_out:
            raise ConfigError(
                "evaluate() needs an eval_dataset with a column of gold answers, such as `answer`."
            )
        found = self._started().evaluate()
        return {"eval_accuracy": found.accuracy, "eval_problems": float(found.n)}

    # -------------------------------------------------------------------------- what came of it

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.policy.model

    @property
    def processing_class(self) -> Any:
        """Its tokenizer."""
        return self.policy.tokenizer

    @property
    def run(self) -> Run:
        """The record: `workbench.Dashboard(trainer.run)` shows it."""
        return Run.open(self._started().out)

    @property
    def state(self) -> TrainerState:
        """How far it is, with a row of figures for each rollout."""
        per_rollout = self.args.optimizer_steps
        state = TrainerState(max_steps=self.config.max_steps * per_rollout)
        if self.trainer is None:
            return state
        names = self.trainer.rewards.names
        logged = LOGGED | {f"rewards/{name}": f"rewards/{name}/mean" for name in names}
        per_epoch = len(self.task.train) / self.config.prompts_per_step
        for row in self.run.steps().to_dict("records"):
            figures = {
                theirs: float(row[name])
                for name, theirs in logged.items()
                if name in row and not math.isnan(row[name])
            }
            step = int(row["step"])
            place = {"step": step * per_rollout, "epoch": step / per_epoch}
            state.log_history.append(figures | place)
        state.global_step = self.trainer.steps_done * per_rollout
        state.epoch = self.trainer.steps_done / per_epoch
        return state

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """Write the policy, or its adapter alone where one was trained, to `output_dir` (None:
        args.output_dir/policy)."""
        folder = Path(output_dir) if output_dir is not None else self._usual_place()
        folder.mkdir(parents=True, exist_ok=True)
        save_policy(self.policy, folder, adapter_only=self.policy.has_adapter)

    def push_to_hub(self, *_: Any, **__: Any) -> None:
        """Refused: raises `ConfigError`."""
        raise ConfigError(
            "push_to_hub: the workbench uploads nothing. trainer.save_model(folder) writes the "
            "policy; `hf upload NAME folder` uploads it."
        )

    def _usual_place(self) -> Path:
        if self.trainer is not None:
            return self.trainer.out / "policy"
        return Path(self.args.output_dir or USUAL_FOLDER) / "policy"

    def _started(self) -> Trainer:
        if self.trainer is None:
            raise ConfigError("nothing was trained yet: call trainer.train() first.")
        return self.trainer


def _check_others(others: dict[str, Any], optimizers: Any) -> None:
    if tuple(optimizers or (None, None)) != (None, None):
        raise ConfigError(
            "optimizers=... has no counterpart in the workbench: it makes its AdamW itself, from "
            "learning_rate, weight_decay, adam_beta1, adam_beta2 and lr_scheduler_type."
        )
    for name, value in others.items():
        if name == "tokenizer":
            raise ConfigError("GRPOTrainer has no argument 'tokenizer': it is processing_class.")
        if name not in NOT_OFFERED:
            close = get_close_matches(name, ARGUMENTS, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"GRPOTrainer has no argument {name!r}.{hint}")
        if value is not None and value != []:
            raise ConfigError(f"{name}={value!r:.80} is not offered here: {NOT_OFFERED[name]}.")


def _check_args(args: Any) -> None:
    if isinstance(args, GRPOConfig):
        return
    kind = f"{type(args).__module__.partition('.')[0]}'s {type(args).__name__}"
    if isinstance(args, ours.GRPOConfig):
        kind = "workbench.GRPOConfig, which start_run and Session take"
    raise ConfigError(
        f"args is {kind}. Import both from here: from workbench.compat.trl import GRPOConfig, "
        "GRPOTrainer."
    )


def _rewards(reward_funcs: Any, as_text: bool) -> RewardSet:
    """The reward functions; those of a data set of plain text get text."""
    if reward_funcs is None:
        raise ConfigError("reward_funcs is missing: give a function, or a list of them.")
    is_one = not isinstance(reward_funcs, Sequence) or isinstance(reward_funcs, str)
    given = [reward_funcs] if is_one else list(reward_funcs)
    functions = RewardSet([_one_reward(each) for each in given]).functions
    if as_text:
        functions = tuple(reward_on_text(function) for function in functions)
    return RewardSet(list(functions))


def _one_reward(reward: Any) -> Any:
    """A reward as ours: a loaded model is none, and a name may be meant as one of the Hub."""
    if hasattr(reward, "config") and hasattr(reward, "parameters"):
        raise ConfigError(
            "a loaded model as a reward: save it, and give 'model:FOLDER' as its name."
        )
    if isinstance(reward, str) and "/" in reward and ":" not in reward:
        raise ConfigError(
            f"reward {reward!r:.80}: TRL takes such a name for a reward model of the Hub. Here it "
            f"is 'model:{reward}', a folder or an id."
        )
    return reward
