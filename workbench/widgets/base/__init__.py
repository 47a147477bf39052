"""What every widget here stands on: the look, safe text, hosts and kernels, guarded callbacks, the
step in focus."""
