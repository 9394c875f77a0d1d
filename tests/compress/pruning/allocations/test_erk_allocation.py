import numpy as np
import pytest

from keras_compress.pruning import ERKAllocation
from keras_compress.pruning.allocations.min_keep import share_out

SHAPES = [(3, 3, 3, 16), (3, 3, 16, 64), (128, 10)]


def reference(shapes, sparsity):
    """Densities in proportion to the sum of the axes; what exceeds becomes dense, one at a time."""
    sizes = np.array([np.prod(shape) for shape in shapes], "float64")
    sums = np.array([sum(shape) for shape in shapes], "float64")
    dense = np.zeros(len(sizes), "bool")
    while True:
        left = (1.0 - sparsity) * sizes.sum() - sizes[dense].sum()
        survivors = np.where(dense, sizes, left * sums / sums[~dense].sum())
        over = (survivors / sizes) * ~dense
        if over.max() <= 1.0:
            return 1.0 - survivors / sizes
        dense[over.argmax()] = True


def largest_remainder(wanted, total):
    """Integers that add up to the total: round down, then one more where the most is missing."""
    counts = np.floor(np.asarray(wanted) + 1e-9)
    order = np.argsort(counts - wanted, kind="stable")
    counts[order[: int(total - counts.sum())]] += 1
    return counts.astype(int).tolist()


def reference_counts(scores, sparsity):
    sizes = [score.size for score in scores]
    wanted = reference([score.shape for score in scores], sparsity) * sizes
    return largest_remainder(wanted, round(sparsity * sum(sizes)))


def test_official_vector():
    # sizes 432, 9216, 1280 and sums of axes 25, 86, 138; layers are rounded one by one there.
    expected = [0.493056, 0.918077, 0.053906]
    sizes = [432, 9216, 1280]
    shares = reference(SHAPES, 0.8)
    np.testing.assert_allclose(np.round(shares * sizes) / sizes, expected, atol=5e-7)
    counts = ERKAllocation()([np.ones(shape) for shape in SHAPES], 0.8)
    assert sum(counts) == round(0.8 * sum(sizes))
    np.testing.assert_allclose(counts, np.multiply(expected, sizes), atol=1.01)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9, 0.98])
def test_layers_become_dense_where_their_share_exceeds_them(sparsity):
    shapes = [(3, 3, 1, 8), (50, 60), (60, 2), (4, 100)]
    counts = ERKAllocation(min_keep=0.0)([np.ones(shape) for shape in shapes], sparsity)
    sizes = [np.prod(shape) for shape in shapes]
    assert sum(counts) == round(sparsity * sum(sizes))
    np.testing.assert_allclose(counts, reference(shapes, sparsity) * sizes, atol=1.0)


def test_minimum_a_layer():
    scores = [np.ones(shape) for shape in SHAPES]
    floor = int(0.05 * 10928)
    counts = ERKAllocation(min_keep=0.05)(scores, 0.8)
    assert counts[0] == 0
    assert all(s.size - c >= min(floor, s.size) for s, c in zip(scores, counts, strict=True))
    assert sum(counts) == round(0.8 * 10928)


def test_share_out():
    np.testing.assert_allclose(share_out([1, 1, 2], [0, 0, 0], [9, 1, 9], 7), [2, 1, 4])
    np.testing.assert_allclose(share_out([1, 1], [3, 0], [9, 9], 4), [3, 1])
    np.testing.assert_allclose(share_out([1, 1], [0, 0], [2, 3], 99), [2, 3])
    np.testing.assert_allclose(share_out([1, 1], [1, 2], [2, 3], 0), [1, 2])
