"""The counterfactual tornado: what would each knob have done, from this state on?

    sides.py     how far down and up each knob goes
    branch.py    a trainer that borrows another's model, records nothing and can begin anew
    sharing.py   the first rollout, sampled once for all branches that would sample it alike
    measure.py   what each branch has come to, on held-out problems
    work.py      all branches, one after another, and the state given back afterwards
    handle.py    what a person holds of it: progress, cancel, result
    stored.py    the same from a checkpoint of a stored run

What a tornado found is kept by `workbench.runs.tornado`, which needs no torch.
"""

from workbench.training.tornado.handle import Tornado, TornadoCancelledError, TornadoError
from workbench.training.tornado.work import Progress

__all__ = ["Progress", "Tornado", "TornadoCancelledError", "TornadoError"]
