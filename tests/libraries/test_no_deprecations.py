"""Nothing that we call is on its way out: a whole small run, and no deprecation is ours.

A library's warning is ours where the first caller outside that library (and outside torch's module
calls) stands in `workbench/`; what peft asks of transformers is theirs.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.config import GRPOConfig
from workbench.plan import device_named, plan, shape_of
from workbench.policy import load_policy
from workbench.rewards import RewardSet
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import start_run

OURS = str(Path(workbench.__file__).parent)
VERSIONS = ", ".join(
    f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "peft")
)


def room(filename: str) -> str:
    """The package that a file belongs to."""
    parts = Path(filename).parts
    return parts[parts.index("site-packages") + 1] if "site-packages" in parts else filename


def caller(warned_in: str) -> str:
    """The first file outside the warning's own library, on the way out."""
    for frame in reversed(traceback.extract_stack()):
        passing = frame.filename == __file__ or frame.filename.endswith("warnings.py")
        if not passing and room(frame.filename) not in (room(warned_in), "torch"):
            return frame.filename
    return ""


@contextmanager
def deprecations_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    found: list[str] = []

    def show(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if issubclass(category, (FutureWarning, DeprecationWarning)):
            ours = filename if filename.startswith(OURS) else caller(filename)
            if ours.startswith(OURS):
                found.append(f"{ours}: {message}")

    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield found
    found += [r.getMessage() for r in caplog.records if "deprecated" in r.getMessage()]


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """transformers' logger hands nothing on by itself."""
    from transformers.utils import logging as hf_logging

    hf_logging.enable_propagation()
    yield
    hf_logging.disable_propagation()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(rollout_engine="transformers"),
        dict(lora_rank=4, gradient_checkpointing=True),
        dict(lora_rank=4, quantization="nf4"),
    ],
    ids=str,
)
def test_a_small_run_calls_nothing_that_is_deprecated(
    changes: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = GRPOConfig(
        **dict(
            prompts_per_step=2,
            num_generations=4,
            updates_per_rollout=2,
            max_completion_length=4,
            max_steps=1,
            eval_steps=0,
            num_eval_problems=2,
        )
        | changes
    )
    with deprecations_of_ours(caplog) as found:
        policy = load_policy("embedded", config=config, device="cpu")
        trainer = start_run(
            tmp_path / "run",
            policy=policy,
            task=arithmetic_task(0, 8, 4),
            rewards=RewardSet(["format", "answer"]),
            config=config,
        )
        trainer.train()
        plan(config, shape_of("embedded"), device_named("24GB"))
    assert not found, f"{VERSIONS}: {found}"


def test_a_deprecation_of_ours_is_found(caplog: pytest.LogCaptureFixture) -> None:
    """What the test above would see: a library that warns, called from a file of ours."""
    code = compile("def call(f):\n    f()\n", f"{OURS}/made_up.py", "exec")
    names: dict[str, Any] = {}
    exec(code, names)
    site = next(p for p in sys.path if p.endswith("site-packages"))
    library: dict[str, Any] = {"warnings": warnings}
    text = "def old():\n    warnings.warn('old is deprecated', FutureWarning)\n"
    exec(compile(text, f"{site}/transformers/made_up.py", "exec"), library)
    with deprecations_of_ours(caplog) as found:
        names["call"](library["old"])
    assert len(found) == 1
    with deprecations_of_ours(caplog) as found:
        library["old"]()
    assert not found, "a test's own call is not the package's"
