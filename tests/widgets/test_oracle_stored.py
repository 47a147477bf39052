"""The stored results of the oracle: they open without a policy, belong to the embedded policy of
today, and say what pages and notebook take from them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.assets.oracle.make_oracle import embedded_sha256
from workbench.widgets.oracle import (
    AllItCanSay,
    ClipTurns,
    EstimatorPage,
    WhereDecided,
    load_trees,
    load_turned,
    load_worlds,
    save_turned,
)
from workbench.widgets.oracle.stored import shipped
from workbench.widgets.oracle.world import StoredResultError

MADE_ANEW = "python -m workbench.assets.oracle.make_oracle"


def test_they_are_of_the_embedded_policy_of_today() -> None:
    made = json.loads(shipped("made.json").read_text())
    assert made["embedded_sha256"] == embedded_sha256(), (
        f"the embedded policy has changed since these results were made. Anew: {MADE_ANEW}"
    )


def test_trees_and_worlds_hold_what_the_pages_promise() -> None:
    trees = load_trees()
    for tree in trees:
        assert (tree.lost_S < 1.1e-3).all()
        assert len(tree.moments) > 2
    for world in load_worlds():
        np.testing.assert_allclose(np.bincount(world.prompt_C, world.probability()), 1)
        # What the restriction to the tree costs of the gradient: next to nothing, and a little for
        # a problem whose mass lies on many small branches.
        assert np.median(world.fidelity_N) > 0.999
        assert world.fidelity_N.min() > 0.95
        assert world.steps_back == 8
    size = sum(shipped(name).stat().st_size for name in ("trees.npz", "worlds.npz", "turning.json"))
    # Nearly all of it is the factor of the Gram matrices: twenty problems at two moments.
    assert size < 4e6, "small enough to ship"


def test_every_page_opens_on_them() -> None:
    for page in (
        AllItCanSay(load_trees()),
        WhereDecided(load_trees()),
        EstimatorPage(),
        ClipTurns(),
    ):
        assert len(page.summary) > 40
        assert (page.problem, page.message.value) == ("", "")
    page = ClipTurns()
    for kind in range(len(page.kinds)):
        page.kind_menu.value = kind
        for _, steps in page.steps_menu.options:
            page.steps_menu.value = steps
            assert page.problem == ""
            # The ratio alone keeps the direction of every prompt that has one.
            assert np.median(page.figures["no clip"].cosines) > 0.9


def test_turned_gradients_are_stored_as_they_were(tmp_path) -> None:
    rows = load_turned()[:50]
    save_turned(tmp_path / "turned.json", rows)
    assert load_turned(tmp_path / "turned.json") == rows
    (tmp_path / "turned.json").write_text('{"columns": ["policy"], "rows": [["a", "b"]]}')
    with pytest.raises(StoredResultError, match="Make it anew"):
        load_turned(tmp_path / "turned.json")
