"""Scripts that were written for TRL, with the import line changed."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from helpers import digits_reward, in_one_test

from workbench import load_policy
from workbench.compat.trl import GRPOConfig, GRPOTrainer
from workbench.compat.trl.prompts import prompt_task
from workbench.config import ConfigError
from workbench.tasks import TaskError, TaskWarning

ROWS = [
    {"prompt": [{"role": "user", "content": f"What is {a} + 5?"}], "answer": str(a + 5)}
    for a in range(4)
]
SMALL = dict(max_steps=2, max_completion_length=8, num_generations=4)
SMALL |= dict(per_device_train_batch_size=8, learning_rate=1e-4)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def config(**more) -> GRPOConfig:
    return GRPOConfig(**(SMALL | {"output_dir": "out"} | more))


def seed_script(shared: Path, name: str, word: str) -> str:
    """The block of Python in a seed that holds `word`."""
    [seed] = (shared / "seeds").glob(f"{name}_*.txt")
    blocks = re.findall(r"```python\n(.*?)```", seed.read_text(errors="replace"), re.DOTALL)
    [block] = [block for block in blocks if word in block]
    return block


def test_the_script_of_seed_004_runs(shared: Path) -> None:
    """Only the import line, the model of the Hub and the length of the run are changed."""
    names: dict[str, object] = {}
    exec(seed_script(shared, "004", "def format_reward_func"), names)
    script = seed_script(shared, "004", "trainer.train()")
    assert "from trl import" in script
    for old, new in (
        ("from trl import", "from workbench.compat.trl import"),
        ("mistralai/Mistral-7B-Instruct", "embedded"),
        ("max_completion_length=256", "max_completion_length=6, max_steps=1"),
    ):
        assert old in script
        script = script.replace(old, new)
    names["my_dataset"] = ROWS
    exec(script, names)
    trainer = names["trainer"]
    assert trainer.state.global_step == 1
    first = trainer.run.config
    assert (first["beta"], first["temperature"], first["num_generations"]) == (0.02, 0.9, 8)
    assert trainer.reward_set.names == ("format_reward_func",)


def test_the_reward_of_seed_004_gives_what_it_prints(shared: Path) -> None:
    names: dict[str, object] = {}
    exec(seed_script(shared, "004", "def format_reward_func"), names)
    right = "<think>5 x 5</think><answer>25</answer>"
    given = [[{"role": "assistant", "content": text}] for text in (right, "8 / 2 is 4.")]
    assert names["format_reward_func"](completions=given) == [1.0, 0.0]


def test_training_moves_the_weights_and_keeps_a_record(tmp_path: Path) -> None:
    before = load_policy("embedded").trainable_state()
    trainer = GRPOTrainer("embedded", digits_reward, config(), ROWS)
    done = trainer.train()
    after = trainer.policy.trainable_state()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert done.global_step == trainer.state.global_step == trainer.state.max_steps == 2
    history = trainer.state.log_history
    assert [row["step"] for row in history] == [1, 2]
    # Two prompts a step of four: a step is half an epoch.
    assert [row["epoch"] for row in history] == [0.5, 1.0]
    assert all(row["reward"] == pytest.approx(row["rewards/digits_reward/mean"]) for row in history)
    assert all(
        "completions/mean_length" in row and "frac_reward_zero_std" in row for row in history
    )
    assert done.training_loss == pytest.approx(sum(row["loss"] for row in history) / 2)
    assert trainer.run.path == tmp_path / "out" / "run.sqlite"


def test_without_gold_answers_nothing_is_evaluated() -> None:
    rows = [{"prompt": row["prompt"]} for row in ROWS]
    trainer = GRPOTrainer("embedded", digits_reward, config(max_steps=1), rows)
    trainer.train()
    evaluations = trainer.run.evaluations()
    assert set(evaluations.n) == {0}
    assert all(math.isnan(value) for value in evaluations.accuracy)
    with pytest.raises(ConfigError, match="needs an eval_dataset"):
        trainer.evaluate()


def test_an_eval_dataset_with_golds_is_held_out() -> None:
    tests = [{"prompt": "What is 90 + 5?", "answer": "#### 95"}, {"prompt": "Say something."}]
    with pytest.warns(TaskWarning, match="1 of 2 rows of eval_dataset have no gold"):
        trainer = GRPOTrainer("embedded", digits_reward, config(max_steps=1), ROWS, tests)
    trainer.train()
    assert set(trainer.run.evaluations().n) == {1}
    assert trainer.evaluate()["eval_problems"] == 1


def test_plain_prompts_give_plain_completions() -> None:
    seen = []

    def length(prompts, completions, level, **columns):
        seen.append((prompts, completions, level))
        return [float(len(text)) for text in completions]

    rows = [{"prompt": "What is 1 + 5?", "level": "easy"}] * 2
    GRPOTrainer("embedded", [length], config(max_steps=1), rows).train()
    [(prompts, completions, level)] = seen
    assert prompts == ["What is 1 + 5?"] * 8
    assert all(isinstance(text, str) for text in completions)
    assert level == ["easy"] * 8


def test_async_rewards_and_objects_keep_their_names() -> None:
    class Judge:
        def __call__(self, completions, **columns):
            return [float(len(text)) for text in completions]

    async def slow(completions, **columns):
        return [float(text.count("1")) for text in completions]

    rows = [{"prompt": "What is 1 + 5?"}] * 2
    trainer = GRPOTrainer("embedded", [Judge(), slow], config(max_steps=1), rows)
    assert trainer.reward_set.names == ("Judge", "slow")
    trainer.train()
    assert {"rewards/Judge/mean", "rewards/slow/mean"} <= set(trainer.state.log_history[0])


def test_reward_functions_get_the_columns_as_they_are() -> None:
    seen = {}

    def reward(prompts, completions, question, answer, **columns):
        seen.update(prompts=prompts, question=question, answer=answer, **columns)
        return [0.0] * len(completions)

    rows = [
        row | {"question": "raw", "answer": f"so #### {row['answer']}", "completion": "left out"}
        for row in ROWS[:2]
    ]
    GRPOTrainer("embedded", reward, config(max_steps=1), rows).train()
    assert set(seen["question"]) == {"raw"}
    assert set(seen["answer"]) == {"so #### 5", "so #### 6"}
    assert seen["prompts"][0] in [row["prompt"] for row in rows]
    assert "completion" not in seen


def test_lora_a_dataset_and_a_tokenizer(tmp_path: Path) -> None:
    from datasets import Dataset
    from peft import LoraConfig

    lora = LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = GRPOTrainer(
        model="embedded",
        reward_funcs=[digits_reward],
        args=config(max_steps=1),
        train_dataset=Dataset.from_list(ROWS),
        processing_class=load_policy("embedded").tokenizer,
        peft_config=lora,
    )
    trainer.train()
    ours = trainer.run.config
    assert (ours["lora_rank"], ours["lora_alpha"]) == (2, 8.0)
    assert ours["lora_target_modules"] == "q_proj,v_proj"
    trainer.save_model("saved")
    assert (tmp_path / "saved" / "adapter_config.json").is_file()
    assert load_policy(tmp_path / "saved").has_adapter


def test_a_loaded_model_with_its_tokenizer(tmp_path: Path) -> None:
    own = load_policy("embedded")
    trainer = GRPOTrainer(
        own.model, digits_reward, config(max_steps=1), ROWS, processing_class=own.tokenizer
    )
    trainer.train()
    trainer.save_model("saved")
    saved = load_policy(tmp_path / "saved").trainable_state()
    assert all(torch.equal(saved[name], w) for name, w in trainer.policy.trainable_state().items())
    with pytest.raises(ConfigError, match="processing_class is missing"):
        GRPOTrainer(own.model, digits_reward, config(), ROWS)


def test_a_folder_with_a_run_is_left_alone_or_gone_on_with(tmp_path: Path) -> None:
    GRPOTrainer("embedded", digits_reward, config(max_steps=1), ROWS).train()
    again = GRPOTrainer("embedded", digits_reward, config(max_steps=1), ROWS)
    again.train()
    assert again.run.path == tmp_path / "out-2" / "run.sqlite"
    longer = GRPOTrainer("embedded", digits_reward, config(max_steps=2), ROWS)
    longer.train(resume_from_checkpoint=True)
    assert longer.run.path == tmp_path / "out" / "run.sqlite"
    assert [row["step"] for row in longer.state.log_history] == [1, 2]


def test_nothing_phones_home(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_, **__):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    trainer = GRPOTrainer("embedded", digits_reward, config(max_steps=1), ROWS)
    trainer.train()
    with pytest.raises(ConfigError, match="uploads nothing"):
        trainer.push_to_hub()


@in_one_test(
    [
        dict(said=dict(callbacks=[object()]), match="callbacks=.*workbench.Session"),
        dict(said=dict(tools=[print]), match="there are no tools"),
        dict(said=dict(optimizers=(object(), None)), match="makes its AdamW itself"),
        dict(said=dict(tokenizer=1), match="it is processing_class"),
        dict(said=dict(train_datasets=ROWS), match="Did you mean 'train_dataset'"),
        dict(said=dict(reward_funcs=None), match="reward_funcs is missing"),
        dict(said=dict(reward_funcs="org/reward"), match="'model:org/reward'"),
        dict(said=dict(args={"beta": 1}), match="args is builtins's dict"),
        dict(said=dict(peft_config=1), match="Give a peft.LoraConfig"),
        dict(said=dict(quantization_config=object()), match="nf4"),
        dict(said=dict(model=3), match="give the name of a model"),
    ]
)
def test_what_the_trainer_cannot_do_is_refused_by_name(said: dict, match: str) -> None:
    usual = dict(model="embedded", reward_funcs=digits_reward, args=config(), train_dataset=ROWS)
    with pytest.raises(ConfigError, match=match):
        GRPOTrainer(**(usual | said))


def test_trls_own_config_is_refused_with_the_import_line() -> None:
    from trl import GRPOConfig as TheirConfig

    with pytest.raises(ConfigError, match="trl's GRPOConfig. Import both from here"):
        GRPOTrainer("embedded", digits_reward, TheirConfig("o", use_cpu=True), ROWS)


def test_an_adapter_with_more_than_we_know_is_refused() -> None:
    from peft import LoraConfig

    lora = LoraConfig(r=2, modules_to_save=["lm_head"])
    with pytest.raises(ConfigError, match="modules_to_save="):
        GRPOTrainer("embedded", digits_reward, config(), ROWS, peft_config=lora)


@in_one_test(
    [
        dict(data=None, match="train_dataset is missing"),
        dict(data=[], match="no rows"),
        dict(data={"train": ROWS}, match=r"data\['train'\]"),
        dict(data=iter(ROWS), match="cannot be counted"),
        dict(data=[{"question": "q"}], match="rename_column"),
        dict(data=[{"prompt": " "}], match="the prompt is empty"),
        dict(data=[{"prompt": 3}], match="neither text nor a message list"),
        dict(data=[{"prompt": "a"}, ROWS[0]], match="Make them one kind"),
        dict(data=[{"prompt": "a", "trainer_state": 1}], match="'trainer_state'"),
        dict(data=[{"prompt": "a", "image": 1}], match="pictures"),
        dict(
            data=[{"prompt": [{"role": "assistant", "content": "Solve 2 + 3"}]}],
            match="row 0: the message list has no turn of the user",
        ),
        dict(
            data=[{"prompt": [*ROWS[0]["prompt"], {"role": "assistant", "content": "It is"}]}],
            match="ends in an assistant's turn",
        ),
    ]
)
def test_data_that_cannot_be_asked_is_refused(data, match: str) -> None:
    with pytest.raises(TaskError, match=match):
        prompt_task(data)


def test_a_prompt_in_both_splits_is_named() -> None:
    with pytest.warns(TaskWarning, match="1 prompt.s. of eval_dataset are trained on too"):
        prompt_task(ROWS, ROWS[:1])
