"""Layers learn as fast as their spectra ask for, under any optimizer."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.retraining.temp_balance import _factors
from tests.compress.retraining.networks import X, Y, compiled, mlp, numbered


def deep():
    stack = [layers.Dense(7, "tanh", name=name, kernel_initializer="zeros") for name in "abcd"]
    stack.insert(2, layers.BatchNormalization(name="norm"))
    return numbered(keras.Sequential([keras.Input((6,)), *stack]))


def test_factors_are_linear_in_alpha():
    found = _factors(np.array([2.0, 4.0, 3.0, np.nan, 2.5]), (0.5, 1.5))
    np.testing.assert_allclose(found, [0.5, 1.5, 1.0, 1.0, 0.75])
    np.testing.assert_allclose(_factors(np.array([3.0, 3.0]), (0.5, 1.5)), [1.0, 1.0])
    np.testing.assert_allclose(_factors(np.array([np.nan]), (0.5, 1.5)), [1.0])


def test_layers_learn_by_their_factors_and_normalization_goes_along():
    model = deep()
    alphas = kc.pruning.layer_alphas(model, method="hill", layers=["b", "c"]).values()
    slow = "b" if np.argmin(list(alphas)) == 0 else "c"
    balance = kc.callbacks.TempBalance((1e-6, 1.0), method="hill", min_eigenvalues=7)
    before = [np.array(value) for value in model.get_weights()]
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    model.fit(X, X[:, :1] * np.ones((1, 7)), batch_size=24, verbose=0, callbacks=[balance])
    factors = {path.split("/")[-2]: factor for path, factor in balance.factors.items()}
    assert factors == {"b": 1.0, "c": 1.0} | {slow: pytest.approx(1e-6)}
    held = {"b": {"b", "norm"}, "c": {"c"}}[slow]
    for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        if variable.trainable:
            moved = np.abs(new - old).max()
            assert moved < 1e-6 if variable.path.split("/")[-2] in held else moved > 1e-4


def test_a_model_without_a_layer_to_balance_is_refused():
    model = compiled(mlp())
    with pytest.raises(ValueError, match="is left to balance"):
        model.fit(X, Y, verbose=0, callbacks=[kc.callbacks.TempBalance()])
    assert "apply" not in vars(model.optimizer)
