"""That tests build optimizers before `fit` hides nothing: callbacks work without, too."""

import contextlib

import keras
import numpy as np
import pytest

import keras_compress as kc
import keras_reweight as kr
from keras_reweight.core.testing import fitting, tasks
from tests import built_optimizers

CALLBACKS = {
    "none": list,
    "state": lambda: [kr.callbacks.Reweight(kr.weightings.LinUpper(0.5))],
    "masks": lambda: [
        kc.callbacks.Pruning(
            kc.schedules.PolynomialDecay(0.0, 0.5, end_step=4),
            allocation=kc.pruning.UniformAllocation(),
        )
    ],
    "update hooks": lambda: [
        kc.callbacks.Pruning(
            0.5,
            criterion=kc.pruning.Movement(),
            allocation=kc.pruning.UniformAllocation(),
            begin_step=2,
        )
    ],
}


def _trained(callbacks, built):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    with contextlib.nullcontext() if built else built_optimizers.uninstalled():
        if built:
            model.optimizer.build(model.trainable_variables)
        assert model.optimizer.built == built
        model.fit(x, x[:, :1], batch_size=4, verbose=0, callbacks=callbacks)
    return model.get_weights()


@pytest.mark.parametrize("name", CALLBACKS)
def test_an_optimizer_without_variables_trains_the_same(name):
    built, unbuilt = (_trained(CALLBACKS[name](), built) for built in (True, False))
    for one, other in zip(built, unbuilt, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _traces():
    return fitting.fit(None, build=tasks.counting, eager=False).traces


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only there it saves a trace")
def test_the_step_is_traced_once():
    assert _traces() == 1
    with built_optimizers.uninstalled():
        assert _traces() == 2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strategies of TensorFlow")
def test_models_of_a_strategy_are_told_apart():
    import tensorflow as tf

    plain, strategy = tasks.functional(), tf.distribute.OneDeviceStrategy("cpu:0")
    with strategy.scope():
        distributed = tasks.functional()
        assert built_optimizers.is_distributed(plain)
    assert built_optimizers.is_distributed(distributed)
    assert not built_optimizers.is_distributed(plain)
