"""`workbench plan`: whether a run will fit and can start, and how long a step will take, before
anything is downloaded."""

from __future__ import annotations

import warnings
from typing import Any

from workbench.commands.printing import say_aside, say_json, say_wrapped
from workbench.config import ConfigWarning


def plan_command(
    *,
    policy: str,
    preset: str | None,
    changes: dict[str, Any],
    gpu: str | None,
    processes: int | None,
    trial: bool,
    as_json: bool,
) -> None:
    """See `workbench plan --help`."""
    from workbench.commands.train import make_config, say_what_it_takes
    from workbench.plan import device_named, shape_of
    from workbench.plan.several import plan_of_several
    from workbench.trial import with_trial

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # about learning, which nobody does here
        config = make_config(policy, preset, changes, None)
    say_what_it_takes(preset)
    device = device_named(gpu)
    shape = shape_of(policy)
    if trial and device.measured:
        say_aside(
            "timing a few layers on this machine (some seconds; --no-trial leaves it out) ..."
        )
    made = plan_of_several(config, shape, device, processes or 1)
    if trial and device.measured:
        made = with_trial(made)
    if as_json:
        say_json(made.to_dict())
    else:
        say_wrapped(str(made))
