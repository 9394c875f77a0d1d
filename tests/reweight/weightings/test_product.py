"""Product: factors of different normalizations, and products that are zero or huge."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES
from tests.reweight.weightings.test_energy import reference as energy
from tests.reweight.weightings.test_lin_upper import reference as lin_upper
from tests.reweight.weightings.wrapping import LABELS, LOGITS, Doubled, slope_of, through_json


def reference(losses, y_pred, normalization="mean_one"):
    """Of `LinUpper(0.4)` and `Energy()`."""
    product = len(losses) * lin_upper(losses, 0.4) * energy(y_pred)
    scale = {"mean_one": product.mean(), "sum_one": product.sum(), None: 1.0}
    return product / scale[normalization]


def test_factors_are_in_units_of_the_uniform_weight():
    weighting = kr.weightings.Product([kr.weightings.KLDRO(), Doubled()], normalization=None)
    found = ops.convert_to_numpy(weighting(LOSSES))
    unit = np.array([0.090373, 0.121991, 0.201129, 0.546725, 4.039782])
    np.testing.assert_allclose(found, unit * 2 * LOSSES, rtol=2e-5)


def test_normalized_over_what_counts():
    weighting = kr.weightings.Product([kr.weightings.LinUpper(0.4), kr.weightings.Energy()])
    mask = np.array([True, True, False, True, True])
    found = ops.convert_to_numpy(weighting(LOSSES, y_pred=LOGITS, mask=mask))
    np.testing.assert_allclose(found[mask], reference(LOSSES[mask], LOGITS[mask]), rtol=1e-5)
    assert found[2] == 0


def test_products_that_are_zero_or_huge():
    lowest = kr.weightings.Truncated(drop_highest=0.5)
    highest = kr.weightings.Truncated(drop_lowest=0.5)
    nothing = kr.weightings.Product([lowest, highest], normalization="sum_one")
    losses = LOSSES[:4]
    np.testing.assert_array_equal(ops.convert_to_numpy(nothing(losses)), 0.25)
    # Each weight is a number of float32, their sum is not.
    losses = np.linspace(1, 2, 20).astype("float32")
    huge = kr.weightings.Product([Doubled()])(losses * np.float32(2e37))
    np.testing.assert_allclose(ops.convert_to_numpy(huge), losses / losses.mean(), rtol=1e-6)


def test_needs_and_gradients_of_all_factors():
    factors = [kr.weightings.Energy(), kr.weightings.WarmUp(Doubled(), steps=2)]
    weighting = kr.weightings.Product(factors, normalization=None)
    assert weighting.reads == ("y_pred", "step") and not weighting.stop_gradient
    with pytest.raises(ValueError, match="y_pred"):
        weighting(LOSSES, step=2)
    slope = slope_of(weighting, LOSSES, y_true=LABELS, y_pred=LOGITS, step=2)
    np.testing.assert_allclose(slope, 8 * LOSSES * energy(LOGITS) ** 2, rtol=1e-5)
    assert through_json(weighting).get_config() == weighting.get_config()
