"""The page of completions, group by group."""
