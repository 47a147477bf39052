"""A run that trains in the background of the same kernel and can be steered, paused, rewound and
branched.

    session.py     what a person calls
    runner.py      the work behind it: one piece at a time, in a thread, to its end
    status.py      what a session may be doing, and what may follow what
    turn.py        whose turn it is: one machine, and one session that trains at a time
    branching.py   going back to a step, and branching off from one
    worker.py      the thread
    listeners.py   whoever wants to hear of changes
    pump.py        waiting in a cell without starving its widgets
"""

from workbench.training.session.errors import RewindError, SessionError
from workbench.training.session.session import Session
from workbench.training.session.status import Status

__all__ = ["RewindError", "Session", "SessionError", "Status"]
