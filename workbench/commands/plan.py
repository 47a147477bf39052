"""`workbench plan`: whether a run will fit, and how long a step will take, before anything is downloaded."""

from __future__ import annotations

import json
import warnings
from typing import Any

from workbench.config_fields import ConfigWarning


def plan_command(*, policy: str, preset: str | None, changes: dict[str, Any], gpu: str | None, as_json: bool) -> None:
    """See `workbench plan --help`."""
    from workbench.commands.train import make_config
    from workbench.plan import device_named, plan, shape_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # about learning, which nobody does here
        config = make_config(policy, preset, changes, None)
    device = device_named(gpu)
    made = plan(config, shape_of(policy), device)
    print(json.dumps(made.to_dict()) if as_json else made)
