"""What the token microscope says of a completion as a whole, and the values that its script reads
out."""

from __future__ import annotations

import numpy as np

from workbench.influence.mass_file import Mass
from workbench.widgets.base.bar import advantage_bar
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.style import scrolling
from workbench.widgets.base.text import opened_html, own_part, safe_text
from workbench.widgets.tokens.box import Column, Readings
from workbench.widgets.tokens.inputs import RowInputs
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
    words = (
        f'<b>Group {s["group"]}</b> · prompt: <span class="wb-text">'
        f"{safe_text(s['prompt'], 400)}</span> · "
        f'gold answer: <span class="wb-text">{gold}</span>{dead}'
    )
    return scrolling("prompt", words, "wb-prompt")


def heading(found: TokenStep, row: TokenRow) -> str:
    """What the completion got, and how it ended; why it took no part in the loss, where it took
    none."""
    s, x = found.samples.iloc[row.row], row.inputs
    names = [c for c in found.samples.columns if c.startswith("rewards/")]
    parts = ", ".join(
        f"{safe_text(n.removeprefix('rewards/'), 60)} {number_text(s[n])}" for n in names
    )
    whole = row.left_out.whole
    left = f'<div class="wb-note">Left out of the loss: {whole}.</div>' if whole else ""
    fate = _fate(s["truncated"], x)
    return (
        f'<div data-row="{row.row}"><b>Step {found.step}, row {row.row}</b> · advantage <b>'
        f"{advantage_bar(float(s['advantage']), found.largest_advantage)}</b> · reward "
        f"{number_text(s['reward'])} ({parts}) · baseline "
        f"{number_text(s['baseline'], missing='none')} · {len(row.ids_T)} tokens, {fate}</div>"
        f"{left}"
    )


def _fate(truncated: bool, x: RowInputs) -> str:
    """How a completion ended, and which update used it."""
    if not x.settings_known:
        # An imported run need not know of its end, either.
        return "truncated: no end token" if truncated else "its update is not in the record"
    end = "truncated: no end token" if truncated else "ended by itself"
    return f"{end} · last used in update {x.update} of {x.updates}"


def template_part(found: TokenStep, row: TokenRow, opened: str) -> str:
    """What the chat template wrote before the tokens, on a line of its own; '' where it wrote
    nothing."""
    completion = str(found.samples.iloc[row.row]["completion"])
    greyed = opened_html(completion.removesuffix(own_part(completion, opened)))
    return f'<div class="wb-text">{greyed}</div>' if greyed else ""


def readings(row: TokenRow, first: str, part: slice, mass: Mass | None = None) -> Readings:
    """The values of the tokens of `part`, the chosen quantity first; with the `mass` of the step
    also how likely each token is after it, and what else was likely."""
    columns = [_column(name, row, part) for name in known(row, first)]
    out = row.left_out
    ids = Column("id", "", "id", row.ids_T[part])
    why = Column("no push:", "", "word", out.code_T[part])
    return Readings(
        part.start,
        [ids, *columns, why, *_change(row, part, mass)],
        words=out.words,
        texts={} if mass is None else _texts(row, part, mass),
    )


def _change(row: TokenRow, part: slice, mass: Mass | None) -> list[Column]:
    """Before and after; without the mass of the step only the tokens' last use in an update is
    known, which was before the policy moved by it."""
    if mass is None:
        before_T = row.inputs.filled("old_logp")
        return [
            Column("log-probability before the step", "nats", "before", before_T[part]),
            Column("when last used", "nats", "after", row.inputs.filled("logp")[part]),
        ]
    tokens = mass.tokens_of(row.row)
    columns = [
        Column("log-probability before the step", "nats", "before", mass.logp_UK[0, tokens][part]),
        Column("after the step", "nats", "after", mass.logp_UK[-1, tokens][part]),
    ]
    for place in range(mass.likely_ids_SKA.shape[2]):
        ids_T = mass.likely_ids_SKA[0, tokens, place][part]
        logp_T = mass.likely_logp_SKA[0, tokens, place][part]
        columns.append(Column(f"likeliest {place + 1}: id", "", "likely_id", ids_T))
        columns.append(Column("its log-probability", "nats", "likely_logp", logp_T))
    return columns


def _texts(row: TokenRow, part: slice, mass: Mass) -> dict[int, str]:
    ids = np.unique(mass.likely_ids_SKA[0, mass.tokens_of(row.row)][part]).tolist()
    # A token is shown as a word; what is longer would be no token of a real vocabulary.
    return {i: mass.texts.get(i, "")[:40] for i in ids}


def _column(name: str, row: TokenRow, part: slice) -> Column:
    quantity = QUANTITIES[name]
    kind = "logp" if name == "logp" else KINDS.get(quantity.scale, "number")
    return Column(quantity.label, quantity.unit, kind, row.values[name][part])
