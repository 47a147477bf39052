"""What the preset of DeepSeekMath's own run says that it would take is what the planner reckons."""

from __future__ import annotations

import re

from transformers import AutoConfig

from workbench.config import PRESETS, GRPOConfig
from workbench.plan import device_named, plan
from workbench.plan.shapes import Shape

DEEPSEEKMATH_7B = AutoConfig.for_model(
    "llama",
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=30,
    num_attention_heads=32,
    num_key_value_heads=32,
    vocab_size=102400,
    tie_word_embeddings=False,
    max_position_embeddings=4096,
)
"""The config of deepseek-ai/deepseek-math-7b-instruct."""


def test_the_paper_s_run_takes_what_its_preset_says() -> None:
    config = GRPOConfig.preset("deepseekmath_full")
    # 144K questions, 16 a step.
    assert config.max_steps * config.prompts_per_step == 144_000
    made = plan(
        config,
        Shape("DeepSeekMath 7B", DEEPSEEKMATH_7B, "its config"),
        device_named("H200"),
        advice=False,
    )
    values = made.to_dict()
    assert round(values["parameters"] / 1e9, 1) == 6.9
    rollout, _, update = values["phases"]
    said = PRESETS["deepseekmath_full"].takes
    lasting = sum(
        update["parts"][name] for name in ("weights", "optimizer", "reference", "gradients")
    )
    assert f"{lasting / 1e9:.0f} GB for weights" in said
    assert f"{rollout['parts']['kv_cache'] / 1e9:,.0f} GB for the keys" in said
    # Each end of the range by phase: a step is their sum.
    range_of_step = [sum(values["seconds"][end].values()) for end in ("low", "high")]
    low, high = (round(seconds / 60) for seconds in range_of_step)
    assert f"{low} to {high} minutes" in said
    days = [int(figure) for figure in re.findall(r"(\d+) to (\d+) days", said)[0]]
    assert days == [round(config.max_steps * seconds / 86400) for seconds in range_of_step]
