"""The table of docs/answers.md says what the code does: every spelling of a row is the same answer
as the first one, and none of the last column is."""

import re
from pathlib import Path

from workbench.rewards import answers_equal

PAGE = Path(__file__).parents[2] / "docs" / "answers.md"


def rows():
    """What each row of the table calls itself, the spellings of one answer, and those of none."""
    for line in PAGE.read_text("utf-8").splitlines():
        cells = line.strip("|").split("|")
        if line.startswith("|") and "`" in line and len(cells) == 3:
            same, other = (re.findall(r"`([^`]+)`", cell) for cell in cells[1:])
            yield cells[0].strip(), same, other


def test_the_table_holds():
    wrong = []
    for what, same, other in rows():
        gold = same[0]
        wrong += [(what, s, gold) for s in same[1:] if answers_equal(s, gold) is not True]
        wrong += [(what, o, gold) for o in other if answers_equal(o, gold) is not False]
    assert not wrong


def test_the_table_is_found():
    assert len(list(rows())) >= 20
