"""The page of curves: one panel per question, knob changes marked in each."""
