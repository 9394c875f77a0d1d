"""selective_dampening: the formula, the vector computed by hand, and what is refused."""

import warnings

import keras
import numpy as np
import pytest

from keras_reweight.editing import WeightImportance, selective_dampening
from keras_reweight.signatures import Patch, weight_digest
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models


def importances(model, kind="sample", **options):
    """Of all weights; some zero on one side or both."""
    found = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        arrays = {
            i: rng.random(v.shape) ** 3 * (rng.random(v.shape) > 0.1)
            for i, v in enumerate(model.weights)
        }
        found.append(WeightImportance(Architecture.of(model), arrays, kind=kind, **options))
    return found


def reference(model, forget, full, alpha, dampening, exponent):
    """Weight by weight, as the paper states it."""
    found = []
    for index, weight in read_weights(model).items():
        weight = weight.astype("float64")
        changed = weight.copy()
        for place in np.ndindex(weight.shape):
            wanted = float(forget.value(index)[place])
            needed = float(full.value(index)[place])
            if wanted > alpha * needed:
                changed[place] *= min((dampening * needed / wanted) ** exponent, 1.0)
        found.append(changed - weight)
    return found


def three_weights(forget, full):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.weights[0].assign(np.full((3, 1), 2.0))
    architecture = Architecture.of(model)
    made = [
        WeightImportance(architecture, {0: np.reshape(values, (3, 1))}, kind="batch")
        for values in (forget, full)
    ]
    return model, *made


@pytest.mark.parametrize(("alpha", "expected"), [(10.0, [0.1, 2.0, 2.0]), (4.0, [0.1, 0.4, 2.0])])
def test_vector_computed_by_hand(alpha, expected):
    model, forget, full = three_weights([20.0, 5.0, 0.0], [1.0, 1.0, 1.0])
    before = weight_digest(model)
    patch = selective_dampening(model, forget, full=full, alpha=alpha)
    with patch.patched(model):
        np.testing.assert_allclose(read_weights(model)[0].ravel(), expected, rtol=1e-6)
    assert weight_digest(model) == before


def test_a_weight_that_only_the_data_to_forget_need_goes_to_zero():
    model, forget, full = three_weights([1.0, 0.0, 1e-30], [0.0, 0.0, 0.0])
    patch = selective_dampening(model, forget, full=full)
    with patch.patched(model):
        np.testing.assert_array_equal(read_weights(model)[0].ravel(), [0.0, 2.0, 0.0])


def test_formula_on_all_weights_and_layers():
    model = models.dense()
    forget, full = importances(model)
    options = {"alpha": 1.5, "dampening": 0.7, "exponent": 0.5}
    patch = selective_dampening(model, forget, full=full, **options)
    for index, expected in enumerate(reference(model, forget, full, **options)):
        np.testing.assert_allclose(patch.delta(index), expected, rtol=1e-12, atol=1e-15)
    one = selective_dampening(model, forget, full=full, **options, layers="second")
    assert one.paths == ("second/kernel", "second/bias")
    np.testing.assert_array_equal(one.delta(2), patch.delta(2))
    assert isinstance(one, Patch) and one.kind == "selective_dampening"


def test_nothing_selected_is_said():
    model, forget, full = three_weights([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    # `pytest.warns` would also raise what NumPy says about arrays of the backends.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        patch = selective_dampening(model, forget, full=full)
    assert any("Lower `alpha`" in str(warning.message) for warning in said)
    assert not patch.delta(0).any()


def test_importances_that_cannot_be_compared_are_refused():
    model = models.dense()
    forget, _ = importances(model, "batch", batch_size=8)
    for other, text in (("sample", "kind is batch and sample"), ("batch", "batch_size is 8 and 4")):
        _, full = importances(model, other, batch_size=4)
        with pytest.raises(ValueError, match=text):
            selective_dampening(model, forget, full=full)
    _, unknown = importances(model, "batch")
    selective_dampening(model, forget, full=unknown, alpha=1.0)
    with pytest.raises(ValueError, match="another architecture"):
        selective_dampening(models.dense(units=3), forget, full=unknown)
