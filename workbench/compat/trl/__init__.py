"""Scripts that were written for TRL, with the import line changed:

    from workbench.compat.trl import GRPOConfig, GRPOTrainer

A thin translation to our `GRPOConfig` and `Trainer`; the names and defaults are those of TRL 1.16.
Nothing of TRL is needed, and nothing is sent anywhere. An argument that has no counterpart is
refused by name, with what to do.

What differs: prompts that are plain text are asked as a user's turn, through the policy's chat
template; a prompt that is too long is an error, never cut; a generation batch is split into updates
by whole groups; the record, the checkpoints and the dashboard are the workbench's (`trainer.run`).
"""

from workbench.compat.trl.config import GRPOConfig
from workbench.compat.trl.trainer import GRPOTrainer

__all__ = ["GRPOConfig", "GRPOTrainer"]
