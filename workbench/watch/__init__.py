"""Looking on while another library trains: `watch(trainer)` for TRL's `GRPOTrainer`.

    from workbench import watch
    dashboard = watch(trainer)      # in a notebook; shows the run while it trains
    trainer.train()

    from workbench.watch import WatchCallback
    trainer.add_callback(WatchCallback(trainer, "runs/mine"))       # a script: no widgets

The record is the workbench's own: `Run.open`, `Dashboard`, `workbench doctor` read it afterwards.
What TRL computes stays the same to the last bit, unless a person moves a knob.
"""

import sys
from types import ModuleType
from typing import Any

from workbench.lazy import lazy_names

_HOMES = {
    "watch": "workbench.watch.trl",
    "WatchCallback": "workbench.watch.trl",
    "WatchedTrainer": "workbench.watch.watched",
    "WatchError": "workbench.watch.errors",
}
__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)


class _CallableRoom(ModuleType):
    """`from workbench import watch` gives the room once anything has imported it, since Python
    binds a package's parts to their names. So the room can be called, too, and does the same."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.watch(*args, **options)


sys.modules[__name__].__class__ = _CallableRoom
