import math

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import deltas, each_weight, shared, tuned


def reference_breadcrumbs(base, values, density, gamma, weights, elect_signs):
    """Ranks of the magnitudes, from small to large; the window of ranks that stays."""
    total, parts = np.zeros(base.shape), []
    for value, weight in zip(values, weights, strict=True):
        delta = value - base
        size = delta.size
        kept, top = max(math.floor(density * size), 1), math.floor(gamma * size)
        bottom = size - kept - top
        if bottom < 0:
            top, bottom = top + bottom, 0
        if density >= 1.0:
            top = bottom = 0
        ranks = np.abs(delta).ravel().argsort(kind="stable").argsort()
        stays = ((ranks >= bottom) & (ranks < size - top)).reshape(base.shape)
        parts.append(weight * np.where(stays, delta, 0.0))
        total += parts[-1]
    if not elect_signs:
        return base + total
    sign = np.where(total >= 0, 1.0, -1.0)
    return base + sum(np.where(part * sign > 0, part, 0.0) for part in parts)


@pytest.fixture
def model():
    return shared()


@pytest.mark.parametrize(
    ("density", "gamma"), ((0.5, 0.2), (0.9, 0.3), (0.5, 0.0), (1.0, 0.3), (0.05, 0.1))
)
@pytest.mark.parametrize("elect_signs", (True, False))
def test_formula(model, density, gamma, elect_signs):
    items, weights = tuned(model, 3), [1.0, -0.5, 2.0]
    options = {"density": density, "gamma": gamma, "weights": weights, "elect_signs": elect_signs}
    patch = kr.merging.breadcrumbs(model, items, **options)
    expected = each_weight(lambda b, v: reference_breadcrumbs(b, v, **options), model, items)
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-14)


def test_small_tensors_keep_their_changes(model):
    """A percent of five numbers is none: mergekit would drop the whole change."""
    items = tuned(model, 1)
    patch = kr.merging.breadcrumbs(model, items, density=0.8)
    assert np.count_nonzero(patch.delta(1)) == 4
