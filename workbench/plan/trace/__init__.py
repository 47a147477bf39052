"""A policy without memory: built on torch's meta device, and its own forward and backward run
there, so that what they would allocate is counted and not estimated."""
