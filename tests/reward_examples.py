"""Two problems with completions, for tests of reward models."""

from __future__ import annotations

MESSAGES = [
    [{"role": "user", "content": "What is 17 + 28?"}],
    [{"role": "user", "content": "2 + 2?"}],
]
COMPLETIONS = ["<think>7+8=15 1+2+1=4</think><answer>45</answer>", "4"]
