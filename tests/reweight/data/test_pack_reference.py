"""Packed references: values and refusals."""

import numpy as np
import pytest

import keras_reweight as kr


def reference(tokens, reference):
    return np.concatenate([np.asarray(tokens, "float64"), np.asarray(reference)[:, None]], axis=1)


def test_large_ids_are_exact():
    packed = kr.data.pack_reference(np.array([[2**24 - 1, -100]]), np.array([1.5]))
    assert packed.dtype == np.float32 and packed.tolist() == [[2**24 - 1, -100, 1.5]]


def test_bad_arguments():
    with pytest.raises(TypeError, match="tokens"):
        kr.data.pack_reference(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="2\\*\\*24"):
        kr.data.pack_reference(np.full((2, 3), 2**24), np.ones(2))
    with pytest.raises(ValueError, match="reference"):
        kr.data.pack_reference(np.ones((2, 3), int), np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="reference"):
        kr.data.pack_reference(np.ones((2, 3), int), np.ones(3))
    with pytest.raises(TypeError, match="reference"):
        kr.data.pack_reference(np.ones((2, 3), int), np.array(["a", "b"]))
