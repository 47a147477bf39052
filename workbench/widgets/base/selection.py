"""What is chosen on a dashboard: one step and one completion, shared by all its pages."""

from __future__ import annotations

from typing import Any

import traitlets


class Selection(traitlets.HasTraits):
    """A page sets what a person chose there; pages that show it observe it.

    Set it outside a page's own lock: whoever observes it may draw, and take the locks of other
    pages.
    """

    step: traitlets.Int[Any, Any] = traitlets.Int(None, allow_none=True)
    """The step on every page; None follows the newest."""

    row: traitlets.Int[Any, Any] = traitlets.Int(None, allow_none=True)
    """The completion of a step by its row; None until one is chosen."""

    token: traitlets.Int[Any, Any] = traitlets.Int(None, allow_none=True)
    """The position of the token of that completion that a person holds; None while none is."""
