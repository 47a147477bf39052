"""A run or a config as a folder in which another trainer goes on: `export_trl`, `export_verl`.

A folder holds the settings, the reward functions, the prompts, the policy, a short script, and a
README with three tables: what was mapped, what differs, and what has no counterpart. Each field of
`GRPOConfig` stands in one of them, or among those that do nothing in the run.
"""

from workbench.lazy import lazy_names

_HOMES = {
    "ExportFolderError": "workbench.compat.export.source",
    "Exported": "workbench.compat.export.source",
    "Report": "workbench.compat.export.report",
    "export_trl": "workbench.compat.export.trl_folder",
    "export_verl": "workbench.compat.export.verl_folder",
}
__all__ = [*_HOMES]

__getattr__ = lazy_names(__name__, _HOMES)
