"""Notebook 11 where vLLM is installed: the same cells, with a live run instead of the recorded
one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        find_spec("vllm") is None,
        reason="vLLM is not installed here; .ci/vllm makes its environment and runs this",
    ),
]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "11_vllm_rollouts.ipynb"


def test_it_samples_with_vllm_and_not_from_the_record(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    from workbench.runs import Run

    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "\n".join(
        o.text
        for c in book.cells
        for o in c.get("outputs", [])
        if o.output_type == "stream" and o.name == "stdout"
    )
    assert "vLLM is installed" in printed
    assert "live, 8 steps in float32" in printed
    run = Run.open(tmp_path / "runs" / "vllm")
    assert (run.config["rollout_engine"], run.last_step()) == ("vllm", 8)
