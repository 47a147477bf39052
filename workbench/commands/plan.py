"""`workbench plan`: whether a run will fit and can start, and how long a step will take, before
anything is downloaded."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from workbench.config import ConfigWarning


def plan_command(
    *,
    policy: str,
    preset: str | None,
    changes: dict[str, Any],
    gpu: str | None,
    trial: bool,
    as_json: bool,
) -> None:
    """See `workbench plan --help`."""
    from workbench.commands.train import make_config
    from workbench.plan import device_named, plan, shape_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # about learning, which nobody does here
        config = make_config(policy, preset, changes, None)
    device, shape = device_named(gpu), shape_of(policy)
    if trial and device.measured:
        print(
            "timing a few layers on this machine (some seconds; --no-trial leaves it out) ...",
            file=sys.stderr,
        )
    made = plan(config, shape, device, trial=trial and device.measured)
    print(json.dumps(made.to_dict()) if as_json else made)
