"""The embedded policy and the recipe that made it."""
