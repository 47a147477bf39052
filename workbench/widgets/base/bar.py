"""An advantage as its signed number with a bar: to the right and blue above the group, to the left
and orange below it."""

from __future__ import annotations

import numpy as np

from workbench.widgets.base.numbers import number_text

BAR_CSS = """
.wb .wb-adv { display: inline-block; position: relative; width: 72px; height: 12px;
  vertical-align: middle; margin-left: 8px; }
.wb .wb-adv::before { content: ""; position: absolute; left: 50%; top: -2px; bottom: -2px;
  border-left: 1px solid var(--wb-dim); }
.wb .wb-up, .wb .wb-down { position: absolute; top: 0; height: 12px; }
.wb .wb-up { left: 50%; background: var(--wb-positive); }
.wb .wb-down { right: 50%; background: var(--wb-negative); }
"""


def advantage_bar(value: float, largest: float) -> str:
    """`value` with a bar that is full at `largest`, the largest |advantage| of the step."""
    share = 0.0
    if largest > 0 and np.isfinite(value):
        share = min(abs(value) / largest, 1)
    side = "wb-up" if value > 0 else "wb-down"
    bar = f'<span class="{side}" style="width:{share * 50:.0f}%"></span>' if share else ""
    return (
        f'{number_text(value, "+.4g", "none")}<span class="wb-adv" aria-hidden="true">{bar}</span>'
    )
