"""Every setting of a run, what it means, which values it takes and which go together.

`grpo` holds the config itself, `fields` how a field documents and checks itself, `rules` what must
hold between fields, `losses`, `methods` and `engines` the facts of each loss type, training method
and rollout engine, `presets` published settings. Nothing here imports torch.
"""

from workbench.config.engines import ENGINE_FACTS
from workbench.config.fields import ConfigError, ConfigWarning, range_text
from workbench.config.grpo import KEY_FIELDS, SAMPLER_CORRECTIONS, GRPOConfig, plain_value, value_of
from workbench.config.losses import LOSS_TYPES, LOSSES, LossFacts
from workbench.config.methods import METHODS, MethodFacts
from workbench.config.presets import PRESETS

__all__ = [
    "ENGINE_FACTS",
    "KEY_FIELDS",
    "LOSSES",
    "LOSS_TYPES",
    "METHODS",
    "PRESETS",
    "SAMPLER_CORRECTIONS",
    "ConfigError",
    "ConfigWarning",
    "GRPOConfig",
    "LossFacts",
    "MethodFacts",
    "plain_value",
    "range_text",
    "value_of",
]
