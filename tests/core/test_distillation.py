"""What Keras' distiller keeps private and we use."""

import keras
import numpy as np
from keras import ops

from keras_reweight.core.distillation import compared_outputs, compiled_student_loss, reduced_loss
from keras_reweight.core.testing.backends import with_keras_mask


def make(losses):
    def model():
        layers = [keras.layers.Dense(3, name="inside"), keras.layers.Dense(2)]
        return keras.Sequential([keras.Input((4,)), *layers])

    return keras.distillation.Distiller(model(), model(), losses)


def test_the_compiled_loss_of_the_student():
    distiller = make(keras.distillation.LogitsDistillation())
    loss = keras.losses.MeanSquaredError()
    distiller.compile("sgd", loss)
    assert compiled_student_loss(distiller) is loss


def test_what_a_distillation_loss_compares():
    outputs = keras.distillation.LogitsDistillation()
    inside = keras.distillation.FeatureDistillation(
        teacher_layer_name="inside", student_layer_name="inside"
    )
    distiller = make([outputs, inside])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    y_pred = distiller.student(x)
    pair = compared_outputs(distiller, x, y_pred)
    teacher, student = pair(outputs)
    np.testing.assert_allclose(
        ops.convert_to_numpy(teacher), ops.convert_to_numpy(distiller.teacher(x)), rtol=1e-5
    )
    assert student is y_pred
    for found, model in zip(pair(inside), (distiller.teacher, distiller.student), strict=True):
        expected = ops.convert_to_numpy(model.get_layer("inside")(x))
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_weights_and_mask_of_a_reduced_loss():
    y_true, y_pred = (
        np.zeros((4, 2), "float32"),
        np.array([[1.0] * 2, [2.0] * 2, [3.0] * 2, [4.0] * 2]),
    )
    tensor = ops.convert_to_tensor(y_pred.astype("float32"))
    weight, mask = np.array([1.0, 2.0, 0.0, 1.0], "float32"), np.array([True, True, True, False])
    for loss in (keras.losses.MeanSquaredError(), keras.losses.mean_squared_error):
        found = reduced_loss(loss, y_true, tensor, sample_weight=weight, mask=None)
        np.testing.assert_allclose(float(found), (1 + 2 * 4 + 16) / 4, rtol=1e-6)
        found = reduced_loss(loss, y_true, tensor, sample_weight=None, mask=mask)
        expected = keras.losses.MeanSquaredError()(y_true, with_keras_mask(y_pred, mask))
        np.testing.assert_allclose(float(found), float(expected), rtol=1e-6)
    assert getattr(tensor, "_keras_mask", None) is None
