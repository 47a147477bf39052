"""What was written for other GRPO systems, in the workbench's own words.

`areal` reads AReaL's YAML files into a `GRPOConfig`, `trl` runs scripts that were written for TRL.
Both say what they did with each setting, by `Translation`, and drop none without a word.
"""

from workbench.lazy import lazy_names

_HOMES = {
    "ArealTranslation": "workbench.compat.areal",
    "Translation": "workbench.compat.translation",
    "read_areal": "workbench.compat.areal",
}
__all__ = [*_HOMES]

__getattr__ = lazy_names(__name__, _HOMES)
