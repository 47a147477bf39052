"""What the token microscope says of a completion as a whole, and the values that its script reads
out."""

from __future__ import annotations

from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.text import opened_html, own_part, safe_text
from workbench.widgets.tokens.box import Column, Readings
from workbench.widgets.tokens.markup import known
from workbench.widgets.tokens.row import QUANTITIES, TokenRow
from workbench.widgets.tokens.step import TokenStep

KINDS = {"diverging": "signed", "side": "side"}
"""How the script writes a quantity, by its scale; the others are plain numbers."""


def question(found: TokenStep, row: int) -> str:
    """The prompt that a group answers, and the gold answer."""
    s = found.samples.iloc[row]
    gold = "none" if s["gold_answer"] is None else safe_text(str(s["gold_answer"]), 200)
    dead = " · <b>dead</b>: all rewards of this group are equal" if s["dead"] else ""
    return (
        f'<div class="wb-prompt"><b>Group {s["group"]}</b> · prompt: <span class="wb-text">'
        f"{safe_text(s['prompt'], 400)}</span> · "
        f'gold answer: <span class="wb-text">{gold}</span>{dead}</div>'
    )


def heading(found: TokenStep, row: TokenRow) -> str:
    """What the completion got, and how it ended."""
    s, x = found.samples.iloc[row.row], row.inputs
    names = [c for c in found.samples.columns if c.startswith("rewards/")]
    parts = ", ".join(
        f"{safe_text(n.removeprefix('rewards/'), 60)} {number_text(s[n])}" for n in names
    )
    end = "truncated: no end token" if s["truncated"] else "ended by itself"
    return (
        f"<div><b>Step {found.step}, row {row.row}</b> · advantage <b>"
        f"{number_text(s['advantage'], '+.4g', 'none')}</b> · reward "
        f"{number_text(s['reward'])} ({parts}) · baseline "
        f"{number_text(s['baseline'], missing='none')} · {len(row.ids_T)} tokens, {end} · "
        f"last used in update {x.update} of {x.updates}</div>"
    )


def template_part(found: TokenStep, row: TokenRow, opened: str) -> str:
    """What the chat template wrote before the tokens, on a line of its own; '' where it wrote
    nothing."""
    completion = str(found.samples.iloc[row.row]["completion"])
    greyed = opened_html(completion.removesuffix(own_part(completion, opened)))
    return f'<div class="wb-text">{greyed}</div>' if greyed else ""


def readings(row: TokenRow, first: str, part: slice) -> Readings:
    """The values of the tokens of `part`, the chosen quantity first."""
    columns = [_column(name, row, part) for name in known(row, first)]
    return Readings(part.start, [Column("id", "", "id", row.ids_T[part]), *columns])


def _column(name: str, row: TokenRow, part: slice) -> Column:
    quantity = QUANTITIES[name]
    kind = "logp" if name == "logp" else KINDS.get(quantity.scale, "number")
    return Column(quantity.label, quantity.unit, kind, row.values[name][part])
