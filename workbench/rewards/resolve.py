"""From what a user writes on a command line to a reward function. Only code that the user named is
imported."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from pathlib import Path
from types import ModuleType

from workbench.rewards.batch import RewardFunction
from workbench.rewards.cosine import CosineScaled
from workbench.rewards.functions import answer_reward, format_reward, lenient_answer_reward
from workbench.rewards.judge import UrlJudge
from workbench.rewards.length import Length
from workbench.rewards.noise import Noisy
from workbench.rewards.overlong import SoftOverlong
from workbench.rewards.parameters import REWARD, RewardSpecError, WithParameters, made
from workbench.rewards.repetition import Repetition
from workbench.rewards.tags import tag_count_reward

DEFAULT_REWARDS = ("format", "answer")
"""What is paid where nobody names a reward."""

REWARDS: dict[str, RewardFunction] = {
    "format": format_reward,
    "answer": answer_reward,
    "lenient_answer": lenient_answer_reward,
    "tag_count": tag_count_reward,
}
"""The reward functions known by name.

To add one: write `NAME_reward(completions, **columns)` in TRL's signature in `rewards/functions.py`
or a file of its own in this room; add its row here; name it in the help of `--reward`
(`commands/options.py`); add its row to the table of `tests/rewards/test_registry.py`: a completion
that it pays in full and one that it does not. That test fails when any of these is forgotten. A
run's record names a function by its `__name__`, so that no two rows may share one.
"""

WITH_PARAMETERS: dict[str, type[WithParameters]] = {
    kind.kind: kind for kind in (SoftOverlong, Length, Repetition, CosineScaled, Noisy, UrlJudge)
}
"""The reward functions with parameters, written `NAME:parameter=value,…`.

To add one: a frozen dataclass that descends from `WithParameters`, in a file of its own in this
room; its row here; its name in the help of `--reward`; its row in `tests/rewards/test_registry.py`.
"""

MODEL = "model:"
"""What a spec begins with that names the folder of a reward model."""

_NOT_THE_USERS = (Path(__file__), Path(str(importlib.__file__)))
"""Files in every traceback of a module that cannot be imported."""


def resolve_reward(spec: RewardFunction | str) -> RewardFunction:
    """A reward function: itself, one of `REWARDS` by name, one of `WITH_PARAMETERS` as
    "name:parameter=value,…", "model:FOLDER" (a reward model), "package.module:function" or
    "folder/file.py:function".

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
    if (kind := _kind_of(spec)) is not None:
        function: RewardFunction = made(kind, spec.partition(":")[2])
        return function
    if spec.startswith(MODEL):
        # Only here: it loads torch and transformers.
        from workbench.rewards.model import reward_model

        return reward_model(spec.removeprefix(MODEL))
    place, colon, name = spec.rpartition(":")
    if not (place and colon and name):
        known = ", ".join([*REWARDS, *WITH_PARAMETERS])
        raise RewardSpecError(
            f"reward {spec!r} is unknown. Choose one of {known}, or name your own as "
            "'package.module:function' or 'folder/file.py:function', or a reward model as "
            "'model:FOLDER'."
        )
    return _function(_module(place, spec), name, spec)


def spec_of(reward: RewardFunction | str) -> str:
    """The one way in which a reward is written as the parameter of another; a function of one's
    own, handed over as an object, by its name alone."""
    if isinstance(reward, str):
        return resolve_reward(reward).__name__ if _kind_of(reward) else reward
    name = str(getattr(reward, "__name__", type(reward).__name__))
    return next((spec for spec, function in REWARDS.items() if function is reward), name)


def spec_of_recorded(name: str) -> str | None:
    """What `--reward` takes for a function that a run's record calls `name`; None where the record
    does not say where it lies."""
    if _kind_of(name):
        inner = name.partition(f"{REWARD}=")[2]
        return name if not inner or _is_placed(inner) else None
    return next((spec for spec, f in REWARDS.items() if f.__name__ == name), None)


def _is_placed(inner: str) -> bool:
    """Whether an inner reward of a recorded name can be found by it."""
    if _kind_of(inner):
        return spec_of_recorded(inner) is not None
    return inner in REWARDS or ":" in inner


def _kind_of(spec: str) -> type[WithParameters] | None:
    return WITH_PARAMETERS.get(spec.partition(":")[0])


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
