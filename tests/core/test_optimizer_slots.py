import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.masks import update_optimizer
from keras_reweight.core.optimizer_slots import reset_slots, slots
from tests.core.test_masks import OPTIMIZERS, build, checkerboard, train, value


def fresh_twin(model):
    """A new optimizer for the same variables: its slots are what a new weight has."""
    optimizer = model.optimizer
    twin = type(optimizer).from_config(optimizer.get_config())
    twin.build(model.trainable_variables)
    return getattr(twin, "inner_optimizer", twin)


def held(optimizer, kernel):
    return {name: value(slot) for _, name, slot in slots(optimizer, kernel)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_forgotten_weights_have_the_slots_of_a_new_optimizer(name):
    model = build(OPTIMIZERS[name]())
    kernel = model.layers[0].kernel
    train(model)
    before = held(update_optimizer(model), kernel)
    entries = checkerboard((4, 6))
    reset_slots(model, [kernel, model.layers[1].kernel], [entries, np.zeros((6, 1), "bool")])
    after = held(update_optimizer(model), kernel)
    new = held(fresh_twin(model), kernel)
    new |= {key: value(kernel) for key in new if key == "_model_variables_moving_average"}
    assert after.keys() == before.keys() == new.keys()
    # Plain gradient descent remembers nothing, all others something that training has changed.
    assert any((before[key] != new[key]).any() for key in before)
    for key in after:
        np.testing.assert_array_equal(after[key][entries], new[key][entries])
        np.testing.assert_array_equal(after[key][~entries], before[key][~entries])


def test_no_memory_nothing_to_forget():
    model = build(keras.optimizers.SGD(0.1))
    train(model)
    kernel = model.layers[0].kernel
    assert list(slots(update_optimizer(model), kernel)) == []
    reset_slots(model, [kernel], [np.ones((4, 6), "bool")])


def test_memory_is_that_of_the_weight_and_of_its_shape():
    model = build(OPTIMIZERS["adafactor"]())
    train(model)
    kernel = model.layers[0].kernel
    found = list(slots(update_optimizer(model), kernel))
    assert [name for _, name, _ in found] == ["_v"]
    other = keras.Variable(ops.zeros((4, 6)))
    assert list(slots(update_optimizer(model), other)) == []
