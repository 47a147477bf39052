"""`workbench eval`: how good a policy is, without training it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console

from workbench.commands.train import lengths_of, set_threads
from workbench.rewards.functions import UNDECIDED

if TYPE_CHECKING:
    from workbench.runs import Evaluation


def eval_command(
    policy: str,
    task: str,
    *,
    n: int,
    seed: int,
    max_completion_length: int | None,
    dtype: str | None,
    quantization: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """See `workbench eval --help`."""
    from workbench.evaluation import evaluate
    from workbench.evaluation.prompts import check_prompts
    from workbench.policy import load_policy
    from workbench.rollout import make_engine
    from workbench.tasks import load_task

    set_threads(threads, policy)
    problems = load_task(task, seed=seed)
    loaded = load_policy(policy, dtype=dtype, quantization=quantization, trainable=False)
    if max_completion_length is None:
        max_completion_length = _usual_length(policy, loaded)
    check_prompts(loaded, problems, problems.held_out[:n], max_completion_length)
    engine = make_engine("native", loaded.model, loaded.eos_token_ids, loaded.pad_token_id)
    result = evaluate(engine, loaded, problems, problems.held_out[:n], max_completion_length)
    if as_json:
        asked = {
            "policy": policy,
            "task": task,
            "dtype": str(loaded.weight_dtype).removeprefix("torch."),
            "quantization": loaded.quantization,
            "max_completion_length": max_completion_length,
        }
        print(json.dumps(asked | _result_dict(result)))
        return
    kind = "" if loaded.quantization == "none" else f" in {loaded.quantization}"
    _print_result(f"{policy}{kind} on {problems.name}", result)


def _result_dict(result: Evaluation) -> dict[str, Any]:
    return {
        "n": result.n,
        "correct": result.correct,
        "accuracy": result.accuracy,
        "interval": [result.low, result.high],
        **result.extra,
    }


def _print_result(evaluated: str, result: Evaluation) -> None:
    """A line for all problems, and one for each kind of them."""
    console = Console(highlight=False)
    console.print(
        f"{evaluated}: {result.accuracy:.1%} of {result.n} held-out "
        f"problems (greedy, strict; 95 % interval {result.low:.1%} to {result.high:.1%})"
    )
    if UNDECIDED in result.extra:
        console.print(
            f"  {result.extra[UNDECIDED]} more could not be compared with their gold answer in "
            "time and are not counted."
        )
    for kind, (right, count) in sorted(result.extra["by_kind"].items()):
        console.print(
            f"  {kind or 'all':20} {right:4d} of {count:4d}  {right / count:.1%}", markup=False
        )


def _usual_length(policy: str, loaded: Any) -> int:
    """As in the run that the policy lies in; else 48 for the embedded one, and 256 or half the
    positions for another."""
    positions = (
        getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        or 512
    )
    return int(
        lengths_of(policy).get("max_completion_length")
        or (48 if policy == "embedded" else min(256, positions // 2))
    )
