"""CompandedDense: its function, start, bound, files and plain counterpart."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.layers.kernels import assert_folds, assert_saves_free_parameters

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def reference_weights(weights, amplitude, width):
    """The weights computed with; `weights[2:]` are the learned numbers before the softplus."""
    if len(weights) > 2:
        amplitude, width = (np.log1p(np.exp(float(value))) for value in weights[2:])
    return amplitude * np.arctan(weights[0] / width)


def reference(inputs, weights, amplitude=1.0, width=1.0):
    return inputs @ reference_weights(weights, amplitude, width) + weights[1]


def test_the_reference_vector():
    layer = kr.layers.CompandedDense(3, amplitude=2.0, width=0.5)
    layer.build((None, 1))
    layer.kernel.assign([[-1.0, 0.0, 1.0]])
    found = ops.convert_to_numpy(layer.effective_kernel())
    np.testing.assert_allclose(found, [[-2.214297, 0.0, 2.214297]], rtol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_starts_as_the_plain_layer(learned):
    kernel = np.random.default_rng(1).uniform(-0.9, 0.9, (4, 3)).astype("float32")

    def given(shape, dtype=None):
        return ops.convert_to_tensor(kernel, dtype=dtype)

    layer = kr.layers.CompandedDense(
        3, amplitude=0.7, width=0.2, learned=learned, kernel_initializer=given
    )
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), X @ kernel, rtol=1e-4, atol=1e-6)
    assert layer.kernel_initializer is given
    np.testing.assert_allclose(layer.companding(), [0.7, 0.2], rtol=1e-6)


def test_starts_inside_the_bound():
    layer = kr.layers.CompandedDense(3, amplitude=0.1, kernel_initializer="ones")
    layer.build((None, 4))
    found = ops.convert_to_numpy(layer.effective_kernel())
    np.testing.assert_allclose(found, 0.95 * 0.1 * np.pi / 2, rtol=1e-5)


def test_no_weight_leaves_the_bound_and_small_ones_leave_zero_faster():
    layer = kr.layers.CompandedDense(3, amplitude=1.0, width=0.25, learned=False)
    layer.build((None, 4))
    free = np.array([[1e6, -1e6, 0.01]] * 4)
    layer.kernel.assign(free)
    found = ops.convert_to_numpy(layer.effective_kernel())
    assert np.abs(found).max() <= np.pi / 2
    assert (found[:, 2] > 3.9 * free[:, 2]).all()


def test_takes_the_weights_of_a_trained_layer():
    layer = kr.layers.CompandedDense(3, amplitude=0.5, width=2.0)
    layer.build((None, 4))
    kernel = np.random.default_rng(1).uniform(-0.7, 0.7, (4, 3))
    layer.set_effective_kernel(kernel)
    found = ops.convert_to_numpy(layer.effective_kernel())
    np.testing.assert_allclose(found, kernel, rtol=1e-5)
    with pytest.raises(ValueError, match="amplitude"):
        layer.set_effective_kernel(kernel * 2)
    with pytest.raises(ValueError, match="shape"):
        layer.set_effective_kernel(kernel[:2])


def test_files_and_folding(tmp_path):
    layer, fresh = (kr.layers.CompandedDense(3, amplitude=0.5, activation="tanh") for _ in "ab")
    layer.build(X.shape)
    layer.raw_amplitude.assign(0.3)
    layer.raw_width.assign(-1.0)
    assert_saves_free_parameters(layer, fresh, X, tmp_path / "layer.weights.h5")
    assert_folds(layer, X)


def test_sequences_and_masks():
    layer = kr.layers.CompandedDense(3)
    found = ops.convert_to_numpy(layer(np.stack([X, 2 * X])))
    np.testing.assert_allclose(2 * found[0], found[1], rtol=1e-5)
    assert layer.supports_masking


def test_model_quantize_passes_over_it():
    layer = kr.layers.CompandedDense(3)
    model = keras.Sequential([keras.Input((4,)), layer])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.quantize("int8")
    assert any("fold" in str(one.message) for one in found)
    assert layer.quantization_mode is None
