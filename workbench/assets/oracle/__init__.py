"""Stored results of the oracle's pages, and the recipe that makes them: `make_oracle`."""
