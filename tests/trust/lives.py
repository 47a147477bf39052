"""Lives of a small run: each a process of its own, forked from one that has imported everything,
that runs a command of the workbench to its end or to its death."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tiny_llama import save_tiny_llama
from trust import disk

STEPS = 3
REWARD = """
def digits(completions, **columns):
    texts = [c[0]["content"] for c in completions]
    return [sum(ch.isdigit() for ch in t) / max(len(t), 1) for t in texts]
"""
SETTINGS = {
    "prompts_per_step": 2,
    "num_generations": 4,
    "max_completion_length": 8,
    "save_steps": 1,
    "save_total_limit": 2,
    "eval_steps": 2,
    "num_eval_problems": 4,
    "learning_rate": 0.01,
    "beta": 0.05,
}


@dataclass(frozen=True)
class Workshop:
    """What all lives share: policy, problems, reward; and where logs go."""

    place: Path

    @classmethod
    def make(cls, place: Path) -> Workshop:
        """Write a policy of one layer with random weights, sixty problems and a reward."""
        save_tiny_llama(place / "tiny", hidden_size=16, layers=1)
        rows = [f'{{"question": "{a} + {a + 1} = ?", "answer": "{2 * a + 1}"}}' for a in range(60)]
        (place / "problems.jsonl").write_text("\n".join(rows) + "\n")
        (place / "mine.py").write_text(REWARD)
        return cls(place)

    def train(self, out: Path, steps: int = STEPS) -> list[str]:
        """The command that makes the run in `out`, or goes on with it."""
        words = ["train", "--policy", self.place / "tiny", "--task", self.place / "problems.jsonl"]
        words += ["--reward", f"{self.place / 'mine.py'}:digits", "--lora", 2, "--threads", 1]
        words += ["--steps", steps, "--out", out, "--resume", "--json"]
        for name, value in SETTINGS.items():
            words += ["--set", f"{name}={value}"]
        return [str(word) for word in words]

    def session(self, what: str, out: Path) -> list[str]:
        """What is asked of a session of the run in `out`: "rewind" or "branch"."""
        problems, mine = self.place / "problems.jsonl", self.place / "mine.py"
        return ["session", what, str(out), str(problems), f"{mine}:digits"]

    def warm_up(self) -> None:
        """Import, in this process, all that a life imports: its children then find it there."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            _command(self.train(self.place / "warm"))
            _command(self.session("branch", self.place / "warm"))
        gc.collect()
        gc.freeze()


@dataclass(frozen=True)
class End:
    """How a life ended."""

    code: int
    """The exit status; minus the signal where one ended it."""
    said: str
    """Standard output and error."""

    @property
    def killed(self) -> bool:
        """Whether a signal that cannot be caught ended it."""
        return self.code == -signal.SIGKILL

    @property
    def errors(self) -> list[str]:
        """The errors that it told."""
        return [line for line in self.said.splitlines() if line.startswith("error: ")]


def _session(what: str, out: Path, task: str, reward: str) -> None:
    """What a notebook asks of a session of the run in `out`: to go back two steps and make them
    again, or to branch and make a step there."""
    from workbench import GRPOConfig, Session
    from workbench.rewards import RewardSet
    from workbench.runs import Run
    from workbench.tasks import load_task

    run = Run.open(out)
    config = GRPOConfig.from_dict(run.config)
    session = Session(
        run.meta.policy, load_task(task), RewardSet(reward), config, out=out, resume=True
    )
    if what == "rewind":
        session.rewind(1).wait()
        session.start().wait()
    else:
        branch = session.branch("branch", 1)
        branch.wait()
        branch.step(1).wait()
        branch.free()
    session.free()


def _command(words: list[str]) -> int:
    from workbench import cli
    from workbench.errors import WorkbenchError

    if words[0] == "session":
        try:
            _session(words[1], Path(words[2]), words[3], words[4])
        except WorkbenchError as error:
            print(f"error: {' '.join(str(error).split())}")
            return 2
        return 0
    sys.argv = ["workbench", *words]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def begin(
    words: list[str],
    logs: Path,
    watched: Path | None = None,
    mishap: disk.Mishap | None = None,
    n: int = 0,
) -> int:
    """Start a life; gives its process. `watched`: the folder whose disk has the mishap at the
    `n`-th operation."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        said = os.open(logs / "said", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        # What was imported has its own handles on the old ones.
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        if watched is not None:
            disk.arm(watched, mishap, n, logs / "operations")
        code = _command(words)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(child: int, logs: Path, seconds: float = 120) -> End:
    """Wait for a life to end; one that hangs is killed and says so."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return End(71, "it hangs")
        time.sleep(0.002)
    return End(os.waitstatus_to_exitcode(status), (logs / "said").read_text(errors="replace"))


def live(words: list[str], logs: Path, *befallen: object) -> End:
    """A whole life."""
    return ended(begin(words, logs, *befallen), logs)  # type: ignore[arg-type]
