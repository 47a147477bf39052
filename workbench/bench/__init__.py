"""The benchmark table: what others have published, and what was measured here, kept apart.

`benchmark_table()` shows it in a notebook, `workbench bench` in a terminal, `--html FILE` as a
page. Published figures stand in `workbench/assets/published.yaml` (to which
`benchmarks/published.yaml` leads), each with its source; measured ones are read from the results of
`workbench eval --json` and from run records. `workbench bench methods` runs every method on the
embedded policy (`cases`, `matrix`) and shows them side by side (`methods`).
"""

from workbench.bench.measured import Measured, read_measured
from workbench.bench.methods import MethodRow, MethodsTable, recorded_methods
from workbench.bench.published import Published, Source, read_published
from workbench.bench.table import BenchmarkTable, benchmark_table

__all__ = [
    "BenchmarkTable",
    "Measured",
    "MethodRow",
    "MethodsTable",
    "Published",
    "Source",
    "benchmark_table",
    "read_measured",
    "read_published",
    "recorded_methods",
]
