"""`workbench eval`: how good a policy is, without training it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.printing import line_of, say, say_aside, say_json, terminal
from workbench.commands.train import lengths_of, run_of, set_threads
from workbench.runs.environment import describe_environment

if TYPE_CHECKING:
    from workbench.evaluation import Estimate
    from workbench.evaluation.answered import Verdict
    from workbench.evaluation.sampled import HowToAnswer
    from workbench.policy import Policy
    from workbench.runs import Answered
    from workbench.tasks.types import Task

USUAL_TASK = "arithmetic"
"""What a policy is asked where neither the command nor a run names a task."""


def eval_command(
    policy: str,
    task: str | None,
    *,
    keys: dict[str, str | None],
    system_prompt: str | None,
    skip_unreadable: bool,
    n: int,
    samples: int,
    temperature: float,
    seed: int,
    max_completion_length: int | None,
    rollout: str | None,
    dtype: str | None,
    quantization: str | None,
    keep: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """See `workbench eval --help`."""
    from workbench.evaluation.prompts import check_prompts
    from workbench.evaluation.sampled import HowToAnswer
    from workbench.policy import load_policy
    from workbench.rewards import with_readable_golds
    from workbench.tasks import load_task
    from workbench.tasks.for_config import prompt_of

    set_threads(threads, policy)
    _check_engine(rollout)
    if task is None:
        task, notice = _task_of(policy)
        if notice:
            say_aside(notice)
    unreadable_golds = "skip" if skip_unreadable else "refuse"
    problems_read = load_task(
        task,
        seed,
        **keys,
        system_prompt=prompt_of(system_prompt),
        unreadable_golds=unreadable_golds,
    )
    loaded_task = with_readable_golds(problems_read, unreadable_golds)
    loaded = load_policy(policy, dtype=dtype, quantization=quantization, trainable=False)
    if max_completion_length is None:
        max_completion_length = _usual_length(policy, loaded)
    problems = loaded_task.held_out[:n]
    check_prompts(loaded, loaded_task, problems, max_completion_length)
    how = HowToAnswer(samples, max_completion_length, temperature, seed=seed)
    answered = _answers(loaded, loaded_task, problems, how, rollout, keep, quiet=as_json)
    if as_json:
        asked = {
            "policy": policy,
            "task": task,
            "dtype": str(loaded.weight_dtype).removeprefix("torch."),
            "quantization": loaded.quantization,
            "max_completion_length": max_completion_length,
            "samples": samples,
            "temperature": temperature,
            "seed": seed,
            "answers": None if keep is None else str(keep),
            # A figure without these cannot be compared with one of another day.
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "environment": describe_environment(),
        }
        say_json(asked | _result_dict(answered))
        return
    kind = "" if loaded.quantization == "none" else f" in {loaded.quantization}"
    _print_result(f"{policy}{kind} on {loaded_task.name}", answered)
    if keep is not None:
        say(f"The completions are in {keep}, one problem a line.")


def _task_of(policy: str) -> tuple[str, str]:
    """The task where none was named, and what is to be said of it: that of the policy's run where
    it is known by name, else the usual one."""
    from workbench.tasks import TASKS, is_hub_name

    run = run_of(policy)
    own = USUAL_TASK if run is None else run.meta.task
    if own == USUAL_TASK:
        return USUAL_TASK, ""
    if own in TASKS or is_hub_name(own):
        return own, f"The task is {own}, that of the policy's run; --task names another."
    return USUAL_TASK, (
        f"note: the policy was trained on another task, {own!r}; it is asked {USUAL_TASK} here. "
        "--task FILE names the run's own."
    )


def _check_engine(rollout: str | None) -> None:
    """Before any weights are read."""
    from workbench.config import GRPOConfig
    from workbench.rollout import check_engine

    if rollout is not None:
        check_engine(GRPOConfig(rollout_engine=rollout))


def _answers(
    policy: Policy,
    task: Task,
    problems: Any,
    how: HowToAnswer,
    rollout: str | None,
    keep: Path | None,
    *,
    quiet: bool,
) -> list[Answered]:
    """All answers, with a bar on a terminal; the engine's memory is given back at the end."""
    from workbench.evaluation.sampled import answer_all
    from workbench.rollout import make_engine

    name = rollout or "native"
    engine = make_engine(name, policy.model, policy.eos_token_ids, policy.pad_token_id)
    try:
        with _progress(len(problems), quiet) as show:
            return answer_all(engine, policy, task, problems, how, keep=keep, on_progress=show)
    finally:
        engine.free()


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """What takes the number of answered problems, and draws it where somebody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = terminal()
    if quiet or not console.is_terminal:
        yield lambda done: None
        return
    columns = (MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda done: progress.update(bar, completed=done)


def _judged(answered: list[Answered]) -> dict[str, list[Verdict]]:
    """The verdicts of each judge: once, since an expression takes its time."""
    from workbench.evaluation.answered import JUDGES, verdicts

    return {judge: verdicts(answered, judge) for judge in JUDGES}


def _result_dict(answered: list[Answered]) -> dict[str, Any]:
    """The greedy strict figure under the names that it had when it was alone, then all of them."""
    from workbench.evaluation.answered import counts, grouped, summarize
    from workbench.rewards.functions import UNDECIDED

    judged = _judged(answered)
    strict = judged["strict"]
    figures = _as_dicts(summarize(strict))
    kinds = dict(sorted(grouped(strict, "kind").items()))
    correct, n = counts(strict)
    return {
        "n": n,
        "correct": correct,
        "accuracy": figures["greedy"]["value"],
        "interval": figures["greedy"]["interval"],
        "by_kind": {kind: counts(of_kind) for kind, of_kind in kinds.items()},
        UNDECIDED: len(answered) - n,
        **figures,
        "lenient": _as_dicts(summarize(judged["lenient"])),
        "kinds": {kind: _as_dicts(summarize(of_kind)) for kind, of_kind in kinds.items()},
    }


def _as_dicts(figures: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.as_dict() for name, estimate in figures.items()}


def _print_result(evaluated: str, answered: list[Answered]) -> None:
    """A line for all problems and one for each kind; with samples a table of all figures."""
    from workbench.evaluation.answered import counts, grouped, summarize

    judged = _judged(answered)
    strict = summarize(judged["strict"])
    greedy = strict["greedy"]
    console = terminal()
    share = f"{greedy.value:.1%}" if greedy.n else "nothing known"
    say(
        f"{evaluated}: {share} of {greedy.n} held-out problems (greedy, strict; 95 % "
        f"interval {greedy.low:.1%} to {greedy.high:.1%})",
        console,
    )
    left_out = len(answered) - greedy.n
    if left_out:
        say(
            f"  {left_out} more could not be compared with their gold answer in time and are not "
            "counted.",
            console,
        )
    for kind, of_kind in sorted(grouped(judged["strict"], "kind").items()):
        right, count = counts(of_kind)
        say(f"  {kind or 'all':20} {right:4d} of {count:4d}  {right / count:.1%}", console)
    lenient = summarize(judged["lenient"])
    if greedy.n and (len(strict) > 1 or lenient["greedy"].value != greedy.value):
        table = _table(strict, lenient)
        console.print(table)


def _table(strict: dict[str, Estimate], lenient: dict[str, Estimate]) -> Any:
    """A row for each figure, strict beside lenient. maj@1 and pass@1 are mean@K again."""
    from rich.table import Table

    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        caption=line_of(
            "mean: of the samples, how many are right; maj@k: the answer that most of k samples "
            "give is right; pass@k: at least one of k samples is right. Strict: the whole "
            "completion has the form; lenient: the likeliest answer in it counts.",
            "dim",
        ),
        caption_justify="left",
    )
    for heading in ("", "strict", "95 %", "lenient", "95 %"):
        table.add_column(line_of(heading))
    shown = [name for name in strict if not name.endswith("@1")]
    order = ("greedy", "mean", "maj", "pass")
    # What is undecided for one judge alone may leave the other without samples.
    shown = [name for name in shown if name in lenient]
    for name in sorted(shown, key=lambda name: order.index(name.partition("@")[0])):
        cells = [name]
        for estimate in (strict[name], lenient[name]):
            cells += [f"{estimate.value:.1%}", f"{estimate.low:.1%} to {estimate.high:.1%}"]
        table.add_row(*(line_of(cell) for cell in cells))
    return table


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
