"""Records that nobody would write: a small whole one, and what a stranger or a bad disk makes of
it. Used by `test_damage.py` and by the tests of what opens a record."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from workbench.runs import (
    Evaluation,
    Event,
    KnobChange,
    Run,
    RunWriter,
    Samples,
    StepRecord,
    TokenArrays,
)

CONFIG = {"beta": 0.005, "loss_type": "dapo", "num_generations": 2, "seed": 7}
DEEP = "[" * 100_000 + "]" * 100_000
BARELY_DEEP = "[" * 900 + "]" * 900


def small_step(step: int) -> StepRecord:
    """Two groups of two completions of two tokens, with one of everything."""
    lengths = [2, 1, 2, 2]
    size = sum(lengths)
    return StepRecord(
        step=step,
        metrics={
            "reward": step / 8,
            "reward_std": 0.5,
            "kl": step / 1000,
            "dead_group_share": 0.0,
            "completion_length": 1.75,
            "seconds/step": 0.25,
        },
        samples=Samples(
            num_generations=2,
            problem_ids=["train/1", f"train/{step + 1}"],
            prompts=["1 + 1", f"{step} + 1"],
            gold_answers=["2", None],
            completions=[f"it is {i}" for i in range(4)],
            rewards_BK=[[1.0, 0.5], [0.0, float("nan")], [1.0, 1.0], [0.0, 0.0]],
            reward_B=[1.5, 0.0, 2.0, 0.0],
            advantage_B=[1.0, -1.0, 1.0, -1.0],
            baseline_B=[0.75, 0.75, 1.0, 1.0],
            length_B=lengths,
            truncated_B=[False, True, False, False],
            dead_N=[False, False],
        ),
        tokens=TokenArrays(
            lengths,
            np.arange(size) + step,
            {"old_logp": -np.arange(1.0, size + 1), "logp": -np.arange(1.0, size + 1) / 2},
        ),
        knobs=[KnobChange("beta", 0.005, 0.01 * step, time=100.0)] if step == 2 else [],
        evaluations=[Evaluation("heldout", 10, step, 0.1, 0.9, {"pass@8": 0.5}, 100.0)],
        events=[Event("notice", f"saved {step}", {"bytes": step}, 100.0)],
        time=1000.0 + step,
    )


def small_record(folder: Path, steps: int = 3) -> Path:
    """The file of a finished run of small steps."""
    with RunWriter.create(
        folder,
        config=CONFIG,
        name="small",
        policy="embedded",
        task="arithmetic",
        reward_names=["format_reward", "answer_reward"],
        pieces=lambda ids: [f"t{i}" for i in ids],
    ) as writer:
        writer.write_evaluation(0, Evaluation("heldout", 10, 0, 0.0, 0.3, time=100.0))
        for step in range(1, steps + 1):
            writer.write_step(small_step(step))
        writer.finish()
    return Run.open(folder).path


def unsealed(file: Path) -> None:
    """Make it a record of before there were checksums."""
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DROP TABLE checksums")
        db.execute("DELETE FROM meta WHERE key = 'sealed_from'")


def flipped_bits(file: Path, count: int, seed: int = 0) -> Iterator[tuple[int, int]]:
    """(byte, bit) of so many places, half of them anywhere in the file, half in bytes that are not
    0: a page is mostly empty."""
    content = np.frombuffer(file.read_bytes(), np.uint8)
    random = np.random.default_rng(seed)
    filled = content.nonzero()[0]
    for i in range(count):
        place = random.choice(filled) if i % 2 else random.integers(len(content))
        yield int(place), int(random.integers(8))


def with_flipped_bit(file: Path, copy: Path, place: int, bit: int) -> None:
    """A copy of the file in which one bit is another."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    copy.write_bytes(content)


def _sql(statement: str, *values: object) -> Callable[[sqlite3.Connection], None]:
    def craft(db: sqlite3.Connection) -> None:
        db.execute(statement, values)

    return craft


def _fact(key: str, value: object) -> Callable[[sqlite3.Connection], None]:
    """A fact with another cell: JSON of `value`, or a text as it is."""
    cell = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return _sql("UPDATE meta SET value = ? WHERE key = ?", cell, key)


def _metrics(cell: object) -> Callable[[sqlite3.Connection], None]:
    return _sql("UPDATE steps SET metrics = ? WHERE step = 2", cell)


def _array(name: str, flat: np.ndarray | bytes) -> Callable[[sqlite3.Connection], None]:
    content = flat
    if isinstance(flat, np.ndarray):
        planes = flat.view(np.uint8).reshape(-1, flat.itemsize).T
        content = zlib.compress(planes.tobytes())
    return _sql("UPDATE arrays SET data = ? WHERE name = ? AND step = 2", content, name)


def _replaced_table(table: str, select: str) -> Callable[[sqlite3.Connection], None]:
    def craft(db: sqlite3.Connection) -> None:
        db.execute(f"DROP TABLE {table}")
        db.execute(f"CREATE VIEW {table} AS {select}")

    return craft


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
BOMB = zlib.compress(bytes(50_000_000), 9)
HUGE = np.array([2**31 - 1] * 4, np.int32)

CRAFTED: dict[str, Callable[[sqlite3.Connection], None]] = {
    # facts of the run
    "no status": _sql("DELETE FROM meta WHERE key = 'status'"),
    "no facts": _sql("DELETE FROM meta"),
    "a status of another kind": _fact("status", ["finished"]),
    "an unknown status": _fact("status", "\x1b[31mfinished"),
    "a status that is no JSON": _fact("status", "finished"),
    "a fact that is bytes": _fact("name", b"\xff\xfe"),
    "a start that is a text": _fact("started", "yesterday"),
    "a start beyond all calendars": _fact("started", 1e300),
    "a start that is NaN": _fact("started", "NaN"),
    "an end before 1970": _fact("finished", -1e9),
    "a config that is a list": _fact("config", [1, 2]),
    "a config that is deep": _fact("config", '{"x": ' + DEEP + "}"),
    "a config that is barely read": _fact("config", '{"x": ' + BARELY_DEEP + "}"),
    "a setting of another kind": _fact("config", {"beta": "much", "num_generations": [1]}),
    "a setting of 5000 digits": _fact("config", '{"seed": ' + "9" * 5000 + "}"),
    "a setting that is an object": _fact("config", {"num_generations": {}, "loss_type": 7}),
    "an environment that is a number": _fact("environment", 3),
    "packages that are a number": _fact("environment", {"packages": 3, "rollout_engine": []}),
    "reward names that are a text": _fact("reward_names", "format"),
    "reward names of numbers": _fact("reward_names", [1, 2]),
    "a reward name twice": _fact("reward_names", ["a", "a"]),
    "a reward name too many": _fact("reward_names", ["a", "b", "c"]),
    "a writer that is a text": _fact("writer", "me"),
    "a writer with half a mark": _fact("writer", {"host": "here"}),
    "a writer of a folder": _fact("writer", {"host": "x", "pid": "../..", "token": "", "y": 1}),
    "a seed that is a text": _fact("seed", "seven"),
    "a parent that is a list": _fact("parent_id", [1]),
    "a revision that is a text": _fact("revision", "one"),
    # figures
    "figures that are a list": _metrics("[1, 2]"),
    "figures that are null": _metrics("null"),
    "figures that are no JSON": _metrics("{"),
    "figures that are bytes": _metrics(b"\xff\x00"),
    "figures that are a number": _metrics(3),
    "a figure that is a text": _metrics('{"reward": "0.5"}'),
    "a figure that is true": _metrics('{"reward": true}'),
    "a figure that is an object": _metrics('{"reward": {"a": 1}}'),
    "figures that are deep": _metrics('{"reward": ' + DEEP + "}"),
    "a figure without a name that can be written": _metrics('{"\\ud800": 1}'),
    "a hundred thousand figures": _metrics(json.dumps({f"m{i}": i for i in range(100_000)})),
    "a time that is a text": _sql("UPDATE steps SET time = 'noon' WHERE step = 2"),
    "a time that is infinite": _sql("UPDATE steps SET time = 9e999 WHERE step = 3"),
    "a step below 0": _sql("UPDATE steps SET step = -5 WHERE step = 2"),
    # knobs, evaluations, events
    "a knob that is no JSON": _sql("UPDATE knobs SET new = 'much'"),
    "a knob that is deep": _sql("UPDATE knobs SET new = ?", DEEP),
    "a knob whose name is bytes": _sql("UPDATE knobs SET name = ?", b"\xff"),
    "a knob at no step": _sql("UPDATE knobs SET step = 'two'"),
    "an evaluation of a text": _sql("UPDATE evaluations SET n = 'ten' WHERE step = 2"),
    "an accuracy that is a text": _sql("UPDATE evaluations SET accuracy = 'good'"),
    "an extra that is a list": _sql("UPDATE evaluations SET extra = '[1]' WHERE step = 3"),
    "an event whose data is a text": _sql("UPDATE events SET data = '\"x\"'"),
    "an event of half a character": _sql(
        "UPDATE events SET text = CAST(x'61ff62' AS TEXT) WHERE step = 2"
    ),
    # completions
    "rewards that are a number": _sql("UPDATE samples SET rewards = '1'"),
    "rewards of texts": _sql('UPDATE samples SET rewards = \'["1", "2"]\''),
    "too few rewards": _sql("UPDATE samples SET rewards = '[1]' WHERE row = 1"),
    "a completion without a group": _sql("UPDATE samples SET group_index = 77 WHERE row = 3"),
    "groups of different sizes": _sql("DELETE FROM samples WHERE row = 3 AND step = 2"),
    "no groups": _sql("DELETE FROM groups WHERE step = 2"),
    "a completion that is a number": _sql("UPDATE samples SET completion = x'ff' WHERE row = 1"),
    "a reward that is a text": _sql("UPDATE samples SET reward = 'high' WHERE row = 1"),
    "dead as a text": _sql("UPDATE groups SET dead = 'yes'"),
    # tokens
    "an unknown codec": _sql("UPDATE arrays SET codec = 'pickle'"),
    "an unknown dtype": _sql("UPDATE arrays SET dtype = '|O'"),
    "an array that is a text": _sql("UPDATE arrays SET data = 'abc'"),
    "an array that is cut": _array("ids", zlib.compress(bytes(28))[:-3]),
    "an array of half a number": _array("ids", zlib.compress(bytes(27))),
    "no lengths": _sql("DELETE FROM arrays WHERE name = 'lengths'"),
    "lengths below 0": _array("lengths", np.array([-1, 5, 2, 1], np.int32)),
    "lengths of 2**31 - 1": _array("lengths", HUGE),
    "lengths that are floats": _sql("UPDATE arrays SET dtype = '<f4' WHERE name = 'lengths'"),
    "another number of lengths": _array("lengths", np.array([7], np.int32)),
    "a bomb": _array("ids", BOMB),
    "a bomb of lengths": _array("lengths", BOMB),
    "ids of another number": _array("ids", np.arange(3, dtype=np.int32)),
    # tables
    "a view without an end": _replaced_table("steps", f"{ENDLESS} i AS step, 1.0, '{{}}' FROM n"),
    "an endless view of facts": _replaced_table("meta", f"{ENDLESS} i AS key, 'x' FROM n"),
    "a table that is missing": _sql("DROP TABLE evaluations"),
    "a table with a column more": _sql("ALTER TABLE knobs ADD COLUMN why TEXT"),
}


def crafted_record(origin: Path, copy: Path, name: str) -> None:
    """A copy of an unsealed record with one thing crafted."""
    shutil.copy(origin, copy)
    with closing(sqlite3.connect(copy)) as db, db:
        CRAFTED[name](db)
