"""The token microscope: what each sampled token contributed to an update."""
