"""The parts of the exported page: its frame, its charts, the tokens of its steps."""
