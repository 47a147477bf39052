"""Training methods beside GRPO, each one short file over the same policy."""
