"""What a source prints beside what is right, with the slip named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.widgets.base.style import standing_alone
from workbench.widgets.base.text import safe_text

Row = tuple[str, object, object, str]


@dataclass(frozen=True)
class Comparison:
    """A table: what, printed, exact, and why they differ (empty where they agree). Shows itself in
    a cell."""

    rows: Sequence[Row]

    def _repr_html_(self) -> str:
        heads = "".join(
            f"<th scope='col' style='text-align:left'>{h}</th>"
            for h in ("what", "printed", "exact", "why")
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:left'>{safe_text(written(cell))}</td>" for cell in row
            )
            + "</tr>"
            for row in self.rows
        )
        return standing_alone(
            "<div "
            f"style='overflow-x:auto'><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        return "\n".join(" | ".join(written(cell) for cell in row) for row in self.rows)


def compare(rows: Sequence[Row]) -> Comparison:
    """Rows of (what, printed, exact, why). Numbers, sequences and tensors are written with four
    decimals."""
    return Comparison(list(rows))


def written(value: object) -> str:
    """A cell's text: 4 decimals with a real minus, brackets around sequences."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return f"{round(value, 4) + 0.0:.4f}".rstrip("0").rstrip(".").replace("-", "−")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(v) for v in value) + "]"
    return str(value)
