"""One training in several processes: data parallel, with the numbers of one process.

Rollouts are small and computing them is not. So one process, the leader, is a trainer like any
other: it has the record, the rewards, the knobs, the checkpoints and the last word; and what a
model computes (rollout, log-probabilities, gradients) is shared out among all, in whole groups.

    trainer.py    the leader: a trainer whose parts of a step ask for shares
    engine.py     the rollout of all, with the draws of one
    work.py       what every process does with its share
    helper.py     the processes beside the leader
    checks.py     what cannot be shared out, refused by name
"""

from workbench.training.shared.trainer import SharedTrainer, trainer_of

__all__ = ["SharedTrainer", "trainer_of"]
