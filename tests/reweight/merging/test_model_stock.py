import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import deltas, each_weight, position, shared, tuned, write
from tests.reweight.signatures import models


def reference_model_stock(base, values):
    """The mean over pairs of the cosine, then the ratio of the paper."""
    count, total, pairs = len(values), 0.0, 0
    for i in range(count):
        for j in range(i):
            a, b = (values[i] - base).ravel(), (values[j] - base).ravel()
            total += a @ b / np.sqrt((a @ a) * (b @ b))
            pairs += 1
    cosine = max(total / pairs, 0.0)
    t = count * cosine / (1 + (count - 1) * cosine)
    return t * np.mean(values, axis=0) + (1 - t) * base


@pytest.mark.parametrize("count", (2, 3, 4))
def test_formula(count):
    model = shared()
    items = tuned(model, count)
    patch = kr.merging.model_stock(model, items)
    expected = each_weight(reference_model_stock, model, items)
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_extremes():
    model = shared()
    one, two = tuned(model, 2)
    base = kr.WeightSnapshot(model).arrays
    same = kr.merging.model_stock(model, [one, one])
    np.testing.assert_allclose(same.delta(0), one.arrays[0].astype("float64") - base[0], rtol=1e-9)
    two.arrays = tuple(2 * b - a for a, b in zip(one.arrays, base, strict=True))
    assert not any(delta.any() for delta in deltas(kr.merging.model_stock(model, [one, two])))
    frozen = kr.merging.model_stock(model, [kr.WeightSnapshot(model)] * 2)
    assert not any(delta.any() for delta in deltas(frozen))


def test_an_angle_of_sixty_degrees():
    """cos = 1/2 and two models: t = 2/3, which is the foot of the perpendicular."""
    model = models.dense()
    write(model, [np.ones(v.shape, "float32") for v in model.weights])
    items = [kr.WeightSnapshot(model), kr.WeightSnapshot(model)]
    change = np.zeros((2, 3, 5))
    change[0, 0, 0], change[1, 0, :2] = 1.0, (0.5, np.sqrt(0.75))
    for item, step in zip(items, change, strict=True):
        item.arrays = ((item.arrays[0] + step).astype("float32"), *item.arrays[1:])
    patch = kr.merging.model_stock(model, items)
    np.testing.assert_allclose(patch.delta(0), change.mean(0) * 2 / 3, rtol=1e-6, atol=1e-7)


def test_needs_two_models():
    model = shared()
    with pytest.raises(ValueError, match="`tuned` must hold at least 2"):
        kr.merging.model_stock(model, tuned(model, 1))


def test_statistics_are_averaged():
    model = models.regularized()
    items = tuned(model, 2)
    place = position(model, "norm/moving_mean")
    wanted = np.mean([item.arrays[place].astype("float64") for item in items], axis=0)
    found = kr.merging.model_stock(model, items).delta(place)
    base = kr.WeightSnapshot(model).arrays[place]
    np.testing.assert_allclose(found, wanted - base, rtol=1e-6, atol=1e-9)
