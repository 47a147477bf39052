"""The page of behaviours: which kinds of completions there were, step by step."""
