"""Trust in what was stored: two records held against each other to the last bit, a run looked
through for damage, and what is whole of a damaged one saved."""
