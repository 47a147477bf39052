"""Files that a bad disk or a hand has changed: bits turned, ends cut off, one missing, an older copy
put back."""

from __future__ import annotations

from trust.campaign import Campaign


def broken_files(campaign: Campaign) -> None:
    pass


def older_copies(campaign: Campaign) -> None:
    pass
