import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.qat.steps import host

X = np.random.default_rng(0).normal(1.0, 2.0, size=(12, 4)).astype("float32")
NAMES = ("moving_mean", "moving_variance", "gamma", "beta")


class Keep(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        norms = {name: self.model.get_layer(name) for name in ("first", "second")}
        self.seen.append(
            {(key, name): host(getattr(n, name)) for key, n in norms.items() for name in NAMES}
        )


def _normalized(x, values, name, epsilon=1e-3):
    mean, variance, gamma, beta = (values[name, key].astype("float64") for key in NAMES)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def test_statistics_stay_and_are_used_in_training():
    norms = [keras.layers.BatchNormalization(name=name) for name in ("first", "second")]
    model = keras.Sequential([keras.Input((4,)), *norms])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    keep = Keep()
    callbacks = [
        keep,
        kc.callbacks.FreezeBatchNorm(1, parameters=True, layers="first", name="all_of_it"),
        kc.callbacks.FreezeBatchNorm(1, layers="second"),
    ]
    options = {"batch_size": 12, "epochs": 2, "shuffle": False, "verbose": 0}
    losses = model.fit(X, 3.0 * X, callbacks=callbacks, **options).history["loss"]
    before, after = keep.seen
    assert np.any(before["first", "moving_mean"] != 0)
    changed = {key for key in before if before[key].tobytes() != after[key].tobytes()}
    assert changed == {("second", "gamma"), ("second", "beta")}
    output = _normalized(_normalized(X, before, "first"), before, "second")
    np.testing.assert_allclose(losses[1], np.mean((output - 3.0 * X) ** 2), rtol=1e-5)
    assert "apply" not in vars(model.optimizer)
    assert not any("call" in vars(norm) for norm in norms)


def test_a_folded_normalization_is_frozen_where_it_is_computed():
    dense = keras.layers.Dense(4, use_bias=False)
    folded = kc.layers.FoldedBatchNorm(dense, keras.layers.BatchNormalization(name="norm"))
    model = keras.Sequential([keras.Input((4,)), folded])
    model.compile("sgd", "mse")
    freeze = kc.callbacks.FreezeBatchNorm(0, layers="norm")
    freeze.set_model(model)
    freeze.on_epoch_begin(0)
    trained, inferred = (host(folded(X, training=flag)) for flag in (True, False))
    np.testing.assert_array_equal(trained, inferred)
    freeze.detach()
    assert np.abs(host(folded(X, training=True)) - inferred).max() > 0.1


def test_a_model_without_batch_normalization_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="selects no layer"):
        kc.callbacks.FreezeBatchNorm(0).set_model(model)
