"""Modules of reward functions that cannot be imported: the user's own line in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.rewards import resolve_reward
from workbench.rewards.resolve import RewardSpecError

BROKEN = {
    "def f(completions)\n    return 1": "line 1, in `def f(completions)`: SyntaxError: ",
    "import os\nimport no_such_module": "line 2, in `import no_such_module`: ModuleNotFoundError: ",
    "import json\n\nx = json.loads('{')": "line 3, in `x = json.loads('{')`: JSONDecodeError: ",
    "def make():\n    return 1 / 0\nmake()": "line 2, in `return 1 / 0`: ZeroDivisionError: ",
    "raise SystemExit(3)": "line 1, in `raise SystemExit(3)`: SystemExit: 3",
    "from json import no_such_name": "line 1, in `from json import no_such_name`: ImportError: ",
    "  x = 1\nif": "line 1, in `x = 1`: IndentationError: unexpected indent",
}


def test_each_names_file_line_and_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    for text, said in BROKEN.items():
        file.write_text(text)
        with pytest.raises(RewardSpecError) as told:
            resolve_reward(f"{file}:f")
        assert f"{file}, {said}" in str(told.value)
        assert "\n" not in str(told.value)
        assert isinstance(told.value, WorkbenchError)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_bytes(b"x = '\xff'\n")
    with pytest.raises(RewardSpecError, match=r"mine\.py.*(utf-8|UTF-8)"):
        resolve_reward(f"{file}:f")


def test_a_module_by_name_names_the_line_of_its_own_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_judge.py").write_text("import my_judge_helper\n")
    (tmp_path / "my_judge_helper.py").write_text("\nlimit = int('ten')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RewardSpecError, match=r"my_judge_helper\.py, line 2, in `limit = int"):
        resolve_reward("my_judge:f")


def test_a_relative_module_is_refused_in_words() -> None:
    with pytest.raises(RewardSpecError, match=r"reward '\.judge:f': TypeError: the 'package'"):
        resolve_reward(".judge:f")
