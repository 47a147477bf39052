"""TRL as a black box: a trainer is built once on a tiny random model, and its own methods are
called on our tensors."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor

T = 6
B = 8
G = 4

# GRPOConfig field -> TRL's name where it differs.
TRL_NAMES = {
    "epsilon": "epsilon_low",
    "importance_sampling_mode": "vllm_importance_sampling_mode",
    "importance_sampling_clip_max": "vllm_importance_sampling_clip_max",
    "importance_sampling_clip_min": "vllm_importance_sampling_clip_min",
}
OBJECTIVE_FIELDS = [
    "loss_type",
    "importance_sampling_level",
    "beta",
    "epsilon",
    "delta",
    "use_bias_correction_kl",
    "top_entropy_quantile",
    "off_policy_mask_threshold",
    "importance_sampling_mode",
    "importance_sampling_clip_max",
    "importance_sampling_clip_min",
    "sapo_temperature_pos",
    "sapo_temperature_neg",
    "vespo_k_pos",
    "vespo_lambda_pos",
    "vespo_k_neg",
    "vespo_lambda_neg",
    "max_completion_length",
]


class TrlOracle:
    """The loss and the advantages as TRL computes them. What TRL would get from its model, it gets
    from the test."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        trainer.model.train()

    def configure(self, values: dict[str, Any]) -> None:
        """Set TRL's options, wherever it reads them."""
        for name, value in values.items():
            for owner in (self.trainer, self.trainer.args):
                setattr(owner, TRL_NAMES.get(name, name), value)

    def configure_from(self, config: Any) -> None:
        """Set TRL's options from a GRPOConfig of ours."""
        self.configure({name: getattr(config, name) for name in OBJECTIVE_FIELDS})
        self.trainer.epsilon_high = (
            config.epsilon if config.epsilon_high is None else config.epsilon_high
        )
        self.trainer.vllm_importance_sampling_correction = (
            config.importance_sampling_mode is not None
        )

    def _answer(self, logp: Tensor | None, entropy: Tensor | None) -> None:
        self.trainer._get_per_token_logps_and_entropies = lambda *args, **kwargs: (
            logp,
            entropy,
            None,
        )

    def loss(
        self,
        logp: Tensor,
        entropy: Tensor,
        inputs: dict[str, Any],
        accumulation: int = 1,
        loss_of: Any = None,
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Loss, its gradient with respect to `logp`, and what TRL logs, for one of `accumulation`
        micro-batches; `loss_of`: another trainer's method in place of GRPOTrainer's."""
        leaf = logp.clone().requires_grad_()
        # Where the test gives it with a gradient, it asks for that itself.
        self.entropy_gradient = None
        self._answer(leaf, entropy)
        self.trainer.current_gradient_accumulation_steps = accumulation
        self.trainer.args.steps_per_generation = accumulation
        self.trainer.use_vllm = "sampling_per_token_logps" in inputs
        logged = self.trainer._metrics["train"]
        logged.clear()
        ids = torch.ones_like(inputs["completion_mask"])
        batch = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, **inputs}
        loss_of = loss_of or type(self.trainer)._compute_loss
        loss = loss_of(self.trainer, self.trainer.model, batch)
        (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=entropy.requires_grad)
        if entropy.requires_grad:
            (self.entropy_gradient,) = torch.autograd.grad(loss, entropy)
        return loss.detach(), gradient, {name: values[-1] for name, values in logged.items()}

    def _score(
        self, rewards: Tensor, weights: list[float], ids: list[list[int]], logps: list | None
    ) -> dict[str, Any]:
        """TRL's generate-and-score stage with the generation and the reward functions replaced."""
        trainer = self.trainer
        beta, trainer.beta = (
            trainer.beta,
            0.0,
        )  # else it asks for a reference, which this stage does not need
        trainer._generate_single_turn = lambda *args, **kwargs: (ids, logps)
        trainer._calculate_rewards = lambda *args, **kwargs: rewards.clone()
        trainer.reward_funcs = trainer.reward_func_names = [
            f"f{k}" for k in range(rewards.shape[1])
        ]
        trainer.reward_weights = torch.tensor(weights, dtype=rewards.dtype)
        scored = trainer._generate_and_score_completions([{"prompt": "a b"}] * len(rewards))
        trainer.beta = beta
        return scored

    def mismatch(self, lengths: list[int], sampler: Tensor, old: Tensor) -> dict[str, Any]:
        """What TRL makes of a sampler's log-probabilities that differ from the trainer's."""
        ids = [[3] * (n - 1) + [1] for n in lengths]
        logps = [row[:n].tolist() for row, n in zip(sampler, lengths, strict=True)]
        self._answer(old, None)
        self.trainer.use_vllm = True
        return self._score(torch.zeros(len(ids), 1), [1.0], ids, logps)

    def advantages(
        self, rewards: Tensor, *, weights: list[float] | None = None, **options: Any
    ) -> Tensor:
        """Advantages of (B, K) rewards."""
        self.configure(options)
        self.trainer.use_vllm = False
        return self._score(
            rewards, weights or [1.0] * rewards.shape[1], [[3, 1]] * len(rewards), None
        )["advantages"]


@pytest.fixture(scope="session")
def trl_oracle(tmp_path_factory: pytest.TempPathFactory) -> TrlOracle:
    return TrlOracle(_build_trainer(str(tmp_path_factory.mktemp("trl"))))


def _build_trainer(folder: str) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefgh"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=64,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    fast.save_pretrained(folder)
    model.save_pretrained(folder)
    model.config._name_or_path = folder
    args = GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        report_to=[],
        per_device_train_batch_size=B,
        num_generations=G,
        max_completion_length=T,
        gradient_checkpointing=False,
        beta=0.1,
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=lambda prompts, **_: [0.0] * len(prompts),
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["a b", "c"]}),
        processing_class=fast,
    )
