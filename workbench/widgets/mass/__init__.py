"""The mass of a group: how probable each of its completions was before a step, and after each of
its updates."""
