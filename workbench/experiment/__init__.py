"""Experiments: is A better than B, or was it luck? Variants over paired seeds, with controls that
must not learn, and an answer in words.

    experiment.py   `Experiment`: what a person calls
    variants.py     what is compared, and the controls
    store.py        the file that keeps it
    room.py         how many runs fit at once
    runner.py       making the runs, in this process (`making.py`) or in others (`worker.py`)
    outcomes.py     what the runs came to
    statistics.py   intervals, and the number of seeds that would be needed
    result.py       paired differences, and the controls' band; `words.py` and
                    `notes.py` say them
"""

from workbench.lazy import lazy_names

_HOMES = {
    "Experiment": "workbench.experiment.experiment",
    "ExperimentError": "workbench.experiment.variants",
    "Variant": "workbench.experiment.variants",
    "Progress": "workbench.experiment.progress",
    "Result": "workbench.experiment.result",
    "Difference": "workbench.experiment.result",
}
__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
