"""The one base of every error that the user can mend."""


class WorkbenchError(Exception):
    """Says what was wrong, with the value, and what to do. The command line shows it without a
    traceback."""
