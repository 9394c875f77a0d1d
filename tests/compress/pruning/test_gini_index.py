import numpy as np
import pytest

from keras_compress.pruning import gini_index
from tests.compress.pruning.test_pq_index import ROWS


def reference(weights, mask=None, axis=None):
    """Half the mean absolute difference of all pairs, over the mean."""
    weights = np.abs(np.asarray(weights, "float64"))
    mask = np.ones(weights.shape, "bool") if mask is None else mask
    if axis is not None:
        rows = zip(np.moveaxis(weights, axis, -1), np.moveaxis(mask, axis, -1), strict=True)
        return np.array([reference(row, kept) for row, kept in rows])
    left = weights[mask]
    return np.abs(left[:, None] - left[None, :]).mean() / (2.0 * left.mean())


def test_official_vectors():
    np.testing.assert_allclose(gini_index(ROWS, axis=1), [0.460526, 0, 0.75], atol=5e-7)
    np.testing.assert_allclose(reference(ROWS, axis=1), [0.460526, 0, 0.75], atol=5e-7)


def test_masks_and_axes():
    generator = np.random.default_rng(0)
    weights, mask = generator.normal(size=(6, 5)), generator.random((6, 5)) < 0.7
    for axis in (None, 0, 1):
        found = gini_index(weights, mask=mask, axis=axis)
        np.testing.assert_allclose(found, reference(weights, mask, axis), rtol=1e-12)


def test_nothing_left_and_all_zero_are_zero():
    assert gini_index(np.zeros(4)) == 0.0
    assert gini_index(np.ones(4), mask=np.zeros(4, "bool")) == 0.0


def test_bad_arguments():
    with pytest.raises(ValueError, match="mask"):
        gini_index(np.ones(4), mask=np.ones(3, "bool"))
    with pytest.raises(ValueError, match="weights"):
        gini_index(np.array([1.0, np.inf]))
