"""Channel axes of every supported layer, and reasons for the others."""

import keras
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.quantization.supported import matrices, refusal

# Drawing random kernels takes longer than the tests, which assign their own.
ONES = {"kernel_initializer": "ones"}
TWO_ONES = {"depthwise_initializer": "ones", "pointwise_initializer": "ones"}

SUPPORTED = {
    "Dense": (lambda: layers.Dense(3, **ONES), (None, 4), {"kernel": (-1,)}),
    "Conv1D": (lambda: layers.Conv1D(3, 2, **ONES), (None, 5, 2), {"kernel": (-1,)}),
    "Conv2D": (lambda: layers.Conv2D(3, 2, **ONES), (None, 5, 5, 2), {"kernel": (-1,)}),
    "Conv3D": (lambda: layers.Conv3D(3, 2, **ONES), (None, 3, 3, 3, 2), {"kernel": (-1,)}),
    "Conv1DTranspose": (
        lambda: layers.Conv1DTranspose(3, 2, **ONES),
        (None, 4, 2),
        {"kernel": (-2,)},
    ),
    "Conv2DTranspose": (
        lambda: layers.Conv2DTranspose(3, 2, **ONES),
        (None, 4, 4, 2),
        {"kernel": (-2,)},
    ),
    "Conv3DTranspose": (
        lambda: layers.Conv3DTranspose(3, 2, **ONES),
        (None, 2, 2, 2, 2),
        {"kernel": (-2,)},
    ),
    "DepthwiseConv1D": (
        lambda: layers.DepthwiseConv1D(2, depth_multiplier=2, depthwise_initializer="ones"),
        (None, 4, 3),
        {"kernel": (-2, -1)},
    ),
    "DepthwiseConv2D": (
        lambda: layers.DepthwiseConv2D(2, depth_multiplier=2, depthwise_initializer="ones"),
        (None, 4, 4, 3),
        {"kernel": (-2, -1)},
    ),
    "SeparableConv1D": (
        lambda: layers.SeparableConv1D(3, 2, **TWO_ONES),
        (None, 4, 2),
        {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
    ),
    "SeparableConv2D": (
        lambda: layers.SeparableConv2D(3, 2, **TWO_ONES),
        (None, 4, 4, 2),
        {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
    ),
    "EinsumDense": (
        lambda: layers.EinsumDense(
            "abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de", **ONES
        ),
        (None, 4, 5),
        {"kernel": (-2, -1)},
    ),
}


class Table(layers.Layer):
    def build(self, input_shape):
        self.table = self.add_weight(shape=(2, 2), name="table")


@pytest.mark.parametrize("name", SUPPORTED)
def test_matrices_and_their_channels(name):
    make, shape, axes = SUPPORTED[name]
    layer = make()
    layer.build(shape)
    assert refusal(layer) is None
    found = matrices(layer)
    assert {matrix.name: matrix.axis for matrix in found} == axes
    assert {matrix.variable.name for matrix in found} == set(axes)


def test_single_values_share_one_scale():
    layer = layers.DepthwiseConv2D(1)
    layer.build((None, 4, 4, 3))
    assert matrices(layer)[0].axis is None
    layer = layers.Dense(3)
    layer.build((None, 1))
    assert matrices(layer)[0].axis is None


def test_biases_and_state_are_no_matrices():
    layer = layers.EinsumDense("abc,bcd->abd", output_shape=(3, 4), bias_axes="bd")
    layer.build((None, 3, 2))
    assert len(layer.bias.shape) == 2
    (matrix,) = matrices(layer)
    assert matrix.name == "kernel" and matrix.axis == (-3, -1)


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: Table(), "Table is not supported"),
        (lambda: layers.BatchNormalization(), "no weight matrix"),
        (lambda: layers.ReLU(), "no weight matrix"),
    ],
)
def test_other_layers_are_refused(make, reason):
    layer = make()
    layer.build((None, 3, 4))
    assert reason in refusal(layer)
    with pytest.raises(ValueError, match=reason):
        kc.layers.QuantizeAware(layer)


def test_layers_in_a_special_state_are_refused():
    dense = layers.Dense(3)
    dense.build((None, 4))
    dense.enable_lora(2)
    assert "LoRA" in refusal(dense)
    dense = layers.Dense(3)
    dense.build((None, 4))
    dense.quantize("int8")
    assert "already quantized by Keras (int8)" in refusal(dense)
    assert "already quantization-aware" in refusal(kc.layers.QuantizeAware(layers.Dense(3)))

    class Bent(layers.Dense):
        def effective_kernel(self):
            return self.kernel**3

    bent = Bent(3)
    bent.build((None, 4))
    assert "fold it first" in refusal(bent)

    class Own(keras.Model):
        pass

    assert "no weight matrix" in refusal(Own())
    folded = kc.layers.FoldedBatchNorm(layers.Dense(2), layers.BatchNormalization())
    assert "wrap these themselves" in refusal(keras.Sequential([folded]))
