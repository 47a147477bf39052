"""The doctor: what is going on in a run, in words, with the figures it rests on and what to try.
Reads run records only.

`diagnose` gives findings, `report` the same as plain text. Each rule is one short function in
`rules`; its thresholds, with their reasons, stand in `thresholds`. Nothing here imports torch or a
widget.
"""

from workbench.doctor.diagnosis import diagnose
from workbench.doctor.finding import SEVERITIES, SIGNS, Finding
from workbench.doctor.report import report

__all__ = ["SEVERITIES", "SIGNS", "Finding", "diagnose", "report"]
