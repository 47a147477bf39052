"""The options of the command line, one name each: several commands share most of them.

Nothing heavy is imported here, so that `workbench --help` is quick; what an option names (tasks,
rewards, presets) is looked up by the command that uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.config import ENGINE_FACTS, KEY_FIELDS, METHODS, ConfigError, value_of


def one_of(names: Iterable[str]) -> str:
    """The names as a sentence lists them."""
    *others, last = [repr(name) for name in names]
    return f"{', '.join(others)} or {last}"


POLICY_HELP = "'embedded', a folder, a .gguf file, or a Hugging Face model id."
TASK_HELP = (
    "'arithmetic', the same out of its distribution ('arithmetic_longer', "
    "'arithmetic_three_steps', 'arithmetic_wording', 'arithmetic_operators'), 'gsm8k' or 'math' "
    "from the Hub, any data set of it (hf:owner/name[/config][@split]), or a file of problems "
    "(.jsonl, .json, .csv, .parquet); `workbench task FILE` shows how it is read."
)
REWARD_HELP = (
    "'format', 'answer', 'lenient_answer' (in any form), 'tag_count'; with parameters "
    "'soft_overlong:max_completion_len=48,soft_punish_cache=16', 'length', 'repetition', "
    "'cosine_scaled:max_len=48', 'noisy:p=0.1,reward=answer', "
    "'judge:url=http://localhost:8000/v1,model=NAME'; 'model:FOLDER' (a reward model), or "
    "file.py:function; repeat. `workbench reward list` says what each pays."
)


def rank_of(text: str) -> int | str:
    """The rank that --lora is given; "auto" is left for the policy to say."""
    if text == "auto":
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(
        f"{text!r} is no rank. Give a whole number from 1 on, or --lora alone for 16."
    )


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as values: numbers, true, false, none, lists like [1,0.5]. Raises
    `ConfigError`."""
    values = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found:
            raise ConfigError(f"--set {pair!r}: expected NAME=VALUE, for example --set beta=0.01.")
        values[name.strip()] = value_of(name.strip(), text)
    return values


def check_alone(context: typer.Context, name: str, *others: str) -> None:
    """Raises `ConfigError` where an option that makes a command another one, `name`, is given with
    what it has no use for: parameters that are none of `others`."""
    source = context.get_parameter_source
    given = [p for p in context.params if getattr(source(p), "name", "") == "COMMANDLINE"]
    useless = [f"--{p.strip('_')}".replace("_", "-") for p in given if p not in (name, *others)]
    if useless:
        raise ConfigError(f"--{name} has no use for {', '.join(useless)}. Leave it out.")


def keys_of(columns: list[str] | None, **flags: str | None) -> dict[str, str | None]:
    """The `…_key` fields as --column NAME=KEY and the flags beside it name them. Raises
    `ConfigError`."""
    keys = {name: flags.get(name) for name in KEY_FIELDS}
    names = [name.removesuffix("_key") for name in KEY_FIELDS]
    for pair in columns or []:
        name, found, key = (part.strip() for part in pair.partition("="))
        if not (found and key) or name not in names:
            raise ConfigError(
                f"--column {pair!r}: expected NAME=KEY, for example --column question=prompt; the "
                f"names are {', '.join(names)}."
            )
        if keys[f"{name}_key"] not in (None, key):
            raise ConfigError(
                f"the key of the {name} is named twice: {keys[f'{name}_key']!r} and {key!r}. "
                "Leave one of them out."
            )
        keys[f"{name}_key"] = key
    return keys


def control_of(shuffle: bool, random: bool) -> str | None:
    """The control that the flags of `workbench train` ask for. Raises `ConfigError` for both."""
    if shuffle and random:
        raise ConfigError(
            "--shuffle-rewards and --random-rewards are two controls. Choose one, or make both "
            "over several seeds: workbench compare --controls shuffled,random"
        )
    return "shuffled" if shuffle else "random" if random else None


def changes_of(settings: list[str] | None, **flags: Any) -> dict[str, Any]:
    """The config's fields that a command line sets: --set NAME=VALUE, and above them the flags that
    were given (None: not given)."""
    given = {name: value for name, value in flags.items() if value is not None}
    return parse_settings(settings or []) | given


# ------------------------------------------------------------ what is trained, on what

Policy = Annotated[str, typer.Option(help=POLICY_HELP)]
PolicyOrTheRuns = Annotated[
    str | None,
    typer.Option(help=POLICY_HELP + " Default: embedded; with --resume the run's own."),
]
Task = Annotated[str, typer.Option(help=TASK_HELP)]
TaskOrTheRuns = Annotated[
    str | None,
    typer.Option(help=TASK_HELP + " Default: arithmetic; with --resume the run's own."),
]
TaskOrThePolicys = Annotated[
    str | None,
    typer.Option(help=TASK_HELP + " Default: that of the policy's run; else arithmetic."),
]
TaskShown = Annotated[
    str, typer.Argument(help="A file of problems, the name of a task, or hf:owner/name.")
]
PolicyShown = Annotated[
    str | None,
    typer.Option(help=POLICY_HELP + " Shows one prompt as it gets it, and how long all are."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=KEY",
        help="Which key of a row holds the question, answer, system, solution, subject or level; "
        "repeat.",
    ),
]
QuestionKey = Annotated[
    str | None,
    typer.Option(
        help="The same as --column question=KEY; dots lead into nested objects, numbers into lists."
    ),
]
AnswerKey = Annotated[
    str | None,
    typer.Option(
        help="--column answer=KEY, such as reward_model.ground_truth or annotations.0.answer."
    ),
]
SystemKey = Annotated[str | None, typer.Option(help="--column system=KEY.")]
SystemPrompt = Annotated[
    str | None,
    typer.Option(help="System message in place of the file's own; '' for none at all."),
]
SkipUnreadable = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable",
        help="Leave out problems whose gold answer is missing or cannot be read "
        "(unreadable_golds=skip).",
    ),
]
Rewards = Annotated[list[str] | None, typer.Option(help=REWARD_HELP)]
ShuffleRewards = Annotated[
    bool,
    typer.Option("--shuffle-rewards", help="Control run: rewards dealt out at random."),
]
RandomRewards = Annotated[
    bool,
    typer.Option("--random-rewards", help="Control run: each reward is a coin's throw, 0 or 1."),
]
FaultName = Annotated[
    str | None,
    typer.Option(
        "--fault",
        help="Make a known mistake on purpose, such as inverted_k3; an unknown name lists all.",
    ),
]

# ------------------------------------------------------------ fields of the config

Preset = Annotated[
    str | None, typer.Option(help="Start from a published setting, e.g. deepseekmath.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Start from a YAML or JSON file of GRPOConfig fields, such as `workbench areal "
        "--save` writes.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help=f"How completions become a gradient: {one_of(METHODS)}. Sets the fields that make it."
    ),
]
Teacher = Annotated[
    str | None, typer.Option(help="The policy that grades the tokens, for --method distill.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE for any field of GRPOConfig; repeat."),
]
Lora = Annotated[
    Any | None,
    typer.Option(
        parser=rank_of,
        metavar="RANK",
        help="Train a LoRA adapter of this rank; bare --lora means 16, or a saved adapter's own.",
    ),
]
Quantization = Annotated[
    str | None, typer.Option(help="Frozen weights in 'nf4' (4 bits) or 'int8'; needs --lora.")
]
Rollout = Annotated[str | None, typer.Option(help=f"What samples: {one_of(ENGINE_FACTS)}.")]
Dtype = Annotated[
    str | None, typer.Option(help="Format of the weights: auto, float32, bfloat16 or float16.")
]
Steps = Annotated[int | None, typer.Option(help="Steps of the run (max_steps).")]
Seed = Annotated[int | None, typer.Option(help="Seed of task, sampling and order.")]
PromptsPerStep = Annotated[int | None, typer.Option(help="Prompts in one step.")]
NumGenerations = Annotated[int | None, typer.Option(help="Completions for each prompt (G).")]
MaxPromptLength = Annotated[int | None, typer.Option(help="Longest prompt in tokens.")]
MaxCompletionLength = Annotated[int | None, typer.Option(help="Longest completion in tokens.")]
MicroBatchSize = Annotated[
    int | None,
    typer.Option(help="Completions in one forward and backward; else as many as its tokens allow."),
]
GradientCheckpointing = Annotated[
    bool | None, typer.Option(help="Compute activations a second time.")
]
Optim = Annotated[str | None, typer.Option(help="'adamw' or 'adamw_8bit'.")]

# ------------------------------------------------------------ configs of other systems

ArealFile = Annotated[Path, typer.Argument(help="AReaL's gsm8k_grpo.yaml, or one like it.")]
TrainProblems = Annotated[
    int | None,
    typer.Option(
        "--problems",
        help="Problems of its training split, which turn epochs into steps; known for GSM8K.",
        min=1,
    ),
]
SaveConfig = Annotated[
    Path | None, typer.Option("--save", help="File for the config (.yaml or .json).")
]

# ------------------------------------------------------------ what is evaluated, and how

HeldOut = Annotated[
    int, typer.Option("--problems", "--n", help="Held-out problems, from the first on.", min=1)
]
Samples = Annotated[
    int,
    typer.Option(
        help="Answers sampled for each problem, beside the greedy one: mean@K, maj@k, pass@k.",
        min=0,
    ),
]
Temperature = Annotated[float, typer.Option(help="Of the sampled answers.", min=0.01)]
EvaluatedRun = Annotated[
    Path | None,
    typer.Argument(
        help="A run's folder, in place of --policy: its final policy, else its newest checkpoint."
    ),
]
OfStep = Annotated[
    int | None,
    typer.Option(
        "--step",
        min=0,
        help="Of RUN: the checkpoint of this step; with --recorded the evaluation of this step.",
    ),
]
Recorded = Annotated[
    bool,
    typer.Option(
        "--recorded",
        help="Of RUN: the evaluation with samples that its record holds; nothing is asked anew.",
    ),
]
ReadAnswers = Annotated[
    Path | None,
    typer.Option(
        help="Count the answers that --out has kept in this file, without a policy; Python: "
        "workbench.evaluation.read_answers.",
    ),
]
Control = Annotated[
    str | None,
    typer.Option(
        help="Another policy on the same problems, such as the untrained one ('start': that which "
        "the run began with): what the prompt alone and a vote of samples bring without training.",
    ),
]
RecordEvaluation = Annotated[
    bool,
    typer.Option(
        "--record",
        help="Write the figures and answers into the run's record, at its last step; those of "
        "--control start at step 0.",
    ),
]
EvalSamples = Annotated[
    int | None,
    typer.Option(
        help="K: before the first step and after the last, mean@K, maj@k and pass@k of K answers "
        "to each of 100 held-out problems (--set eval_samples_problems=, eval_samples_steps=), "
        "kept in the record.",
        min=0,
    ),
]
KeepAnswers = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="File for the completions, written as they come; the same command goes on where a "
        "broken-off one was.",
    ),
]
TaskSeed = Annotated[int, typer.Option(help="Seed of the task.", min=0)]
EvalLength = Annotated[
    int | None,
    typer.Option(
        help="Longest answer in tokens; default: as in the run that the policy lies in, else 256 "
        "(embedded: 48).",
        min=1,
    ),
]
EvalDtype = Annotated[
    str | None,
    typer.Option(help="Format of the weights; auto: 16 bits on CUDA, float32 on a CPU."),
]
EvalQuantization = Annotated[str | None, typer.Option(help="Weights in 'nf4' (4 bits) or 'int8'.")]

# ------------------------------------------------------------ what a policy can say

OracleProblem = Annotated[
    int, typer.Option("--problem", help="Which held-out problem, counted from 0.", min=0)
]
OracleMass = Annotated[
    float, typer.Option("--mass", help="Probability that the completions hold together, up to 1.")
]
OracleTemperature = Annotated[float, typer.Option(help="As the sampler's, above 0.")]
OracleRows = Annotated[
    int, typer.Option("--top", help="Completions in the table, the likeliest first.", min=1)
]

# ------------------------------------------------------------ what a reward is tried on

RewardChecked = Annotated[
    str, typer.Argument(help="What --reward of `workbench train` takes.", metavar="REWARD")
]
TaskChecked = Annotated[str, typer.Option(help=TASK_HELP)]
CheckedProblems = Annotated[
    int, typer.Option("--problems", help="Problems whose answers are tried.", min=1)
]
AnswerForm = Annotated[
    str | None,
    typer.Option(
        help="How an answer is written, with {answer} in it; default: those of the usual forms in "
        "which the reward tells right from wrong."
    ),
]
PaidFrom = Annotated[
    float | None,
    typer.Option(
        help="Score from which on a text counts as paid; default: the middle between the plain "
        "right answer and the best of the wrong and empty ones that are paid less."
    ),
]
CheckTimeout = Annotated[
    float, typer.Option(help="Seconds that a call on one problem's texts may take.", min=0.01)
]
ShownMistakes = Annotated[
    int, typer.Option("--show", help="Texts shown of each kind of mistake.", min=0)
]
# ------------------------------------------------------------ a reward model

RewardKind = Annotated[
    str,
    typer.Option(
        "--kind",
        help="'pairs' (Bradley-Terry), 'outcome' (right or wrong), or 'process' (each step, "
        "labelled by roll-ins).",
    ),
]
RewardModelOut = Annotated[Path, typer.Option("--out", help="Folder of the reward model.")]
Gold = Annotated[
    list[str] | None,
    typer.Option(help="The reward that it is to foresee; default 'answer'. As --reward; repeat."),
]
TrainingProblems = Annotated[
    int,
    typer.Option(
        "--problems", help="Training problems; a quarter as many are held out beside.", min=1
    ),
]
RewardSamples = Annotated[int, typer.Option(help="Completions of each problem.", min=2)]
RollIns = Annotated[
    int, typer.Option(help="Continuations from the end of each step (--kind process).", min=1)
]
StepsBy = Annotated[
    str | None,
    typer.Option(
        help="What a step is: equations, lines, sentences, paragraphs or auto; default: "
        "equations for arithmetic, else auto."
    ),
]
Epochs = Annotated[int, typer.Option(help="Passes over the examples.", min=1)]
RewardLearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Default 2e-5, as DeepSeekMath; embedded: 5e-4."),
]

# ------------------------------------------------------------ the machine

Threads = Annotated[
    int | None, typer.Option(help="CPU threads; default 1 for the embedded policy.", min=1)
]
Processes = Annotated[
    int | None,
    typer.Option(
        help="Compute in so many processes, on a GPU each where there are GPUs; the numbers are "
        "those of one. Default: 1, or as many as torchrun started.",
        min=1,
    ),
]
Gpu = Annotated[
    str | None,
    typer.Option(
        help="T4, L4, A100-40, A100-80, H100, H200, a size such as 24GB, or cpu; default: this "
        "machine."
    ),
]
Trial = Annotated[
    bool,
    typer.Option(
        help="Without --gpu: time a few layers with random weights here, for some seconds."
    ),
]

# ------------------------------------------------------------ runs and their folders

Out = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/DATE-TIME.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the last good checkpoint of --out.")
]
RunsFolder = Annotated[Path, typer.Argument(help="Folder to look in.")]
CheckRuns = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Look through every byte of the records and their checkpoints, or of one run. Status "
        "1 where something is damaged.",
    ),
]
DamagedRun = Annotated[Path, typer.Argument(help="A run's folder or its .sqlite file.")]
RepairOut = Annotated[
    Path | None, typer.Option("--out", help="Folder to write; default beside it, RUN-repaired.")
]
ExportedRuns = Annotated[
    list[Path],
    typer.Argument(help="A run's folder or its .sqlite file; several to compare."),
]
ExportedRun = Annotated[Path, typer.Argument(help="A run's folder or its .sqlite file.")]
ExportedSource = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|CONFIG",
        help="A run's folder, as it began; or a YAML or JSON file of GRPOConfig fields.",
    ),
]
ExportedPolicy = Annotated[
    str | None, typer.Option(help=POLICY_HELP + " Default: the run's; of a config embedded.")
]
ExportedTask = Annotated[
    str | None, typer.Option(help=TASK_HELP + " Default: the run's; of a config arithmetic.")
]
ExportOut = Annotated[
    Path | None,
    typer.Option(help="File or folder to write; default RUN.html, or RUN-csv and the like."),
]
ImportedFiles = Annotated[
    list[Path], typer.Argument(help="JSONL or parquet files, or folders of them.")
]
ImportFrom = Annotated[
    str,
    typer.Option(
        "--from",
        help="Who wrote them: trl (log_completions), verl (rollout_data_dir), or jsonl (prompt, "
        "completion, reward; and step, group, gold_answer, advantage, length, truncated, split, "
        "token_ids, tokens, logp, old_logp, ref_logp, sampler_logp where known).",
    ),
]
ImportOut = Annotated[Path, typer.Option(help="Folder of the run to be made.")]
ImportedPolicy = Annotated[str, typer.Option(help="Name of the policy, for the record.")]
ImportedRewards = Annotated[
    list[str] | None,
    typer.Option(
        "--reward",
        help="A column that is a reward, or a key of the object `rewards`; once for each. Without "
        "it the columns are guessed, and the guess is said.",
    ),
]
ImportedTotal = Annotated[
    str | None,
    typer.Option("--total", help="The column of the total reward; without it, the sum."),
]
ImportedEvaluation = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluation",
        help="Files of an evaluation, by a pattern of their names such as 'completions_00500*': "
        "kept out of the training's steps. Rows whose split is eval, validation or test are, too.",
    ),
]
ExaminedRun = Annotated[
    Path | None, typer.Argument(help="A run to examine; without one, this machine is.")
]
Notebooks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FOLDER] [JUPYTERLAB'S OPTIONS]",
        help="Folder of notebooks; default: a copy of the course's, in my-notebooks.",
    ),
]
Browser = Annotated[bool, typer.Option(help="Open a browser tab.")]
Reset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Put the course's notebook NAME (03, or 03_kl_and_beta) back, and open it; yours is "
        "kept beside it.",
    ),
]

# ------------------------------------------------------------ experiments

ComparedFolder = Annotated[
    Path | None, typer.Argument(help="An experiment's folder, whose result is shown.")
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME:KEY=VALUE,...",
        help="What is compared: a name, and the settings in which it differs (any field of "
        "GRPOConfig, method, preset, policy, reward); repeat.",
    ),
]
CompareSeeds = Annotated[
    int | None,
    typer.Option(help="Runs of each variant, seeds from 0 on, paired; default 8.", min=1),
]
Controls = Annotated[
    str,
    typer.Option(
        help="Controls, with commas between them: shuffled (rewards dealt out at random), random "
        "(a coin's throw each); 'none' leaves them out."
    ),
]
ControlOf = Annotated[
    str | None,
    typer.Option(help="The variant that the controls are made of, or 'each'; default: the first."),
]
CompareProblems = Annotated[
    int | None,
    typer.Option("--problems", help="Held-out problems of an evaluation; default 300.", min=1),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="'accuracy' (held out, at the end), or what each step records, such as reward or "
        "kl (mean of the last tenth of the steps); default: accuracy, or as FOLDER has it."
    ),
]
IntervalKind = Annotated[
    str | None,
    typer.Option(
        "--interval",
        help="'t' (Student's, over the seeds) or 'bootstrap'; default: t, or as FOLDER has it.",
    ),
]
CompareOut = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Folder of the runs, to go on with or add to; default runs/compare-…"
    ),
]
CompareResume = Annotated[
    bool, typer.Option("--resume", help="Make what FOLDER lacks; more with --seeds.")
]
CompareExact = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        "--exact",
        metavar="RUN RUN",
        help="Instead: hold two runs against each other, bit for bit, and name the first number "
        "that differs. Status 1 where one does.",
    ),
]
CompareJobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        help="Runs at the same time, each with one thread; default: as many as cores and memory "
        "allow, on a GPU one.",
        min=1,
    ),
]

# ------------------------------------------------------------ the benchmark table

MeasuredIn = Annotated[
    list[Path] | None,
    typer.Option(
        "--measured",
        help="File or folder with results of `workbench eval --json` and run records; repeat. "
        "Default: runs.",
    ),
]
Benchmark = Annotated[str | None, typer.Option(help="Only this one, such as GSM8K.")]
BenchedMethods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        help="Rows, with commas between them; default: all methods, grpo on a reward model, and "
        "the control.",
    ),
]
BenchSeeds = Annotated[int, typer.Option(help="Runs of each row.", min=1)]
BenchSteps = Annotated[int, typer.Option(help="Steps of each run.", min=1)]
BenchProblems = Annotated[
    int, typer.Option("--problems", help="Held-out problems of an evaluation.", min=1)
]
BenchFolder = Annotated[
    Path, typer.Option("--out", help="Folder of the runs; finished ones are not made again.")
]
Jobs = Annotated[int, typer.Option(help="Runs at the same time, each with one thread.", min=1)]
BenchPage = Annotated[Path | None, typer.Option("--html", help="Write the table as a page, too.")]

# ------------------------------------------------------------ the tornado

TornadoRun = Annotated[Path, typer.Argument(help="Folder of a run with checkpoints.")]
TornadoStep = Annotated[
    int | None,
    typer.Option(
        "--step", help="A step with a checkpoint; default: the newest with steps left.", min=0
    ),
]
TornadoKnobs = Annotated[
    list[str] | None,
    typer.Option(
        "--knob", help="NAME, or NAME=DOWN,UP with the values to go to; repeat. Default: the usual."
    ),
]
TornadoSteps = Annotated[int, typer.Option("--steps", help="Steps of each branch.", min=1)]
TornadoSeeds = Annotated[
    int, typer.Option("--seeds", help="Other sampling seeds, for the band of chance.", min=3)
]
TornadoProblems = Annotated[
    int, typer.Option("--problems", help="Held-out problems after each branch.", min=1)
]
TornadoPage = Annotated[Path | None, typer.Option("--html", help="Write the picture as a page.")]
TornadoPolicy = Annotated[
    str | None, typer.Option("--policy", help="Where the run's policy lies now.")
]
TornadoTask = Annotated[str | None, typer.Option("--task", help="The run's task, from a file.")]
TornadoRewards = Annotated[
    list[str] | None, typer.Option("--reward", help="The run's own reward functions; repeat.")
]

# ------------------------------------------------------------ what is printed

Version = Annotated[bool, typer.Option("--version", help="Print the version and exit.")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print JSON lines; the last one is the result.")
]
JsonObject = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
