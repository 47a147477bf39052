"""The page of "what if": a recorded batch under other settings, without the model."""
