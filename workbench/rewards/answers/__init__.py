"""Answers: what in a text is one (`extract`), how numbers, units, lists and words are spelled, and
whether a given one is the gold one (`equal`). docs/answers.md has the table."""
