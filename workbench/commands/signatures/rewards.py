"""`workbench reward …`."""

from __future__ import annotations

from workbench.commands import options


def reward_check(
    reward: options.RewardChecked,
    task: options.TaskChecked = "arithmetic",
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    problems: options.CheckedProblems = 8,
    form: options.AnswerForm = None,
    paid_from: options.PaidFrom = None,
    seed: options.TaskSeed = 0,
    timeout: options.CheckTimeout = 60.0,
    show: options.ShownMistakes = 5,
    as_json: options.JsonObject = False,
) -> None:
    """What a reward pays before it is trained on: right answers in many spellings, near misses, and
    attacks, with false positives and negatives by kind."""
    from workbench.commands.reward import HowToCheck, reward_check_command

    reward_check_command(
        reward,
        task,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        how=HowToCheck(problems, form, paid_from, seed, timeout, show, as_json),
    )


def reward_list(as_json: options.JsonObject = False) -> None:
    """The rewards known by name, with what each pays."""
    from workbench.commands.reward import reward_list_command

    reward_list_command(as_json)


def reward_train(
    out: options.RewardModelOut,
    kind: options.RewardKind = "pairs",
    policy: options.Policy = "embedded",
    task: options.Task = "arithmetic",
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    gold: options.Gold = None,
    problems: options.TrainingProblems = 400,
    samples: options.RewardSamples = 8,
    roll_ins: options.RollIns = 8,
    steps_by: options.StepsBy = None,
    epochs: options.Epochs = 1,
    learning_rate: options.RewardLearningRate = None,
    max_completion_length: options.EvalLength = None,
    temperature: options.Temperature = 1.0,
    seed: options.TaskSeed = 0,
    rollout: options.Rollout = None,
    threads: options.Threads = None,
    as_json: options.JsonLines = False,
) -> None:
    """Train a reward model on what a policy samples, and judge it on held-out problems. Its folder
    is a reward: workbench train --reward model:FOLDER."""
    from workbench.commands.reward_model import Asked, reward_train_command

    asked = Asked(
        kind=kind,
        policy=policy,
        task=task,
        gold=gold or ["answer"],
        problems=problems,
        samples=samples,
        roll_ins=roll_ins,
        steps_by=steps_by,
        epochs=epochs,
        learning_rate=learning_rate,
        max_completion_length=max_completion_length,
        temperature=temperature,
        seed=seed,
        rollout=rollout,
        out=out,
    )
    reward_train_command(
        asked,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        threads=threads,
        as_json=as_json,
    )
