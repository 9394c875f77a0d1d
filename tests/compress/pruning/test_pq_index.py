import numpy as np
import pytest

from keras_compress.pruning import pq_index

ROWS = np.array([[3.0, -1.0, 0.5, 0.25], [1.0, 1.0, 1.0, 1.0], [5.0, 0.0, 0.0, 0.0]])


def reference(weights, p=0.5, q=1.0, mask=None, axis=None):
    """The definition with its two norms, vector by vector."""
    weights = np.asarray(weights, "float64")
    mask = np.ones(weights.shape, "bool") if mask is None else mask
    if axis is not None:
        rows = zip(np.moveaxis(weights, axis, -1), np.moveaxis(mask, axis, -1), strict=True)
        return np.array([reference(row, p, q, kept) for row, kept in rows])
    left = np.abs(weights[mask])
    norms = [(left**power).sum() ** (1.0 / power) for power in (p, q)]
    return 1.0 - left.size ** (1.0 / q - 1.0 / p) * norms[0] / norms[1]


@pytest.mark.parametrize(
    ("p", "q", "expected"), [(0.5, 1.0, [0.183318, 0, 0.75]), (1.0, 2.0, [0.260426, 0, 0.5])]
)
def test_official_vectors(p, q, expected):
    np.testing.assert_allclose(pq_index(ROWS, p=p, q=q, axis=1), expected, atol=5e-7)
    np.testing.assert_allclose(reference(ROWS, p, q, axis=1), expected, atol=5e-7)


def test_official_vector_with_a_mask():
    mask = np.array([True, True, True, False])
    assert pq_index(ROWS[0], mask=mask) == pytest.approx(0.123866, abs=5e-7)


def test_scale_does_not_matter_however_large():
    weights = np.random.default_rng(0).normal(size=(20, 30))
    for factor in (10.0, 1e-200, 1e200):
        assert pq_index(factor * weights) == pytest.approx(pq_index(weights), abs=1e-6)
    assert pq_index(weights) == pytest.approx(reference(weights), rel=1e-12)


def test_nothing_left_and_all_zero_are_zero():
    assert pq_index(np.zeros(4)) == 0.0
    assert pq_index(np.ones(4), mask=np.zeros(4, "bool")) == 0.0
    assert pq_index(np.zeros((0,))) == 0.0
    mask = np.array([[True, False], [True, False]])
    np.testing.assert_array_equal(pq_index(np.ones((2, 2)), mask=mask, axis=0), [0.0, 0.0])


def test_bad_arguments():
    for arguments in ({"p": 0.0}, {"p": 1.0}, {"q": 0.5}, {"mask": np.ones(3, "bool")}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            pq_index(np.ones(4), **arguments)
    with pytest.raises(ValueError, match="weights"):
        pq_index(np.array([1.0, np.nan]))
