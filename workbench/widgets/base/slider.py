"""`Slider`: a number on a track, over the browser's own range input.

ipywidgets' slider sends every place that a drag passes through, and its handle has no name. This
one sends the value once, when the hand lets go (or the arrow keys rest), and what it passes on the
way as `preview`, so that a view can answer in `said` before anything is changed.
"""

from __future__ import annotations

import anywidget
import traitlets

from workbench.widgets.base.page import module_beside


class Slider(anywidget.AnyWidget):
    """A slider. Its look is in the style sheet of all views.

    value         the number; with `live` it follows the hand, else it changes when the hand lets go
    preview       where the hand is meanwhile; None while nobody moves it
    said          a sentence beside the hand: what `preview` would do
    in_force      where a pale handle marks what holds now; None draws none
    step          of the value, or of its power of ten where the slider is logarithmic (`log`)
    description   the name for screen readers; `symbol` is shown instead of it beside the hand
    """

    _esm = module_beside(__file__)

    value = traitlets.Float(0.0).tag(sync=True)
    min = traitlets.Float(0.0).tag(sync=True)
    max = traitlets.Float(1.0).tag(sync=True)
    step = traitlets.Float(0.01).tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
    symbol = traitlets.Unicode("").tag(sync=True)
    tooltip = traitlets.Unicode("").tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    in_force = traitlets.Float(None, allow_none=True).tag(sync=True)
    preview = traitlets.Float(None, allow_none=True).tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)
