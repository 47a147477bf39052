"""What we touch inside ipykernel, on the installed version, which each failure names."""

from __future__ import annotations

from types import SimpleNamespace

import ipykernel
import pytest
from ipykernel.comm.comm import BaseComm
from jupyter_client.manager import start_new_kernel
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


WAITING = """
import time
import ipywidgets
from IPython import get_ipython
from workbench.libraries.ipykernel_ import answering_new_pages

shown = ipywidgets.IntSlider()
with answering_new_pages(get_ipython().kernel):
    print("waits", flush=True)
    time.sleep(30)
"""


@pytest.mark.skipif(
    Version(ipykernel.__version__) < Version("7"), reason="there jupyter_ui_poll answers"
)
def test_a_new_page_is_answered_while_a_cell_waits() -> None:
    """What JupyterLab asks first after a reload: which widgets are there?"""
    manager, client = start_new_kernel(extra_arguments=["--InteractiveShell.history_load_length=0"])
    try:
        client.execute(WAITING)
        while client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        client.comm_info("jupyter.widget")
        answer = client.get_shell_msg(timeout=10)
        while answer["msg_type"] == "kernel_info_reply":  # of the start
            answer = client.get_shell_msg(timeout=10)
        assert answer["msg_type"] == "comm_info_reply", f"{VERSION} hands the question on"
        assert len(answer["content"]["comms"]) >= 3, "slider, its layout, its style"
        idle = client.get_iopub_msg(timeout=10)
        while idle["content"].get("execution_state") != "idle":
            idle = client.get_iopub_msg(timeout=10)
        asked = answer["parent_header"]["msg_id"]
        assert idle["parent_header"]["msg_id"] == asked, "a page waits for that, too"

        widget = next(iter(answer["content"]["comms"]))
        content = {"comm_id": widget, "data": {"method": "request_state"}}
        question = client.session.msg("comm_msg", content)
        client.shell_channel.send(question)
        state = client.get_iopub_msg(timeout=10)
        while state["msg_type"] != "comm_msg":
            state = client.get_iopub_msg(timeout=10)
        assert state["content"]["data"]["method"] == "update"
        named = state["parent_header"]["msg_id"]
        assert named == question["header"]["msg_id"], "the page knows the answer by its question"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_outside_such_a_kernel_nothing_is_touched() -> None:
    with library.answering_new_pages(None):
        pass
    with library.answering_new_pages(SimpleNamespace(shell_channel_thread=None)):
        pass
