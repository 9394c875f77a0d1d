import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.qat.steps import host, quantized

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
STAGES = [(1, 3)]


def model():
    net = quantized(weight=kc.quantizers.LSQQuantizer(8))
    net.compile(keras.optimizers.Adam(0.05), "mse")
    return net


class Watch(keras.callbacks.Callback):
    """The train functions of all epochs, and what a process that dies after epoch 1 leaves."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule, self.functions = schedule, []

    def on_train_batch_end(self, batch, logs=None):
        if not any(known is self.model.train_function for known in self.functions):
            self.functions.append(self.model.train_function)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.state = self.schedule.get_state()
            self.weights = [host(variable) for variable in self.model.weights]
            self.slots = [host(variable) for variable in self.model.optimizer.variables]


def fit(net, *callbacks, **arguments):
    options = {"epochs": 3, "batch_size": 4, "shuffle": False, "verbose": 0, **arguments}
    return net.fit(X, X[:, :3], callbacks=list(callbacks), **options).history


@pytest.fixture(scope="module")
def trained():
    """An uninterrupted training: 8 bits, then 3 from epoch 1 on."""
    net = model()
    net.make_predict_function()  # of 8 bits
    schedule = kc.callbacks.BitWidthSchedule(STAGES)
    watch = Watch(schedule)
    return net, watch, fit(net, schedule, watch)


def test_bits_change_where_they_should_and_the_step_is_made_once_for_each(trained):
    net, watch, history = trained
    assert history["weight_bits"] == [8.0, 3.0, 3.0]
    assert len(watch.functions) == 2 and net.predict_function is None
    layer = net.layers[0]
    assert layer.weight.bits == layer.weight_quantizers["kernel"].bits == 3
    codes = host(layer.weight_quantizers["kernel"].codes(layer.layer.kernel)[0])
    assert codes.min() >= -4 and codes.max() <= 3
    loaded = type(layer).from_config(layer.get_config())
    assert loaded.weight.bits == 3


def test_resumed_in_the_middle_it_ends_the_same(trained):
    net, watch, _ = trained
    other = model()
    other.optimizer.build(other.trainable_variables)
    for variable, value in zip(other.weights, watch.weights, strict=True):
        variable.assign(value)
    # The variables of the callback come last.
    for variable, value in zip(other.optimizer.variables, watch.slots, strict=False):
        variable.assign(value)
    resumed = kc.callbacks.BitWidthSchedule(STAGES)
    resumed.set_state(watch.state)
    fit(other, resumed, initial_epoch=2)
    for found, wanted in zip(other.get_weights(), net.get_weights(), strict=True):
        assert found.tobytes() == wanted.tobytes()
    assert resumed.get_state()["bits/0"] == 3
