"""Copies of models of any kind have the values, and leave the original alone."""

import keras
import numpy as np
import pytest

from keras_compress._copy_model import copy_model

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


@keras.saving.register_keras_serializable(package="test_copy_model")
class Subclassed(keras.Model):
    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class WithoutConfig(Subclassed):
    def __init__(self, units, rest):
        super().__init__(units)


def sequential():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


@pytest.mark.parametrize("make", [sequential, lambda: Subclassed(3)])
def test_a_copy_computes_the_same_and_is_another_model(make):
    model = make()
    expected = keras.ops.convert_to_numpy(model(X))
    copy = copy_model(model, "test", X)
    assert type(copy) is type(model)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(copy(X)), expected)
    copy.weights[0].assign(0.0 * X[:1].T @ np.ones((1, model.weights[0].shape[1]), "float32"))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(X)), expected)


def test_a_model_without_a_complete_config_is_refused():
    model = WithoutConfig(2, None)
    model(X)
    with pytest.raises(ValueError, match=r"(?s)test: model .*cannot be copied.*`copy=False`"):
        copy_model(model, "test", X)
