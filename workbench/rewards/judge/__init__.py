"""A model that grades: a rubric, what it is asked, how its reply is read, and a server that speaks
OpenAI's protocol.

    Judge(my_model)                                  any callable from prompts to replies
    judge:url=http://localhost:8000/v1,model=NAME    on the command line
"""

from __future__ import annotations

from workbench.rewards.judge.judge import Grader, Judge
from workbench.rewards.judge.prompts import RUBRIC, grade_in, prompt_for
from workbench.rewards.judge.server import JudgeServer, JudgeServerError
from workbench.rewards.judge.url_judge import UrlJudge

__all__ = [
    "RUBRIC",
    "Grader",
    "Judge",
    "JudgeServer",
    "JudgeServerError",
    "UrlJudge",
    "grade_in",
    "prompt_for",
]
