"""Forward passes: compiled once, present values, no trace, no gradients."""

import keras
import numpy as np
from keras import ops

from keras_reweight.core.forward import (
    as_model_inputs,
    make_forward,
    predictions_of,
    without_gradients,
)
from keras_reweight.core.testing import tasks


def build():
    layers = [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    return keras.Sequential([*layers, keras.layers.Dense(2, activity_regularizer="l2")])


def test_it_follows_the_variables_and_writes_none():
    model = build()
    forward = make_forward(lambda x: predictions_of(model, x), model.variables)
    x = tasks.features()
    first = ops.convert_to_numpy(forward(x))
    np.testing.assert_array_equal(first, ops.convert_to_numpy(forward(x)))
    np.testing.assert_allclose(first, model.predict(x, verbose=0), rtol=1e-6)
    before = model.get_weights()
    model.layers[-1].kernel.assign(2.0 * model.layers[-1].kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(forward(x)), 2.0 * first, rtol=1e-6)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert sum(changed) == 1


def test_losses_of_layers_are_those_of_the_last_call():
    model = build()
    model(tasks.features()[:4])
    before = [ops.convert_to_numpy(loss) for loss in model.losses]
    predictions_of(model, tasks.features())
    np.testing.assert_array_equal(before, [ops.convert_to_numpy(loss) for loss in model.losses])


def test_the_result_carries_no_gradient():
    model = tasks.functional()
    result = make_forward(lambda x: predictions_of(model, x), model.variables)(tasks.features())
    assert not getattr(result, "requires_grad", False)


def test_inputs_have_the_precision_of_the_model():
    model = tasks.functional()
    inputs = as_model_inputs(model, {"a": np.zeros((2, 3)), "b": np.zeros(2, "int64"), "c": None})
    assert inputs["a"].dtype == "float32" and inputs["b"].dtype == "int64" and inputs["c"] is None


def test_nothing_is_recorded_without_gradients():
    model, x = build(), tasks.features()
    with without_gradients():
        outputs = predictions_of(model, as_model_inputs(model, x))
    assert not getattr(outputs, "requires_grad", False)
    assert getattr(predictions_of(model, x), "requires_grad", True)
