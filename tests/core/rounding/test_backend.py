"""Values and first derivatives against NumPy; forward mode and second derivatives agree."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.rounding.backend import SUPPORTED, rounding

LOW, HIGH = -4, 3
_RNG = np.random.default_rng(4)
X = (2.0 * _RNG.normal(size=(2, 6, 3))).astype("float32")
UPSTREAM = _RNG.normal(size=X.shape).astype("float32")
# Positions on and beyond the bounds, at ties and at both zeros.
X[0, :, 0] = [-4.0, 3.0, 2.5, -9.0, 9.0, -0.0]
SHAPES = {"tensor": (), "channel": (1, 1, 3), "row": (2, 1, 1), "each": X.shape}


def scale_of(kind):
    scale = (0.5 + _RNG.random(SHAPES[kind])).astype("float32")
    if kind == "channel":
        scale[..., 0] = 1.0
    return np.asarray(scale)


def tensors(*arrays):
    return [ops.convert_to_tensor(array) for array in arrays]


def numpy(tensor):
    return np.array(ops.convert_to_numpy(ops.stop_gradient(tensor)))


def reference(x, scale, offset=None):
    """Values; derivatives by x, scale and offset for each value, in float64."""
    x, scale = x.astype("float64"), scale.astype("float64")
    zero_point = 0.0 if offset is None else -offset.astype("float64") / scale
    position = x / scale + zero_point
    inside = (position > LOW) & (position < HIGH)
    codes = np.round(np.clip(position, LOW, HIGH))
    slope = np.where(inside, codes - position, codes)
    return (codes - zero_point) * scale, inside, slope, ~inside


def reduced(values, shape):
    axes = tuple(
        axis for axis in range(values.ndim) if not shape or shape[axis] != values.shape[axis]
    )
    return values.sum(axis=axes, keepdims=bool(shape))


def step(x, scale, offset=None):
    zero_point = 0.0 if offset is None else -ops.stop_gradient(offset) / ops.stop_gradient(scale)
    return rounding().learned_step(x, scale, zero_point, offset, LOW, HIGH)


def derivatives(function, values, vector):
    """Value, gradients of `sum(UPSTREAM * y)`, change of `y` along `vector`, and the Hessian of
    `sum(y**2)` times `vector`."""
    backend = active_backend()
    (upstream,) = tensors(UPSTREAM)

    def every(values, vector):
        gradients = backend.value_and_grad(
            lambda v: (ops.sum(upstream * function(*v)), []), values
        )[2]
        value, tangent = backend.jvp(lambda v: function(*v), values, vector)
        curvature = backend.hessian_vector_product(
            lambda v: ops.sum(ops.square(function(*v))), values, vector
        )
        return value, list(gradients), tangent, list(curvature)

    found = backend.compile_function(every)(tensors(*values), tensors(*vector))
    return [
        [numpy(one) for one in part] if isinstance(part, list) else numpy(part) for part in found
    ]


@pytest.mark.parametrize(
    "kind, with_offset", [(kind, False) for kind in SHAPES] + [("channel", True)]
)
def test_a_learned_step(kind, with_offset):
    values = [X, scale_of(kind)]
    if with_offset:
        values.append(np.array([[[0.0, -0.7, 1.3]]], "float32"))
    vector = [_RNG.normal(size=one.shape).astype("float32") for one in values]
    expected, *slopes = reference(*values)
    slopes = slopes[: len(values)]
    value, gradients, tangent, curvature = derivatives(step, values, vector)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)
    change = sum(slope * one for slope, one in zip(slopes, vector, strict=True))
    np.testing.assert_allclose(tangent, change, rtol=1e-5, atol=2e-6)
    for place, (one, slope) in enumerate(zip(values, slopes, strict=True)):
        wanted = reduced(UPSTREAM * slope, one.shape)
        np.testing.assert_allclose(gradients[place], wanted, rtol=1e-5, atol=1e-5)
        # The derivatives of y count as constants: what is left of the Hessian is J^T 2 J.
        wanted = reduced(2.0 * change * slope, one.shape)
        np.testing.assert_allclose(curvature[place], wanted, rtol=1e-5, atol=2e-5)


def test_zero_has_one_sign():
    (x,) = tensors(np.array([-0.2, -0.0, 0.0], "float32"))
    one = ops.ones(())
    for function in (rounding().nearest_inside, rounding().nearest):
        assert not np.signbit(numpy(function(x, one, 0.0, LOW, HIGH))).any()
    assert not np.signbit(numpy(step(x, one))).any()


def test_nearest_inside_has_no_gradient_beyond_the_levels():
    scale, zero_point = scale_of("channel"), np.array([[[0.0, 1.0, -2.0]]], "float32")
    position = np.round(X / scale) + zero_point
    inside = (position >= LOW) & (position <= HIGH)
    vector = [_RNG.normal(size=X.shape).astype("float32")]
    grid = tensors(scale, zero_point)
    value, (gradient,), tangent, (curvature,) = derivatives(
        lambda x: rounding().nearest_inside(x, *grid, LOW, HIGH), [X], vector
    )
    np.testing.assert_array_equal(value, (np.clip(position, LOW, HIGH) - zero_point) * scale)
    np.testing.assert_array_equal(gradient, UPSTREAM * inside)
    np.testing.assert_array_equal(tangent, vector[0] * inside)
    np.testing.assert_allclose(curvature, 2.0 * vector[0] * inside, rtol=1e-6)


def test_nearest_and_a_slope_of_choice():
    scale = scale_of("channel")
    slope = _RNG.normal(size=X.shape).astype("float32")
    vector = [_RNG.normal(size=X.shape).astype("float32")]
    (grid,) = tensors(scale)
    value, (gradient,), tangent, _ = derivatives(
        lambda x: rounding().nearest(x, grid, -0.5, LOW, HIGH), [X], vector
    )
    expected = (np.round(np.clip(X / scale - 0.5, LOW, HIGH)) + 0.5) * scale
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_array_equal(gradient, UPSTREAM)
    np.testing.assert_array_equal(tangent, vector[0])
    value, (gradient,), tangent, (curvature,) = derivatives(
        lambda x: rounding().with_slope(x * 3.0, x, slope), [X], vector
    )
    np.testing.assert_array_equal(value, X * np.float32(3.0))
    np.testing.assert_allclose(gradient, UPSTREAM * slope, rtol=1e-6)
    np.testing.assert_allclose(tangent, vector[0] * slope, rtol=1e-6)
    np.testing.assert_allclose(curvature, 2.0 * vector[0] * slope**2, rtol=1e-5)


def test_gradients_of_samples_are_those_of_batches_of_one():
    scale = scale_of("channel")
    backend = active_backend()
    rows = tensors(X)[0]

    def objective(values, sample):
        return ops.sum(ops.square(step(values[0] + sample[0][None], values[1])))

    values = tensors(np.zeros((1, 6, 3), "float32"), scale)
    found = backend.compile_function(
        lambda values, rows: backend.per_sample(objective, values, [rows], list, False, {})
    )(values, rows)
    for row in range(len(X)):
        value, inside, slope, _ = reference(X[row : row + 1], scale)
        np.testing.assert_allclose(numpy(found[0])[row], 2.0 * value * inside, rtol=1e-5, atol=1e-5)
        wanted = reduced(2.0 * value * slope, scale.shape)
        np.testing.assert_allclose(numpy(found[1])[row], wanted, rtol=1e-5, atol=2e-5)


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match=str(list(SUPPORTED))[1:-1]):
        rounding()
