"""The one look: colours that hold on light and dark pages and for colour-blind readers, and the
style sheet of all views."""

from __future__ import annotations

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Okabe-Ito's four colours with a contrast of at least 3:1 on white and on JupyterLab's dark
page."""
COLOURS = (BLUE, ORANGE, GREEN, PINK)
DASHES = ("solid", "dash", "dot", "dashdot")
"""Runs differ by dash as well as by colour: never by colour alone."""
POSITIVE, NEGATIVE = BLUE, ORANGE
"""The sign of an advantage: blue above the group, orange below; the signed number stands beside
it."""

CSS = """
.wb { --wb-fg: var(--jp-content-font-color1, var(--vscode-foreground, var(--colab-primary-text-color, #212121)));
  --wb-dim: var(--jp-content-font-color2, var(--vscode-descriptionForeground, #616161));
  --wb-bg: var(--jp-layout-color1, var(--vscode-editor-background, transparent));
  --wb-line: var(--jp-border-color2, var(--vscode-editorWidget-border, #bdbdbd));
  --wb-soft: var(--jp-layout-color2, rgba(128,128,128,.12));
  color: var(--wb-fg); font-size: 14px; line-height: 1.45; }
.wb table { border-collapse: collapse; width: 100%; font-size: 13px; }
.wb th, .wb td { padding: 4px 8px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--wb-line); color: var(--wb-fg); }
.wb th { font-weight: 600; white-space: nowrap; }
.wb td.wb-number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wb .wb-text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--jp-code-font-family, monospace); font-size: 13px; }
.wb .wb-dim { color: var(--wb-dim); }
.wb .wb-code { font-size: 12px; border: 1px dashed var(--wb-line); border-radius: 3px; padding: 0 2px; }
.wb .wb-cut { font-style: italic; color: var(--wb-dim); }
.wb .wb-error { border-left: 4px solid #D55E00; padding: 4px 8px; background: var(--wb-soft); }
.wb .wb-note { border-left: 4px solid #0072B2; padding: 4px 8px; background: var(--wb-soft); }
.wb-scaled .noUi-handle { border: 2px solid #0072B2; }
.wb-scaled .lm-TabBar-tab, .wb-scaled .p-TabBar-tab, .wb-scaled .jupyter-widget-Collapse-header,
.wb-scaled .p-Collapse-header { color: var(--jp-content-font-color1, inherit) !important; }
.wb-scaled .widget-label-basic { display: flex; align-items: center; }
.wb-scaled .widget-checkbox .widget-label-basic input[type=checkbox] { margin: 0 8px 0 0; }
[data-jp-theme-light="false"] .wb-scaled .widget-dropdown > select { background-size: 5px 5px; background-repeat: no-repeat;
  background-position: right 11px center, right 6px center;
  background-image: linear-gradient(45deg, transparent 50%, #ddd 50%), linear-gradient(135deg, #ddd 50%, transparent 50%); }
@media (prefers-reduced-motion: reduce) { .wb * { transition: none !important; animation: none !important; } }
"""


def framed(inner: str) -> str:
    """HTML inside the workbench's look; what a text view puts into an `ipywidgets.HTML`."""
    return f"<style>{CSS}</style><div class='wb'>{inner}</div>"
