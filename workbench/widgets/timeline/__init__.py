"""The timeline of a run: what happened when, on one line, and what it did, before and after."""
