import math

import numpy as np
import pytest

import keras_reweight as kr
from tests import parity_record
from tests.reweight.merging.ingredients import deltas, each_weight, shared, tuned
from tests.reweight.signatures import models


def reference_ties(base, values, density, weights):
    """Number by number, from the description of the method."""
    trimmed = []
    for value in values:
        flat = (value - base).ravel()
        count = max(math.floor(density * flat.size), 1)
        kept = sorted(range(flat.size), key=lambda place: -abs(flat[place]))[:count]
        trimmed.append([flat[place] if place in kept else 0.0 for place in range(flat.size)])
    merged = []
    for column in zip(*trimmed, strict=True):
        elected = 1 if sum(w * x for w, x in zip(weights, column, strict=True)) >= 0 else -1
        agreeing = [(w, x) for w, x in zip(weights, column, strict=True) if w * x * elected > 0]
        total = sum(w for w, _ in agreeing)
        merged.append(sum(w * x for w, x in agreeing) / (total or 1.0))
    return base + np.reshape(merged, base.shape)


@pytest.fixture
def model():
    return shared()


@pytest.mark.parametrize(("density", "weights"), ((1.0, None), (0.5, [1.0, 0.3, 2.0])))
def test_formula(model, density, weights):
    items = tuned(model, 3)
    patch = kr.merging.ties(model, items, density=density, weights=weights)
    expected = each_weight(
        lambda b, v: reference_ties(b, v, density, weights or [1.0] * 3), model, items
    )
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-14)
    parity_record.record(f"merging/ties/{density}", patch.delta(0))


def test_by_hand():
    """Trimmed to two of three: (3, 1, .) and (-1, 2, .) give 3 and 1.5, as only signs + count."""
    model = models.dense()
    base = kr.WeightSnapshot(model)
    items = [kr.WeightSnapshot(model), kr.WeightSnapshot(model)]
    start = np.full(5, 8.0, "float32")
    base.arrays = (base.arrays[0], start, *base.arrays[2:])
    base.restore(model)
    for item, change in zip(items, ([3, 1, 0.5, 0, 0], [-1, 2, 0.25, 0, -4]), strict=True):
        item.arrays = (item.arrays[0], (start + change).astype("float32"), *item.arrays[2:])
    patch = kr.merging.ties(model, items, density=0.6)
    np.testing.assert_allclose(patch.delta(1), [3.0, 1.5, 0.5, 0.0, -4.0], rtol=1e-6)
    patch = kr.merging.ties(model, items, density=0.2)
    np.testing.assert_allclose(patch.delta(1), [3.0, 0.0, 0.0, 0.0, -4.0], rtol=1e-6)


def test_a_tie_of_signs_is_positive_and_a_tiny_density_keeps_one():
    model = models.dense()
    base = kr.WeightSnapshot(model)
    start = np.full(5, 8.0, "float32")
    base.arrays = (base.arrays[0], start, *base.arrays[2:])
    base.restore(model)
    items = [kr.WeightSnapshot(model), kr.WeightSnapshot(model)]
    for item, sign in zip(items, (1.0, -1.0), strict=True):
        change = sign * np.arange(5)
        item.arrays = (item.arrays[0], (start + change).astype("float32"), *item.arrays[2:])
    patch = kr.merging.ties(model, items, density=1e-6)
    np.testing.assert_allclose(patch.delta(1), [0, 0, 0, 0, 4.0], rtol=1e-6)


def test_bad_arguments(model):
    for wrong in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="`density`"):
            kr.merging.ties(model, tuned(model, 2), density=wrong)
