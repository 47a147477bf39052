"""What torchrun says to the processes that it starts. Read before anything heavy is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.libraries.torch_ import Store


def torchrun_size() -> int:
    """How many processes torchrun has started for this command; 1 where it was not torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def torchrun_rank() -> int:
    """This process's number among them; 0 is the leader's."""
    return int(os.environ.get("RANK", "0")) if torchrun_size() > 1 else 0


def torchrun_store() -> Store:
    """Where they meet."""
    from workbench.libraries.torch_ import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # The agent of torchrun keeps it, unless it was told not to.
    by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    own = torchrun_rank() == 0 and not by_agent
    return TCPStore(host, port, torchrun_size(), is_master=own)
