"""`workbench tornado`: what each knob would have done, from a checkpoint of a stored run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.commands.printing import say_aside, say_json, say_lines
from workbench.commands.resuming import parts_of
from workbench.commands.train import set_threads
from workbench.config import ConfigError, GRPOConfig, value_of
from workbench.runs import Run, is_run_record


def tornado_command(
    run: Path,
    *,
    step: int | None,
    knobs: Sequence[str] | None,
    steps: int,
    seeds: int,
    problems: int,
    policy: str | None,
    task: str | None,
    rewards: Sequence[str] | None,
    threads: int | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """See `workbench tornado --help`."""
    folder = run.expanduser().absolute()
    if not is_run_record(folder / "run.sqlite"):
        raise ConfigError(f"{str(run)!r} is no run's folder: it holds no run.sqlite.")
    # What may be wrong comes before torch.
    asked = knobs_of(knobs)
    parts = parts_of(folder, True, policy, task, rewards, None)
    say_aside("loading torch and transformers")
    from workbench.policy import load_policy
    from workbench.rewards import CONTROLS, DEFAULT_REWARDS, RewardSet, with_readable_golds
    from workbench.runs.tornado.words import as_html, sentences
    from workbench.tasks.for_config import load_task_for
    from workbench.training.tornado.stored import tornado_of_run
    from workbench.widgets.base.html_file import write_page

    set_threads(threads, parts.policy)
    config = GRPOConfig.from_dict(Run.open(folder).config)
    chosen = RewardSet(parts.rewards or list(DEFAULT_REWARDS))
    result = tornado_of_run(
        folder,
        load_policy(parts.policy, config=config),
        with_readable_golds(load_task_for(config, parts.task), config.unreadable_golds),
        CONTROLS[parts.control](chosen, config.seed) if parts.control else chosen,
        step=step,
        knobs=asked,
        steps=steps,
        seeds=seeds,
        problems=problems,
        on_progress=lambda progress: say_aside(str(progress)),
    )
    if html is not None:
        write_page(html, f"<!doctype html><meta charset='utf-8'>{as_html(result)}")
    if as_json:
        say_json(result.to_dict() | {"path": str(result.path)})
        return
    say_lines("\n".join([*sentences(result), f"Kept in {result.path}"]))


def knobs_of(texts: Sequence[str] | None) -> dict[str, list[Any]] | list[str] | None:
    """Knobs as the command line writes them, NAME or NAME=DOWN,UP or NAME=UP. Raises `ConfigError`
    where some have values and others have none."""
    if not texts:
        return None
    pairs = [text.partition("=") for text in texts]
    named = [name for name, sign, _ in pairs if not sign]
    if not named:
        return {
            name: [value_of(name, part) for part in values.split(",")] for name, _, values in pairs
        }
    if len(named) == len(pairs):
        return named
    raise ConfigError(f"--knob {' --knob '.join(texts)}: give values for all of them, or for none.")
