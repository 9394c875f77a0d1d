"""Ways to put quantiles in order, against NumPy and the numbers of the official code."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate, gradient
from keras_reweight.functional.monotone_quantiles import METHODS

CROSSING = np.array([[1, 0.8, 1.5, 1.4, 2], [0, 1, 0.5, 2, 1.9]], "float32")


def pool_adjacent_violators(row):
    blocks = []
    for value in row:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            below, below_count = blocks.pop()
            total = count + below_count
            blocks.append([(mean * count + below * below_count) / total, total])
    return np.concatenate([np.full(count, mean) for mean, count in blocks])


def reference(values, method="sort"):
    values = np.asarray(values, "float64")
    up = np.maximum.accumulate(values, axis=-1)
    if method == "sort":
        return np.sort(values, axis=-1)
    if method == "isotonic":
        return np.apply_along_axis(pool_adjacent_violators, -1, values)
    if method == "cummax":
        return up
    if method == "average":
        return (up + np.minimum.accumulate(values[..., ::-1], axis=-1)[..., ::-1]) / 2
    middle = values.shape[-1] // 2
    low = np.minimum.accumulate(values[..., middle::-1], axis=-1)[..., ::-1]
    return np.concatenate([low, np.maximum.accumulate(values[..., middle:], axis=-1)[..., 1:]], -1)


def ordered(values, method):
    return evaluate(lambda v: kr.functional.monotone_quantiles(v, method=method), values)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("median_out", [[0.8, 0.8, 1.5, 1.5, 2], [0, 0.5, 0.5, 2, 2]]),
        ("cummax", [[1, 1, 1.5, 1.5, 2], [0, 1, 1, 2, 2]]),
        ("average", [[0.9, 0.9, 1.45, 1.45, 2], [0, 0.75, 0.75, 1.95, 1.95]]),
        ("isotonic", [[0.9, 0.9, 1.45, 1.45, 2], [0, 0.75, 0.75, 1.95, 1.95]]),
    ],
)
def test_numbers_of_the_official_code(method, expected):
    np.testing.assert_allclose(ordered(CROSSING, method), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_in_order_whatever_comes_in_and_unchanged_if_in_order(method):
    rng = np.random.default_rng(3)
    for size in (1, 6):
        values = (100 + rng.normal(size=(4, 2, size))).astype("float32")
        found = ordered(values, method)
        assert (np.diff(found, axis=-1) >= 0).all()
        np.testing.assert_allclose(found, reference(values, method), rtol=1e-6)
        np.testing.assert_allclose(ordered(np.sort(values), method), np.sort(values), rtol=1e-6)


@pytest.mark.parametrize("method", ["sort", "isotonic"])
def test_the_pinball_loss_never_grows(method):
    rng = np.random.default_rng(4)
    levels = [0.1, 0.3, 0.5, 0.7, 0.9]
    loss = kr.losses.QuantileLoss(levels, reduction=None)
    values, y = rng.normal(size=(50, 5)).astype("float32"), rng.normal(size=50).astype("float32")
    before = ops.convert_to_numpy(loss(y, values))
    after = ops.convert_to_numpy(loss(y, ordered(values, method)))
    assert (after <= before + 1e-6).all() and (after < before - 1e-3).any()


def test_the_gradient_of_isotonic_values_is_the_mean_of_their_block():
    cotangent = ops.convert_to_tensor(np.array([[1.0, 3.0, 10.0, 20.0, 5.0]], "float32"))

    def weighted(values):
        return ops.sum(kr.functional.monotone_quantiles(values, method="isotonic") * cotangent)

    found = gradient(weighted, CROSSING[:1])
    np.testing.assert_allclose(found, [[2.0, 2.0, 15.0, 15.0, 5.0]], rtol=1e-5)
