"""Which axes keep a scale."""

import numpy as np
import pytest
from keras import ops

from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.quantizers.granularity import Granularity, check_axis
from tests.compress.quantization.common import normal, numpy


@pytest.mark.parametrize(
    "shape, axis, reduced, scale_shape, values",
    [
        ((3, 3, 4, 8), -1, (0, 1, 2), (1, 1, 1, 8), 36),
        ((3, 3, 4, 2), (-2, -1), (0, 1), (1, 1, 4, 2), 9),
        ((3, 3, 4, 2), [3, 2], (0, 1), (1, 1, 4, 2), 9),
        ((5, 7), 0, (1,), (5, 1), 7),
        ((5, 7), None, (0, 1), (), 35),
        ((None, 6, 7), None, (0, 1, 2), (), 42),
        ((None, None, 7), -1, (0, 1), (1, 1, 7), 1),
    ],
)
def test_axes_are_resolved(shape, axis, reduced, scale_shape, values):
    found = Granularity.of(shape, axis)
    assert (found.reduced, found.scale_shape, found.values_per_scale) == (
        reduced,
        scale_shape,
        values,
    )
    assert sorted(found.kept + found.reduced) == list(range(len(shape)))


@pytest.mark.parametrize(
    "shape, axis, message",
    [
        ((3, 4), 2, "out of range"),
        ((3, 4), (-1, 1), "twice"),
        ((None, 4), 0, "unknown"),
    ],
)
def test_axes_that_do_not_fit_are_refused(shape, axis, message):
    with pytest.raises(ValueError, match=message):
        Granularity.of(shape, axis)


@pytest.mark.parametrize(
    "axis, error", [(1.0, TypeError), (True, TypeError), ("last", TypeError), ((), ValueError)]
)
def test_axis_of_a_wrong_kind_is_refused(axis, error):
    with pytest.raises(error, match="`axis`"):
        check_axis(axis)


@pytest.mark.parametrize(
    "shape, axis, size, counts",
    [
        ((6, 3), -1, 2, [2, 2, 2]),
        ((7, 3), -1, 3, [3, 3, 1]),
        ((5, 3), 1, 9, [5]),
        ((4, 6), 0, 4, [4, 2]),
        ((2, 3, 5), (1,), 4, [4, 4, 2]),
        ((3, 4), None, 5, [5, 5, 2]),
    ],
)
def test_groups_of_consecutive_rows(shape, axis, size, counts):
    x = normal(*shape)
    found = Granularity.of(shape, axis, size)
    matrix = to_matrix(x, axis)
    assert found.scale_shape == (len(counts), matrix.shape[1])
    np.testing.assert_array_equal(
        np.broadcast_to(found.values_per_scale, (len(counts), 1)).T[0], counts
    )
    stops = np.cumsum(counts)
    expected = np.stack([matrix[a - n : a].sum(axis=0) for a, n in zip(stops, counts, strict=True)])
    tensor = ops.convert_to_tensor(x)
    np.testing.assert_allclose(numpy(found.sum(tensor)), expected, rtol=1e-5, atol=1e-6)
    expanded = numpy(found.expand(ops.convert_to_tensor(expected)))
    np.testing.assert_array_equal(to_matrix(expanded, axis), np.repeat(expected, counts, axis=0))


def test_groups_need_a_known_shape():
    with pytest.raises(ValueError, match="`group_size`"):
        Granularity.of((None, 4), -1, 2)
