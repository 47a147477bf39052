"""The trainer owns its state: what it gives away comes back whole, and nobody else writes to it."""

from __future__ import annotations

import ast
from pathlib import Path

from helpers import same_weights, weights_of

from workbench.training import checkpoints

ROOT = Path(__file__).parents[2]
HOME = ROOT / "workbench/training/trainer.py"


def writes_to_a_trainer(file: Path) -> list[str]:
    """Lines that assign to an attribute of something called `trainer`."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, (ast.Store, ast.Del)):
            continue
        owner = node.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        if name in ("trainer", "_trainer"):
            found.append(f"{file.relative_to(ROOT)}:{node.lineno} .{node.attr}")
    return found


def test_nothing_outside_writes_the_trainers_fields() -> None:
    files = [f for f in (ROOT / "workbench").rglob("*.py") if f != HOME]
    assert [line for f in files for line in writes_to_a_trainer(f)] == []


def test_a_snapshot_brings_everything_back(make_trainer) -> None:
    trainer = make_trainer()
    trainer.step()
    trainer.knobs.set(beta=0.3)
    # The tensors of a snapshot are the live ones; a checkpoint copies them to the disk.
    trainer.save()
    first = [trainer.step().metrics["loss"] for _ in range(2)]
    weights = weights_of(trainer)

    trainer.go_back_to(checkpoints.load(trainer.folder, 1))
    assert trainer.steps_done == 1
    assert trainer.knobs.pending == {"beta": 0.3}
    assert trainer.run.last_step == 1
    assert [trainer.step().metrics["loss"] for _ in range(2)] == first
    assert same_weights(weights_of(trainer), weights)


def test_the_record_goes_on_after_it_was_closed(make_trainer) -> None:
    trainer = make_trainer()
    trainer.step()
    trainer.run.finish("stopped", "a test")
    trainer.continue_record(1)
    assert not trainer.run.closed
    assert trainer.step().step == 2
