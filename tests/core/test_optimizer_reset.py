import keras
import numpy as np
import pytest

from keras_reweight.core.optimizer_reset import OptimizerStart
from tests.core.test_masks import OPTIMIZERS, build, train, value

NAMES = ["muon", "schedule_free_adamw", "loss_scale", "multi"]


@pytest.mark.parametrize("name", NAMES)
def test_the_optimizer_is_that_of_a_new_model(name):
    model = build(OPTIMIZERS[name]())
    start = OptimizerStart(model)
    train(model)
    if name == "muon":
        model.optimizer.learning_rate = 0.3
    assert start.iterations == 3
    start.restore(iterations=1)
    twin = build(OPTIMIZERS[name]())
    twin.set_weights(model.get_weights())
    twin.optimizer.build(twin.trainable_variables)
    assert start.iterations == 1
    OptimizerStart(twin).restore(iterations=1)
    found, expected = (
        [value(variable) for variable in each.optimizer.variables] for each in (model, twin)
    )
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_optimizer_is_left_alone():
    model = build()
    start = OptimizerStart(model)
    model.compile("sgd", "mse")
    train(model)
    start.restore()
    assert start.iterations == 3
    bare = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    OptimizerStart(bare).restore()
    assert OptimizerStart(bare).iterations == 0
