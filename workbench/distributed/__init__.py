"""Several processes that work as one: a leader, and helpers that do what it asks.

    team.py       who is in it, and what goes between them: objects to all, results from all, sums
    starting.py   the helpers as processes of this machine
    torchrun.py   those that torchrun has started
    tensors.py    objects as bytes, and how work is shared out

Nothing here knows of training. What a training shares out stands in `workbench.training.shared`.
Names are imported from the files, since the command line asks `torchrun.py` before torch is there.
"""
