import warnings

import keras
import numpy as np
import pytest

from keras_compress.pruning import (
    GlobalAllocation,
    LayerCollapseWarning,
    Magnitude,
    SynFlow,
    prune_iteratively,
    prune_weights,
)
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import WEIGHTS


def reference_synflow():
    """`|w dR/dw|` of the positive linear network on ones, biases included."""
    w1, b1, w2, _ = (np.abs(np.asarray(w, "float64")) for w in WEIGHTS)
    hidden = w1.sum(axis=0) + b1
    return [w1 * w2.sum(axis=1), hidden[:, None] * w2]


def test_equals_the_formula_and_leaves_the_model_alone():
    model = tanh_net.model()
    found = SynFlow().scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_synflow())
    assert all(layer.activation is not None for layer in model.layers)
    assert model.layers[0].activation is keras.activations.tanh
    for before, after in zip(WEIGHTS, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_flow_is_the_same_through_every_layer():
    """Without biases; moving means, activations, dropout and layer norms do not disturb it."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Dropout(0.5),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.LayerNormalization(),
            layers.Dense(4, "gelu", use_bias=False),
            layers.Dense(3, "softmax", use_bias=False),
        ]
    )
    model.layers[1].moving_mean.assign([1.0, -2.0, 3.0])
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    totals = [score.sum() for score in SynFlow().scores(model, kernels)]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)
    assert totals[0] > 0.0


@pytest.mark.parametrize("size", [1600.0, 1e-5])
def test_numbers_beyond_float32(size):
    stack = [keras.layers.Dense(8, kernel_initializer="ones") for _ in range(12)]
    model = keras.Sequential([keras.Input((8,)), *stack])
    for layer in stack:
        layer.kernel.assign(np.full((8, 8), size, "float32"))
    scores = SynFlow().scores(model, [layer.kernel for layer in stack])
    expected = 8.0 * np.log(8.0 * np.float32(size)) + 4.0 * np.log(8.0 * np.float32(size))
    for score in (scores[0], scores[5], scores[-1]):
        np.testing.assert_allclose(np.log(score.sum()), expected + np.log(8.0), rtol=1e-6)


def test_no_layer_collapses():
    """A few weights are left in every layer, where magnitude, or flow at once, empties one."""
    generator = np.random.default_rng(0)

    def model():
        stack = [keras.layers.Dense(n, "relu", use_bias=False) for n in (16, 16, 16, 4)]
        return keras.Sequential([keras.Input((16,)), *stack])

    weights = [generator.normal(size=weight.shape) for weight in model().weights]
    weights[1] *= 0.1
    allocation = GlobalAllocation(min_keep=0.0)

    def survivors(prune, **arguments):
        made = model()
        made.set_weights(weights)
        report = prune(made, 0.99, allocation=allocation, **arguments)
        return [int(mask.sum()) for mask in report.masks.values()]

    flow = survivors(prune_iteratively, rounds=20)
    assert sum(flow) == 8 and min(flow) >= 1
    for criterion in (SynFlow(), Magnitude()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerCollapseWarning)
            assert min(survivors(prune_weights, criterion=criterion)) == 0


def test_what_has_no_linear_form_is_refused():
    tokens = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(3, 2)])
    with pytest.raises(ValueError, match="embedding"):
        prune_weights(tokens, 0.5, criterion=SynFlow())
    with pytest.raises(TypeError, match="input_shapes"):
        prune_weights(tanh_net.model(), 0.5, criterion=SynFlow(input_shapes=3.5))
