"""Gradient functions, on a small dense network whose derivatives NumPy knows."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

import keras_reweight.gradients as gradients
from keras_reweight.core.testing import Row
from tests.core.gradients.references import dense_reference

_DENSE = {
    "kind": "function",
    "bad_arguments": (
        ({"y": np.zeros(3, "int32")}, ValueError, "y"),
        ({"loss": "no_such_loss"}, ValueError, "loss"),
        ({"model": "model"}, TypeError, "model"),
    ),
}
_SAMPLE_WEIGHT = {"sample_weight": np.array([1.0, 0.5, 2.0, 0.0, 1.5], "float32")}


def _dense_inputs():
    reference = dense_reference()
    return {"model": reference.model, "x": reference.x, "y": reference.y, "loss": reference.loss}


def _dense_inputs_with_vector():
    return {**_dense_inputs(), "vector": dense_reference().vector()[1]}


def _split(flat):
    return dense_reference().split(flat)


def _value_and_grad():
    reference = dense_reference()
    losses = reference.flat_losses(reference.flat_weights())
    return losses.mean(), _split(reference.jacobian().mean(axis=0)), []


def _jvp():
    reference = dense_reference()
    flat, _ = reference.vector()
    return reference.flat_losses(reference.flat_weights()), reference.jacobian() @ flat


# The builders get `sum_ij (x @ kernel)_ij^2 / n`, whose derivatives are short.


def _builder_inputs():
    layer = keras.layers.Dense(2, use_bias=False)
    layer.build((None, 3))
    layer.kernel.assign(_KERNEL)
    return {
        "fn": lambda x: ops.sum(ops.square(layer(x))) / x.shape[0],
        "variables": layer.trainable_variables,
        "x": dense_reference().x,
    }


_KERNEL = np.arange(6.0).reshape(3, 2) / 6.0
_VECTOR = np.linspace(-1.0, 1.0, 6).reshape(3, 2)
_VECTOR_INPUT = [_VECTOR.astype("float32")]


def _gradient(x):
    return 2.0 * x.T @ x @ _KERNEL / len(x)


_BUILDER = {
    "kind": "function",
    "inputs": _builder_inputs,
    "knob": {"fn": lambda x: ops.sum(x)},
    "bad_arguments": (({"variables": ["kernel"]}, TypeError, "variables"),),
}


ROWS = [
    Row(
        gradients.value_and_grad,
        inputs=_dense_inputs,
        knob=_SAMPLE_WEIGHT,
        reference=_value_and_grad,
        **_DENSE,
    ),
    Row(
        gradients.per_sample_gradients,
        inputs=_dense_inputs,
        knob=_SAMPLE_WEIGHT,
        reference=lambda: _split(dense_reference().jacobian()),
        **_DENSE,
    ),
    Row(
        gradients.per_sample_gradient_norms,
        inputs=_dense_inputs,
        knob=_SAMPLE_WEIGHT,
        reference=lambda: np.linalg.norm(dense_reference().jacobian(), axis=1),
        **_DENSE,
    ),
    Row(
        gradients.fisher_diagonal,
        inputs=_dense_inputs,
        knob=_SAMPLE_WEIGHT,
        reference=lambda: _split(np.square(dense_reference().jacobian()).mean(axis=0)),
        **_DENSE,
    ),
    Row(
        gradients.input_gradient,
        inputs=_dense_inputs,
        knob=_SAMPLE_WEIGHT,
        reference=lambda: dense_reference().input_gradients(),
        **_DENSE,
    ),
    Row(
        gradients.jvp,
        inputs=_dense_inputs_with_vector,
        knob=_SAMPLE_WEIGHT,
        reference=_jvp,
        **_DENSE,
    ),
    Row(
        gradients.hessian_vector_product,
        inputs=_dense_inputs_with_vector,
        knob=_SAMPLE_WEIGHT,
        reference=lambda: _split(dense_reference().hessian_product(dense_reference().vector()[0])),
        **_DENSE,
    ),
    Row(
        gradients.clear_gradient_cache,
        "function",
        inputs=lambda: {"model": dense_reference().model},
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(
        gradients.commit_updates,
        "function",
        inputs=lambda: {"updates": [(keras.Variable([1.0, 2.0]), np.array([3.0, 4.0]))]},
        outcome=lambda _, updates: [variable for variable, _ in updates],
        reference=lambda: [np.array([3.0, 4.0])],
        mutates=True,
        bad_arguments=(({"updates": 3}, TypeError, "updates"),),
    ),
    Row(
        gradients.grad_scale,
        "function",
        inputs=lambda: {"x": dense_reference().x},
        arguments={"scale": -0.5},
        knob={"scale": 2.0},
        accepts_any=("scale",),
        reference=lambda x: x,
        reference_gradient=lambda scale, cotangent: scale * cotangent,
        gradient_of="x",
        jit=True,
        bad_arguments=(({"x": np.arange(3)}, TypeError, "x"),),
    ),
    Row(
        gradients.make_value_and_grad,
        outcome=lambda built, x: built(x),
        reference=lambda x: (np.square(x @ _KERNEL).sum() / len(x), [_gradient(x)], []),
        **_BUILDER,
    ),
    Row(
        gradients.make_input_gradient,
        outcome=lambda built, x: built(x),
        reference=lambda x: 2.0 * x @ _KERNEL @ _KERNEL.T / len(x),
        kind="function",
        inputs=_builder_inputs,
        knob={"fn": lambda x: ops.sum(x)},
        bad_arguments=(({"others": ["kernel"]}, TypeError, "others"),),
    ),
    Row(
        gradients.make_jvp,
        outcome=lambda built, x: built(_VECTOR_INPUT, x),
        reference=lambda x: (
            np.square(x @ _KERNEL).sum() / len(x),
            np.sum(_gradient(x) * _VECTOR),
        ),
        **_BUILDER,
    ),
    Row(
        gradients.make_hessian_vector_product,
        outcome=lambda built, x: built(_VECTOR_INPUT, x),
        reference=lambda x: [2.0 * x.T @ x @ _VECTOR / len(x)],
        **_BUILDER,
    ),
    Row(
        gradients.make_per_sample_gradients,
        outcome=lambda built, x: built(x),
        reference=lambda x: [2.0 * np.einsum("bi,bj->bij", x, x @ _KERNEL)],
        **_BUILDER,
    ),
]
