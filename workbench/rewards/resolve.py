"""From what a user writes on a command line to a reward function. Only code that the user named is
imported."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from pathlib import Path
from types import ModuleType

from workbench.errors import WorkbenchError
from workbench.rewards.batch import RewardFunction
from workbench.rewards.functions import answer_reward, format_reward, lenient_answer_reward

REWARDS: dict[str, RewardFunction] = {
    "format": format_reward,
    "answer": answer_reward,
    "lenient_answer": lenient_answer_reward,
}
"""The reward functions known by name.

To add one: write `NAME_reward(completions, **columns)` in TRL's signature in `rewards/functions.py`
or a file of its own in this room; add its row here; name it in the help of `--reward`
(`commands/options.py`); add its row to the table of `tests/rewards/test_registry.py`: a completion
that it pays in full and one that it does not. That test fails when any of these is forgotten. A
run's record names a function by its `__name__`, so that no two rows may share one.
"""

MODEL = "model:"
"""What a spec begins with that names the folder of a reward model."""
_NOT_THE_USERS = (Path(__file__), Path(str(importlib.__file__)))
"""Files in every traceback of a module that cannot be imported."""


class RewardSpecError(WorkbenchError, ValueError):
    """A reward function that cannot be found or a set of them that cannot be used."""


def resolve_reward(spec: RewardFunction | str) -> RewardFunction:
    """A reward function: itself, one of `REWARDS` by name, "model:FOLDER" (a reward model),
    "package.module:function" or "folder/file.py:function".

    Raises `RewardSpecError` saying what was not found, or where in the user's module which error
    is.
    """
    if isinstance(spec, type):
        raise RewardSpecError(
            f"reward {spec.__name__} is a class; give an object of it: {spec.__name__}()."
        )
    if callable(spec):
        return spec
    if not isinstance(spec, str):
        raise RewardSpecError(
            f"reward {spec!r:.80} is a {type(spec).__name__}; expected a function or its name."
        )
    if spec in REWARDS:
        return REWARDS[spec]
    if spec.startswith(MODEL):
        # Only here: it loads torch and transformers.
        from workbench.rewards.model import reward_model

        return reward_model(spec.removeprefix(MODEL))
    place, colon, name = spec.rpartition(":")
    if not (place and colon and name):
        raise RewardSpecError(
            f"reward {spec!r} is unknown. Choose one of {', '.join(REWARDS)}, or name your own as "
            "'package.module:function' or 'folder/file.py:function', or a reward model as "
            "'model:FOLDER'."
        )
    return _function(_module(place, spec), name, spec)


def _module(place: str, spec: str) -> ModuleType:
    if place.endswith(".py"):
        return _module_of_file(Path(place), spec)
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not (place == missing or place.startswith(f"{missing}.")):
            # The module was found, and what it imports was not; or it is wrong in itself.
            raise _broken(spec, error) from error
        raise RewardSpecError(
            f"reward {spec!r}: there is no module {missing!r}. For a file, write "
            "'folder/file.py:function'."
        ) from error


def _module_of_file(path: Path, spec: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if found is None or found.loader is None:
        raise RewardSpecError(f"reward {spec!r}: there is no file {str(path)!r}.")
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _broken(spec, error) from error
    return module


def _broken(spec: str, error: BaseException) -> RewardSpecError:
    """What to raise for an error in a module of the user's: with the line that it is in."""
    if isinstance(error, SyntaxError):
        words = error.msg
        place = _place(error.filename, error.lineno, error.text)
    else:
        words = str(error)
        place = _line_of_user(error)
    return RewardSpecError(f"reward {spec!r}: {place}{type(error).__name__}: {words}")


def _line_of_user(error: BaseException) -> str:
    """The deepest line of the user's own code that led to the error; '' where none did."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and Path(frame.filename) not in _NOT_THE_USERS
    ]
    if not frames:
        return ""
    # The libraries that the user's code calls are not what is to be mended.
    folder = Path(frames[0].filename).parent
    own = [frame for frame in frames if Path(frame.filename).parent == folder]
    return _place(own[-1].filename, own[-1].lineno, own[-1].line)


def _place(file: str | None, number: int | None, line: str | None) -> str:
    if file is None:
        return ""
    where = file if number is None else f"{file}, line {number}"
    return f"{where}, in `{line.strip()}`: " if line and line.strip() else f"{where}: "


def _function(module: ModuleType, name: str, spec: str) -> RewardFunction:
    function: RewardFunction | None = getattr(module, name, None)
    if not callable(function):
        own = [
            attribute
            for attribute, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        ]
        what = (
            "has no"
            if function is None
            else f"holds a {type(function).__name__}, not a function, in"
        )
        known = ", ".join(own) or "none"
        raise RewardSpecError(
            f"reward {spec!r}: {module.__name__} {what} {name!r}. Its functions are: {known}."
        )
    return function
