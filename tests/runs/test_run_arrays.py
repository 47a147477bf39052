"""Ragged arrays: packing, padding and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.runs import TokenArrays
from workbench.runs.store.arrays import pack, pad, positions, prefix_mask, row_lengths, unpack

LENGTHS = hnp.arrays(np.int32, st.integers(0, 8), elements=st.integers(0, 9))
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(hnp.arrays(np.float32, st.integers(0, 60), elements=FLOATS))
def test_floats_come_back_bit_for_bit(flat):
    dtype, codec, blob = pack(flat)
    assert dtype == "<f4"
    back = unpack(dtype, codec, blob)
    assert back.dtype == np.float32
    assert back.tobytes() == flat.tobytes()


@given(hnp.arrays(np.int32, st.integers(0, 60)))
def test_ids_come_back(flat):
    assert unpack(*pack(flat)).tolist() == flat.tolist()


def test_a_big_endian_array_is_stored_little_endian():
    flat = np.array([1, 2, 70_000], dtype=">i4")
    dtype, codec, blob = pack(flat)
    assert dtype == "<i4"
    assert unpack(dtype, codec, blob).tolist() == [1, 2, 70_000]


@given(LENGTHS)
@settings(max_examples=60)
def test_padding_and_flattening_are_inverse(lengths_B):
    flat = np.arange(1, lengths_B.sum() + 1, dtype=np.int32)
    ids_BT, mask_BT = pad(flat, lengths_B), prefix_mask(lengths_B)
    assert ids_BT.shape == (len(lengths_B), lengths_B.max(initial=0))
    assert (ids_BT[mask_BT] == flat).all()
    assert (ids_BT[~mask_BT] == 0).all()
    assert (row_lengths(mask_BT) == lengths_B).all()
    rows, places = positions(lengths_B)
    assert (ids_BT[rows, places] == flat).all()
    tokens = TokenArrays.from_padded(ids_BT, mask_BT, logp=ids_BT / 2)
    assert (tokens.lengths == lengths_B).all()
    assert (tokens.ids == flat).all()
    assert (tokens.floats["logp"] == flat / 2).all()


def test_extra_padding_changes_nothing():
    mask_BT = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    tokens = TokenArrays.from_padded(np.full((2, 4), 9), mask_BT)
    assert tokens.lengths.tolist() == [2, 0]
    assert tokens.ids.tolist() == [9, 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2, 1], [1, 2]), r"ids has shape \(2,\).*\(3,\)"),
        (([2, -1], [1]), "not be negative"),
        (([1], [1], {"ids": [0.5]}), "'ids'.*taken"),
        (([1], [1], {"logp": [0.5, 0.5]}), r"logp has shape \(2,\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenArrays(*arguments)


def test_a_mask_with_holes_is_refused():
    with pytest.raises(ValueError, match="first tokens"):
        TokenArrays.from_padded([[1, 2, 3]], [[True, False, True]])


def test_a_float_array_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"logp.*\(1, 2\)"):
        TokenArrays.from_padded([[1, 2, 3]], [[True, True, True]], logp=[[0.1, 0.2]])


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match="lz4"):
        unpack("<f4", "lz4", b"")
