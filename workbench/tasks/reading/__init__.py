"""From a row to a problem: which keys, which conversation, which choices, which gold answer, and a
report of all of it."""
