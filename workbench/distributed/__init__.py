"""Several processes that work as one: a leader, and helpers that do what it asks.

    team.py       who is in it, and what goes between them: objects to all, results from all, sums
    starting.py   the helpers as processes of this machine, or those that torchrun has started
    tensors.py    objects as bytes, and how work is shared out

Nothing here knows of training. What a training shares out stands in `workbench.training.shared`.
"""

from workbench.distributed.starting import (
    check_devices,
    join_team,
    join_torchrun,
    start_team,
    torchrun_rank,
    torchrun_size,
)
from workbench.distributed.team import HelperError, Team, TeamLostError
from workbench.distributed.tensors import share_out

__all__ = [
    "HelperError",
    "Team",
    "TeamLostError",
    "check_devices",
    "join_team",
    "join_torchrun",
    "share_out",
    "start_team",
    "torchrun_rank",
    "torchrun_size",
]
