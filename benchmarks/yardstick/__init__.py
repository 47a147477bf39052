"""What `benchmarks/speed.py` is made of: cases, the contenders, the gate, limits and the table."""
