"""The file of a run record: its tables, what goes into them, and the reader and writer of them."""
