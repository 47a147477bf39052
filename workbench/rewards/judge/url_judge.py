"""The judge of the command line: a server's model and a rubric from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from workbench.rewards.judge.judge import Judge
from workbench.rewards.judge.prompts import RUBRIC
from workbench.rewards.judge.server import JudgeServer
from workbench.rewards.parameters import RewardSpecError, WithParameters, check


@dataclass(frozen=True)
class UrlJudge(WithParameters):
    """The grade from 0 to 1 that a model behind an OpenAI-compatible URL on this machine gives by a
    rubric.

    Source: the practice of "LLM-as-a-judge" (arXiv 2306.05685). Equal completions to one question
    are graded once. Hackable: see `Judge`.
    """

    kind: ClassVar[str] = "judge"

    url: str
    """Such as http://localhost:8000/v1."""

    model: str
    """As the server calls it."""

    rubric: str = ""
    """A file with what is graded; without one `RUBRIC`."""

    shows_gold: bool = True
    """Show the gold answer to the judge."""

    timeout: float = 60.0
    """Seconds for one reply."""

    max_tries: int = 3
    """Of one completion."""

    concurrency: int = 8
    """Requests at a time."""

    allow_remote: bool = False
    """Ask a server that is not on this machine: questions, golds and completions go there."""

    def __post_init__(self) -> None:
        check(self.timeout > 0, self, "timeout", "more than 0 seconds")
        check(self.max_tries > 0, self, "max_tries", "1 or more")
        check(self.concurrency > 0, self, "concurrency", "1 or more")
        for name in ("url", "model", "rubric"):
            check("," not in getattr(self, name), self, name, "no comma, which ends a parameter")
        server = JudgeServer(
            self.url,
            self.model,
            timeout=self.timeout,
            max_tries=self.max_tries,
            concurrency=self.concurrency,
            allow_remote=self.allow_remote,
        )
        judge = Judge(server, self._rubric(), shows_gold=self.shows_gold, max_tries=self.max_tries)
        object.__setattr__(self, "_judge", judge)

    def _rubric(self) -> str:
        if not self.rubric:
            return RUBRIC
        path = Path(self.rubric).expanduser()
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RewardSpecError(
                f"reward 'judge': rubric={self.rubric!r:.200} cannot be read: {error}. Name a text "
                "file that says what is graded."
            ) from error

    def __call__(self, **given: Any) -> list[float | None]:
        judge: Judge = self.__dict__["_judge"]
        return judge(**given)
