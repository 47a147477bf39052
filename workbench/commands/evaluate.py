"""`workbench eval`: how good a policy is, without training it."""

from __future__ import annotations

import json

from rich.console import Console

from workbench.commands.train import set_threads


def eval_command(
    policy: str, task: str, *, n: int, seed: int, max_completion_length: int, dtype: str | None, quantization: str | None, threads: int | None,
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
    check_prompts(loaded, problems, problems.held_out[:n], max_completion_length)
    engine = make_engine("native", loaded.model, loaded.eos_token_ids, loaded.pad_token_id)
    result = evaluate(engine, loaded, problems, problems.held_out[:n], max_completion_length)
    if as_json:
        print(json.dumps({"policy": policy, "task": task, "dtype": str(loaded.weight_dtype).removeprefix("torch."),
                          "quantization": loaded.quantization, "n": result.n, "correct": result.correct,
                          "accuracy": result.accuracy, "interval": [result.low, result.high], **result.extra}))
        return
    console = Console(highlight=False)
    console.print(f"{policy} on {problems.name}: {result.accuracy:.1%} of {result.n} held-out problems (greedy, strict; "
                  f"95 % interval {result.low:.1%} to {result.high:.1%})")
    for kind, (right, count) in sorted(result.extra["by_kind"].items()):
        console.print(f"  {kind or 'all':20} {right:4d} of {count:4d}  {right / count:.1%}", markup=False)
