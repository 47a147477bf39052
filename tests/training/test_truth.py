"""The record holds what was, not what the config asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import digits_reward

from workbench.config import ConfigError, ConfigWarning, GRPOConfig
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.runs import Event, Run, RunWriter
from workbench.runs.store.rows import put_meta
from workbench.tasks import load_task
from workbench.tasks.arithmetic import arithmetic_task
from workbench.tasks.digest import problems_digest
from workbench.tasks.types import Task
from workbench.training import Trainer, start_run
from workbench.training.same_run import check_same_problems

SETTINGS = dict(
    prompts_per_step=4,
    num_generations=4,
    max_completion_length=8,
    max_steps=2,
    eval_steps=0,
    num_eval_problems=4,
)


def started(out: Path, folder: Path, loaded: dict[str, Any], asked: dict[str, Any]) -> Trainer:
    """A run whose policy was loaded by hand, and whose config may say something else of it."""
    return start_run(
        out,
        policy=load_policy(folder, **loaded),
        task=arithmetic_task(0, 64, 16),
        rewards=RewardSet(digits_reward),
        config=GRPOConfig(**SETTINGS, **asked),
        resume=(out / "run.sqlite").exists(),
    )


def recorded(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, environment) of the record."""
    meta = Run.open(out).meta
    return meta.config, meta.environment


def test_a_float32_policy_is_not_recorded_as_float16(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.warns(ConfigWarning, match="dtype='float16', but the policy was loaded in float32"):
        trainer = started(tmp_path, tiny_folder, dict(lora=4), dict(lora_rank=4, dtype="float16"))
    config, environment = recorded(tmp_path)
    assert (config["dtype"], environment["dtype"]) == ("float32", "float32")
    assert trainer.config.dtype == "float32"


def test_auto_is_recorded_with_what_it_came_to(tiny_folder: Path, tmp_path: Path) -> None:
    started(tmp_path, tiny_folder, dict(lora=4, dtype="bfloat16"), dict(lora_rank=4))
    config, environment = recorded(tmp_path)
    assert (config["dtype"], environment["dtype"]) == ("auto", "bfloat16")
    assert (environment["trained_dtype"], environment["device"]) == ("float32", "cpu")


@pytest.mark.parametrize("asked", [{}, dict(lora_rank=8)])
def test_an_adapter_is_recorded_as_it_is(
    tiny_folder: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    trainer = started(tmp_path, tiny_folder, dict(lora=4), asked)
    config, environment = recorded(tmp_path)
    # A scale of twice its rank is what an open one means.
    assert (config["lora_rank"], config["lora_alpha"]) == (4, 8.0)
    count = sum(p.numel() for p in trainer.policy.trainable_parameters())
    assert environment["trained_parameters"] == count


def test_an_adapter_of_ones_own_is_recorded_with_its_targets(
    tiny_folder: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig

    own = LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"], use_rslora=True)
    started(tmp_path, tiny_folder, dict(lora=own), {})
    config, _ = recorded(tmp_path)
    assert (config["lora_rank"], config["lora_alpha"], config["use_rslora"]) == (2, 3.0, True)
    assert config["lora_target_modules"] == "q_proj,v_proj"


def test_a_quantised_base_is_recorded_as_it_is(tiny_folder: Path, tmp_path: Path) -> None:
    started(tmp_path, tiny_folder, dict(lora=4, quantization="int8"), {})
    config, environment = recorded(tmp_path)
    assert (config["quantization"], config["lora_rank"]) == ("int8", 4)
    assert environment["quantization"] == "int8"


def test_checkpointing_that_the_policy_has_is_recorded(tiny_folder: Path, tmp_path: Path) -> None:
    started(tmp_path, tiny_folder, dict(gradient_checkpointing=True), {})
    assert recorded(tmp_path)[0]["gradient_checkpointing"] is True


def test_a_config_that_says_what_is_so_is_recorded_as_it_is(
    tiny_folder: Path, tmp_path: Path
) -> None:
    asked = GRPOConfig(**SETTINGS, lora_rank=4)
    trainer = started(tmp_path, tiny_folder, dict(config=asked), dict(lora_rank=4))
    assert trainer.config == asked
    assert recorded(tmp_path)[0] == asked.to_dict()


def test_what_was_recorded_can_be_resumed_with_what_was_asked(
    tiny_folder: Path, tmp_path: Path
) -> None:
    first = started(tmp_path, tiny_folder, dict(lora=4), {})
    first.train(1)
    first.run.close()
    assert started(tmp_path, tiny_folder, dict(lora=4), {}).steps_done == 1
    # And with the record's own config, as the command line does.
    own = GRPOConfig.from_dict(recorded(tmp_path)[0])
    again = start_run(
        tmp_path,
        policy=load_policy(tiny_folder, config=own),
        task=first.task,
        rewards=first.rewards,
        config=own,
        resume=True,
    )
    assert again.steps_done == 1


def test_a_task_of_the_same_name_with_other_problems_is_refused(
    make_trainer, tmp_path: Path
) -> None:
    first = make_trainer()
    first.train(1)
    first.run.close()
    environment = recorded(tmp_path / "run")[1]
    assert environment["problems"] == [64, 16]
    other = replace(first.task, train=arithmetic_task(1, 64, 16).train)
    with pytest.raises(ConfigError, match="had other problems"):
        start_run(
            tmp_path / "run",
            policy=first.policy,
            task=other,
            rewards=first.rewards,
            config=first.config,
            resume=True,
        )
    assert Run.open(tmp_path / "run").last_step() == 1


def test_another_chat_template_is_said_when_a_run_is_resumed(make_trainer) -> None:
    first = make_trainer()
    first.train(1)
    first.run.close()
    first.policy.tokenizer.chat_template = (
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    )
    with pytest.warns(UserWarning, match="chat template of policy .* is another one"):
        start_run(
            first.out,
            policy=first.policy,
            task=first.task,
            rewards=first.rewards,
            config=first.config,
            resume=True,
        )


def test_a_run_that_goes_on_with_other_versions_says_so(
    make_trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record would otherwise name the machine and the packages of its first steps for all."""
    from workbench.runs import environment

    first = make_trainer()
    first.train(1)
    first.run.close()
    packages = environment.describe_environment()["packages"] | {"torch": "99.0"}
    monkeypatch.setattr(environment, "_versions", lambda: packages)
    make_trainer(resume=True)
    run = Run.open(first.out)
    (event,) = run.events()[lambda frame: frame.kind == "resume"].itertuples()
    assert event.data["environment"]["packages"]["torch"] == "99.0"
    assert "on another environment (packages)" in event.text
    assert run.meta.environment["packages"]["torch"] == "99.0"


def test_a_run_does_not_go_on_over_another_base(tiny_folder: Path, tmp_path: Path) -> None:
    """Both configs say nothing of quantisation; only one base was."""
    first = started(tmp_path, tiny_folder, dict(lora=4), {})
    first.train(1)
    first.run.close()
    with pytest.raises(ConfigError, match="quantization='int8' differs from the run's own 'none'"):
        started(tmp_path, tiny_folder, dict(lora=4, quantization="int8"), {})


def test_a_record_of_an_earlier_version_is_resumed(tiny_folder: Path, tmp_path: Path) -> None:
    """It says lora_rank=0 of an adapter that was loaded by hand."""
    first = started(tmp_path, tiny_folder, dict(lora=4), {})
    first.train(1)
    asked = GRPOConfig(**SETTINGS).to_dict()
    with first.run._transaction("a test") as database:
        kept = {"packages": {}}
        put_meta(database, config=asked, environment=kept)
    first.run.close()
    assert started(tmp_path, tiny_folder, dict(lora=4), {}).steps_done == 1


def asked_in_another_way(task: Task) -> dict[str, Task]:
    """The task with the same questions and answers, and something else about them."""

    def each(**changes: Any) -> Task:
        return replace(task, train=[replace(problem, **changes) for problem in task.train])

    turns = ({"role": "user", "content": "Count on."}, {"role": "assistant", "content": "Yes."})
    return {
        "the system prompt": replace(task, system_prompt="Write a poem."),
        "a system message of the row": each(before=({"role": "system", "content": "Rhyme."},)),
        "the earlier turns": each(before=turns),
        "a column": each(columns={"tests": ["assert f(1) == 2"]}),
        "the kind": each(kind="odd"),
        "the split": replace(task, train=task.train[:-1]),
    }


@pytest.mark.parametrize("what", list(asked_in_another_way(arithmetic_task(0, 64, 16))))
def test_a_run_is_not_resumed_with_problems_that_are_asked_in_another_way(
    make_trainer, what: str
) -> None:
    first = make_trainer()
    first.train(1)
    first.run.close()
    with pytest.raises(ConfigError, match="had other problems"):
        resumed_with(first, asked_in_another_way(first.task)[what])
    assert Run.open(first.out).last_step() == 1
    assert resumed_with(first, first.task).steps_done == 1


def test_another_system_prompt_is_named(make_trainer) -> None:
    first = make_trainer()
    first.train(1)
    first.run.close()
    other = asked_in_another_way(first.task)["the system prompt"]
    with pytest.raises(
        ConfigError, match="Its system prompt was 'Solve .* now it is 'Write a poem.'"
    ):
        resumed_with(first, other)


def test_a_column_that_is_no_json_does_not_stand_in_the_way(make_trainer) -> None:
    """Its repr may hold an address, which is another one in the next process."""

    def with_object(task: Task) -> Task:
        train = [replace(problem, columns={"made": object()}) for problem in task.train]
        return replace(task, train=train)

    task = arithmetic_task(0, 64, 16)
    assert problems_digest(with_object(task)) == problems_digest(with_object(task))
    assert problems_digest(with_object(task)) != problems_digest(task)


def other_gold(task: Task) -> Task:
    return replace(task, train=[replace(problem, answer="-1") for problem in task.train])


def another_order(task: Task) -> Task:
    return replace(task, train=task.train[::-1])


@pytest.mark.parametrize(
    ("read_now", "words"),
    [(another_order, "which the task does not have there"), (other_gold, "its gold answer was")],
)
def test_a_file_that_is_read_differently_by_now_is_refused_for_an_earlier_record(
    make_trainer, read_now: Callable[[Task], Task], words: str
) -> None:
    """It has no digest of the problems: those that it asked are compared."""
    first = make_trainer()
    first.train(2)
    with first.run._transaction("a test") as database:
        put_meta(database, environment={"packages": {}})
    first.run.close()
    with pytest.raises(ConfigError, match=rf"{words}.*may read the same file differently"):
        resumed_with(first, read_now(first.task))
    assert Run.open(first.out).last_step() == 2
    assert resumed_with(first, first.task).steps_done == 2


def test_what_an_earlier_record_does_not_say_of_its_file_is_warned_of(
    make_trainer, tmp_path: Path
) -> None:
    rows = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = load_task(tmp_path / "rows.jsonl", seed=0)
    with RunWriter.create(tmp_path / "run", config={}, reward_names=[]) as run:
        run.write_event(Event("notice", "a run that asked nothing yet"))
    with pytest.warns(UserWarning, match="may read the rest of the file differently"):
        check_same_problems(Run.open(tmp_path / "run"), task)


def resumed_with(first: Trainer, task: Task) -> Trainer:
    """The run of `first`, resumed with another task."""
    return start_run(
        first.out,
        policy=first.policy,
        task=task,
        rewards=first.rewards,
        config=first.config,
        resume=True,
    )
