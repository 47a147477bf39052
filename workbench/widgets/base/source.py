"""A run record as a view sees it: metric columns that grow, read a piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.runs import Run, accuracy_band, controls_beside, is_control, relatives
from workbench.runs.control import Band, metric_band

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd

    from workbench.training.session import Session

Control = Run | str | Path | Sequence[Run | str | Path]
"""A run whose rewards say nothing, or several."""


class RunSource:
    """One run, live or stored. `refresh` reads what is new since the last call; the frames stay in
    between.

    `metrics` has a row per step, as `Run.steps`; `knobs`, `evaluations` and `events` are as `Run`
    gives them.
    """

    status: str
    """running, finished, stopped, failed, or how else the record ended; of a live session the
    session's own word: for the record a run is "running" as long as its writer lives, at rest or
    not."""
    reason: str
    """Why it stopped or failed."""
    planned: int | None
    """The steps that it is to make, None where the record does not say."""

    def __init__(
        self,
        run: Run | str | Path,
        session: Session | None = None,
        controls: Sequence[Run] = (),
    ) -> None:
        self.run = run if isinstance(run, Run) else Run.open(run)
        self._session = session
        self.controls = list(controls)
        """Runs of the same training whose rewards say nothing; drawn as a band behind the run."""
        meta = self.run.meta
        self.label = meta.name
        # Read once: they stay what they are, and views ask for them at every drawing.
        self.id = meta.id
        self.parent_id = meta.parent_id
        self.fork = meta.branch_step
        self.started = meta.started
        self.reward_names = list(meta.reward_names)
        self._position: tuple[int, int] | None = None
        self._written: tuple[object, ...] | None = None
        self._kept: dict[str, tuple[object, list[int]]] = {}
        self.refresh()

    @property
    def live(self) -> bool:
        """True when the session that writes this run is at hand, so that its status is known."""
        return self._session is not None

    @property
    def session(self) -> Session | None:
        """The session that writes this run; None for a stored run."""
        return self._session

    @property
    def asked(self) -> Session | Run:
        """Whom a page asks to compute something: the session that holds the policy, or else the
        stored run (of another library's training, too)."""
        session = self._session
        return self.run if session is None or "branch" not in session.actions else session

    @property
    def opened(self) -> str:
        """What the policy's chat template wrote of each answer before the policy did; '' for most.
        Completions are kept with it."""
        opened = self.run.meta.environment.get("opened_answer", "")
        return opened if isinstance(opened, str) else ""

    def refresh(self) -> bool:
        """Read what is new; True when something changed."""
        position, state = self.run.position(), self._state()
        evaluations, events = self.run.evaluations(), self.run.events()
        written = (position, state, len(evaluations), len(events))
        if written == self._written:
            return False
        self.metrics = self._metrics(position)
        self.knobs, self.evaluations, self.events = self.run.knobs(), evaluations, events
        self.status, self.reason, self.planned = state
        self._position, self._written = position, written
        return True

    @cached_property
    def control_accuracy(self) -> Band | None:
        """What the controls' held-out accuracy spans; None without a control that was evaluated."""
        return accuracy_band(self.controls)

    @cached_property
    def control_reward(self) -> Band | None:
        """The same of the mean reward of a step."""
        return metric_band(self.controls, "reward")

    @cached_property
    def parent(self) -> RunSource | None:
        """The run that this one branched from, where its record lies beside; else None."""
        if self.parent_id is None:
            return None
        found = [run for run in relatives(self.run) if run.meta.id == self.parent_id]
        return RunSource(found[0]) if found else None

    def _state(self) -> tuple[str, str, int | None]:
        """Status, reason and planned steps."""
        meta, session = self.run.meta, self._session
        trainer = session.trainer if session is not None else None
        if session is None or trainer is None:  # stored, or freed
            planned = meta.config.get("max_steps")
            return meta.status, meta.reason, planned if isinstance(planned, int) else None
        error = session.error
        reason = meta.reason if error is None else f"{type(error).__name__}: {error}"
        return session.status, reason, trainer.config.max_steps

    def _metrics(self, position: tuple[int, int]) -> pd.DataFrame:
        import pandas as pd

        # New, or cut back by a resume or a rewind.
        if self._position is None or position[0] != self._position[0]:
            return self.run.steps()
        new = self.run.steps(since=self._position[1])
        return pd.concat([self.metrics, new], ignore_index=True) if len(new) else self.metrics

    def kept_steps(self, of: str) -> list[int]:
        """The steps of which `Run.kept_steps` has something, read once for each state."""
        known = self._kept.get(of)
        if known is None or known[0] != self._position:
            known = (self._position, self.run.kept_steps(of))
            self._kept[of] = known
        return known[1]

    @property
    def last_step(self) -> int:
        """The newest step read; 0 before the first."""
        return int(self.metrics["step"].iloc[-1]) if len(self.metrics) else 0


def controls_to_show(run: Run, given: Control | None) -> list[Run]:
    """The controls to draw behind `run`: those given, or for None those that lie beside it. Raises
    ValueError for a run that is none."""
    if given is None:
        return controls_beside(run)
    wanted = [given] if isinstance(given, (Run, str, Path)) else list(given)
    controls = [each if isinstance(each, Run) else Run.open(each) for each in wanted]
    for control in controls:
        if not is_control(control):
            raise ValueError(
                f"control={control.meta.name!r}: its rewards "
                f"{', '.join(control.meta.reward_names)} say something about the completions. Give "
                "a run made with --shuffle-rewards."
            )
    return controls


class View(Protocol):
    """A page of the dashboard: a widget that shows runs at a step. It owns no state of the run and
    never trains."""

    title: str
    widget: ipywidgets.Widget

    def show(self, sources: Sequence[RunSource], step: int | None) -> None:
        """Draw the runs (the first one is the one in focus) at `step`; None = its newest."""
        ...
