"""What verl asks for a score: the reward functions of rewards.py, weighted and added up."""

import asyncio
import inspect
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from rewards import REWARDS, WEIGHTS  # noqa: E402


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """The score of one completion, and beside it what each function gave."""
    row = json.loads(extra_info["row"])
    completions = [[{"role": "assistant", "content": solution_str}]]
    columns = {name: [value] for name, value in row.items() if name != "prompt"}
    score, parts = 0.0, {}
    for place, (function, weight) in enumerate(zip(REWARDS, WEIGHTS, strict=True)):
        found = function(prompts=[row["prompt"]], completions=completions, **columns)
        if inspect.isawaitable(found):
            found = asyncio.run(found)
        # None: not scored.
        value = 0.0 if found[0] is None else float(found[0])
        score += weight * value
        parts[f"{place}_{getattr(function, '__name__', 'reward')}"] = value
    return {"score": score, **parts}
