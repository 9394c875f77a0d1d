import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import deltas, each_weight, shared, tuned


def reference_dare(base, values, density, weights, rescale, elect_signs, seed, index):
    total, parts = np.zeros(base.shape), []
    for place, (value, weight) in enumerate(zip(values, weights, strict=True)):
        delta = value - base
        mask = np.random.default_rng([seed, place, index]).random(base.shape) < density
        kept = np.where(mask, delta, 0.0)
        if rescale == "density":
            kept = kept / density
        elif rescale == "l1" and np.abs(kept).sum() > 1e-7:
            kept = kept * np.abs(delta).sum() / np.abs(kept).sum()
        parts.append(weight * kept)
        total += weight * kept
    if not elect_signs:
        return base + total
    sign = np.where(total >= 0, 1.0, -1.0)
    return base + sum(np.where(part * sign > 0, part, 0.0) for part in parts)


def reference_dares(model, items, **options):
    count = iter(range(99))
    return each_weight(
        lambda b, v: reference_dare(b, v, index=next(count), **options), model, items
    )


@pytest.fixture
def model():
    return shared()


@pytest.mark.parametrize("rescale", ("l1", "density", None))
@pytest.mark.parametrize("elect_signs", (True, False))
def test_formula(model, rescale, elect_signs):
    items, weights = tuned(model, 3), [1.0, 0.5, 2.0]
    options = {"density": 0.4, "weights": weights, "rescale": rescale, "seed": 3}
    patch = kr.merging.dare(model, items, elect_signs=elect_signs, **options)
    expected = reference_dares(model, items, elect_signs=elect_signs, **options)
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-14)


def test_on_average_nothing_is_lost(model):
    (other,) = tuned(model, 1)
    wanted = other.arrays[0].astype("float64") - kr.WeightSnapshot(model).arrays[0]
    seeds = range(100)
    found = np.mean(
        [
            kr.merging.dare(
                model, [other], density=0.5, rescale="density", seed=seed, layers="first"
            ).delta(0)
            for seed in seeds
        ],
        axis=0,
    )
    np.testing.assert_allclose(found, wanted, atol=4.0 * np.abs(wanted).max() / np.sqrt(100))


def test_sums_of_magnitudes_are_kept_and_density_one_is_task_arithmetic(model):
    items = tuned(model, 2)
    plain = kr.merging.task_arithmetic(model, items)
    whole = kr.merging.dare(model, items, density=1.0)
    for found, wanted in zip(deltas(whole), deltas(plain), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    one = kr.merging.dare(model, items[:1], density=0.5)
    for found, wanted in zip(deltas(one), deltas(0.0 * plain), strict=True):
        assert found.shape == wanted.shape
    np.testing.assert_allclose(
        np.abs(one.delta(0)).sum(),
        np.abs(kr.merging.task_arithmetic(model, items[:1]).delta(0)).sum(),
        rtol=1e-9,
    )


def test_seeds(model):
    items = tuned(model, 2)
    first, again, other = (
        kr.merging.dare(model, items, density=0.5, seed=seed).delta(0) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
