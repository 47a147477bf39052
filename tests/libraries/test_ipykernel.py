"""What we touch inside ipykernel, on the installed version, which each failure names."""

from __future__ import annotations

from types import SimpleNamespace

import ipykernel
from ipykernel.comm.comm import BaseComm
from packaging.version import Version

from workbench.libraries import ipykernel_ as library

VERSION = f"ipykernel {ipykernel.__version__}"


def test_the_method_that_picks_the_shell_is_there_from_the_version_that_has_it() -> None:
    has_it = hasattr(BaseComm, library.REPLY_SHELL)
    assert has_it == (Version(ipykernel.__version__) >= Version("7.4")), (
        f"{VERSION} picks the shell of a reply in another way: see "
        "workbench/libraries/ipykernel_.py"
    )


def test_a_reply_goes_where_the_page_asks() -> None:
    comm = SimpleNamespace(_reply_subshell_for=lambda data, default: "the last that wrote")
    library.reply_where_the_page_asks(comm)
    assert (
        comm._reply_subshell_for({}, "the one that the page chose") == "the one that the page chose"
    )
    library.reply_where_the_page_asks(None)
    library.reply_where_the_page_asks(SimpleNamespace())
