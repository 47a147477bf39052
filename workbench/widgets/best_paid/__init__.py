"""The page of the best-paid answers, where a hacked reward shows itself."""
