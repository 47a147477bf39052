"""Whether the run that a page shows can be steered: rewound, branched."""

from __future__ import annotations

from workbench.doctor.finding import quoted
from workbench.widgets.base.source import RunSource

ONLY_A_RECORD = "Only a record: no model is loaded that could be branched or rewound."
GO_ON = " Session(…, out={folder!r}, resume=True) loads it, from its checkpoints."
ANOTHERS = "Another library trains this run: it can be stopped, but not branched or rewound."
GIVEN_BACK = "The session has given its memory back: there is nothing to branch or rewind."


def why_not_steered(source: RunSource) -> str:
    """Why no step of this run can be gone back to or branched from; '' where it can."""
    if source.session is None:
        folder = source.run.path.parent
        whole = (folder / "checkpoints").is_dir()
        return ONLY_A_RECORD + (GO_ON.format(folder=quoted(str(folder))) if whole else "")
    if "branch" not in source.session.actions:
        return ANOTHERS
    return GIVEN_BACK if source.session.trainer is None else ""
