"""The parts of the campaign, by name."""

from __future__ import annotations

from collections.abc import Callable

from trust.campaign import Campaign
from trust.damage import broken_files, older_copies
from trust.operations import every_operation
from trust.processes import (
    clock_going_back,
    held_by_a_reader,
    killed_at_random,
    removed,
    signals,
    two_at_once,
)
from trust.small_disk import small_disks

PARTS: dict[str, Callable[[Campaign], None]] = {
    "operations": every_operation,
    "kills": killed_at_random,
    "signals": signals,
    "removed": removed,
    "two": two_at_once,
    "reader": held_by_a_reader,
    "clock": clock_going_back,
    "small disk": small_disks,
    "damage": broken_files,
    "older": older_copies,
}
