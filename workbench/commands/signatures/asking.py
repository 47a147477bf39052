"""`workbench eval` and `task`: policies and problems, without training."""

from __future__ import annotations

from workbench.commands import options


def eval_(
    run: options.EvaluatedRun = None,
    policy: options.Policy = "embedded",
    task: options.TaskOrThePolicys = None,
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    n: options.HeldOut = 1000,
    samples: options.Samples = 0,
    temperature: options.Temperature = 1.0,
    seed: options.TaskSeed = 0,
    max_completion_length: options.EvalLength = None,
    rollout: options.Rollout = None,
    dtype: options.EvalDtype = None,
    quantization: options.EvalQuantization = None,
    out: options.KeepAnswers = None,
    read: options.ReadAnswers = None,
    control: options.Control = None,
    record: options.RecordEvaluation = False,
    recorded: options.Recorded = False,
    step: options.OfStep = None,
    threads: options.Threads = None,
    as_json: options.JsonObject = False,
) -> None:
    """Accuracy on held-out problems with its 95 % interval: greedy, and with --samples K mean@K,
    maj@k and pass@k, strict beside lenient, by kind, subject and level."""
    from workbench.commands.evaluate import EvalRequest, eval_command

    request = EvalRequest(
        policy=policy,
        task=task,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        problems=n,
        samples=samples,
        temperature=temperature,
        seed=seed,
        max_completion_length=max_completion_length,
        rollout=rollout,
        dtype=dtype,
        quantization=quantization,
        keep=out,
        control=control,
        record=record,
        recorded=recorded,
        step=step,
        threads=threads,
        as_json=as_json,
    )
    eval_command(run, read, request)


def task_(
    source: options.TaskShown,
    policy: options.PolicyShown = None,
    column: options.Columns = None,
    question_key: options.QuestionKey = None,
    answer_key: options.AnswerKey = None,
    system_key: options.SystemKey = None,
    system_prompt: options.SystemPrompt = None,
    skip_unreadable: options.SkipUnreadable = False,
    seed: options.TaskSeed = 0,
    max_prompt_length: options.MaxPromptLength = None,
    max_completion_length: options.MaxCompletionLength = None,
    as_json: options.JsonObject = False,
) -> None:
    """How a file of problems is read: keys, golds and where they were found, what is dropped. With
    --policy: a prompt as the policy gets it."""
    from workbench.commands.task import task_command

    task_command(
        source,
        policy=policy,
        keys=options.keys_of(
            column,
            question_key=question_key,
            answer_key=answer_key,
            system_key=system_key,
        ),
        system_prompt=system_prompt,
        skip_unreadable=skip_unreadable,
        seed=seed,
        lengths={
            "max_prompt_length": max_prompt_length,
            "max_completion_length": max_completion_length,
        },
        as_json=as_json,
    )
