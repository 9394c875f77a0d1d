"""The prior of the next task, between two calls of `fit`."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from tests.compress.continual.common import X, two_layers


def test_a_second_task_is_pulled_back_to_the_first():
    y = np.ones((5, 2), "float32")
    model = two_layers(kl_weight=10.0, seed=1)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    moved = []
    for target in (y, -y):
        before = ops.convert_to_numpy(model.layers[0].theta.value).copy()
        model.fit(X, target, epochs=8, verbose=0)
        after = ops.convert_to_numpy(model.layers[0].theta.value).copy()
        moved.append(np.abs(after - before).mean())
        assert kc.continual.consolidate(model) == ["first", "last"]
        np.testing.assert_array_equal(ops.convert_to_numpy(model.layers[0].prior.value), after)
    # Nothing pulls in the first task, and in the second more than the loss pushes.
    assert moved[1] < 0.5 * moved[0]


def test_the_layers_that_are_named():
    model = two_layers()
    assert kc.continual.consolidate(model, layers="last") == ["last"]
    assert [float(ops.convert_to_numpy(model.layers[i].pull.value)) for i in (0, 2)] == [0.0, 1.0]
    with pytest.raises(ValueError, match="plain"):
        kc.continual.consolidate(model, layers="plain")
