"""Which axes keep a scale."""

import pytest

from keras_compress.quantization.granularity import Granularity, check_axis


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
    assert Granularity.of(shape, axis) == Granularity(reduced, scale_shape, values)


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
