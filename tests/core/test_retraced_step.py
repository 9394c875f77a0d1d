import keras
import numpy as np
import pytest

from keras_reweight.core.retraced_step import retrace_train_step
from keras_reweight.core.testing.tasks import CountTraces


def test_it_is_traced_again_although_the_old_function_lives():
    layers = [CountTraces(name="counter"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile("sgd", "mse")
    x = np.ones((1, 2), "float32")
    model.train_on_batch(x, x)
    old, counter = model.train_function, model.get_layer("counter")
    before = counter.count
    retrace_train_step(model)
    assert model.train_function is not old and "train_step" not in vars(model)
    model.train_on_batch(x, x)
    assert counter.count > before


def test_a_train_step_of_the_instance_is_put_back():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    own = model.train_step
    object.__setattr__(model, "train_step", own)
    retrace_train_step(model)
    assert vars(model)["train_step"] is own
    with pytest.raises(AttributeError):
        retrace_train_step(object())
