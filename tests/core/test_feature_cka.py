import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core.feature_cka import feature_cka
from tests.core.test_linear_cka import reference

X = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")


def network(seed):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, "tanh", name="hidden", kernel_initializer="zeros"),
            layers.ReLU(name="relu"),
            layers.Dense(3, name="out", kernel_initializer="zeros"),
        ]
    )
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def hidden(model, x):
    kernel, bias = model.get_weights()[:2]
    return np.tanh(x @ kernel + bias)


def test_features_of_layers_with_weights_by_default():
    first, second = network(0), network(1)
    found = feature_cka(first, second, (X, X), batch_size=6)
    assert list(found) == ["hidden", "out"]
    assert abs(found["hidden"] - reference(hidden(first, X), hidden(second, X))) < 1e-5
    outputs = [model.predict(X, verbose=0) for model in (first, second)]
    assert abs(found["out"] - reference(*outputs)) < 1e-5


def test_chosen_layers_of_models_with_other_names():
    first, second = network(0), network(0)
    for layer in second.layers:
        layer.name = f"other_{layer.name}"
    found = feature_cka(first, second, X, layers=["relu", "out"])
    assert list(found) == ["relu", "out"] and min(found.values()) > 1.0 - 1e-6


def test_models_with_other_layers_are_refused():
    other = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="`model2`"):
        feature_cka(network(0), other, X)
