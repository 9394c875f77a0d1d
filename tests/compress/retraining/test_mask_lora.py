"""The update has the pattern of the kernel, and the forward pass is that of the formula."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_reweight.core.gradients import make_value_and_grad
from tests.compress.retraining.networks import X, numbered, numpy, pruned

KERNEL = np.array([[1.0, 0.0], [2.0, 3.0]], "float32")


def two_by_two(mode, **arguments):
    """The layer of the official vectors: rank 2, both factors filled with 1 / sqrt(2)."""
    layer = kc.layers.MaskLoRA(
        layers.Dense(2, use_bias=False), rank=2, mode=mode, seed=0, **arguments
    )
    layer.build((None, 2))
    layer.kernel.assign(KERNEL)
    for factor in (layer.lora_a, layer.lora_b):
        factor.assign(np.full((2, 2), 1 / np.sqrt(2), "float32"))
    return layer


def test_scaling_by_a_product_of_ones_is_the_identity():
    assert np.array_equal(numpy(two_by_two("scale").effective_kernel()).round(6), KERNEL)
    fresh = kc.layers.MaskLoRA(layers.Dense(2), rank=4, mode="scale")
    fresh.build((None, 3))
    np.testing.assert_allclose(numpy(fresh.lora_a) @ numpy(fresh.lora_b), np.ones((3, 2)))


def test_ten_steps_keep_the_zero():
    layer = two_by_two("mask", alpha=4.0)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    model.fit(x, x[:, ::-1], batch_size=4, shuffle=False, verbose=0)
    kernel = numpy(layer.effective_kernel())
    assert kernel[0, 1] == 0.0 and np.all(numpy(layer.kernel) == KERNEL)
    assert np.abs(kernel - KERNEL)[KERNEL != 0].min() > 1e-4


KINDS = {
    "Dense": (lambda: layers.Dense(3), (None, 4), (0, 1), 1),
    "Conv1D": (lambda: layers.Conv1D(3, 2), (None, 5, 2), (0, 1, 2), 2),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 2), (None, 3, 3, 2), (0, 1, 3, 2), 3),
    "EinsumDense": (
        lambda: layers.EinsumDense("abc,dce->abde", output_shape=(None, 2, 3), bias_axes="de"),
        (None, 4, 5),
        (1, 0, 2),
        1,
    ),
}


def reference(kernel, a, b, scale, order, num_first, mode):
    """Entry by entry of the matrix from inputs to outputs."""
    turned = kernel.transpose(order)
    flat = turned.reshape(int(np.prod(turned.shape[:num_first])), -1)
    found = np.array(flat, "float64")
    for i, j in np.ndindex(*flat.shape):
        product = sum(a[i, k] * b[k, j] for k in range(a.shape[1]))
        if mode == "scale":
            found[i, j] = flat[i, j] * product
        elif mode == "prune" or flat[i, j] != 0:
            found[i, j] = flat[i, j] + scale * product
    return found.reshape(turned.shape).transpose(np.argsort(order))


@pytest.mark.parametrize(
    ("kind", "mode"), [*((kind, "mask") for kind in KINDS), ("Dense", "scale"), ("Dense", "prune")]
)
def test_output_is_that_of_the_layer_with_the_updated_kernel(kind, mode):
    make, shape, order, num_first = KINDS[kind]
    layer = kc.layers.MaskLoRA(make(), rank=2, alpha=3.0, mode=mode)
    plain = make()
    for one in (layer, plain):
        one.build(shape)
    pruned(numbered(layer))
    layer.kernel.assign(pruned(numbered(plain, seed=4)) and numpy(plain.kernel))
    plain.bias.assign(numpy(layer.layer.bias))
    plain.kernel.assign(
        reference(
            *map(numpy, (plain.kernel, layer.lora_a, layer.lora_b)), 1.5, order, num_first, mode
        )
    )
    x = np.random.default_rng(2).normal(size=(2, *shape[1:])).astype("float32")
    np.testing.assert_allclose(numpy(layer(x)), numpy(plain(x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(numpy(layer.effective_kernel()), numpy(plain.kernel), rtol=1e-5)


def test_factors_get_the_gradient_of_the_formula_and_the_kernel_none():
    layer = two_by_two("mask", alpha=4.0)
    x = X[:5, :2]
    variables = [layer.lora_a, layer.lora_b, layer.kernel]
    value, (a, b, kernel), _ = make_value_and_grad(
        lambda x: keras.ops.sum(keras.ops.square(layer(x))), variables
    )(x)
    # d/dK sum((xK)^2) = 2 x^T x K, then through K = W + 2 M * (A B).
    upstream = 2 * x.T @ x @ numpy(layer.effective_kernel())
    inside = 2.0 * upstream * (KERNEL != 0)
    np.testing.assert_allclose(numpy(a), inside @ numpy(layer.lora_b).T, rtol=1e-5)
    np.testing.assert_allclose(numpy(b), numpy(layer.lora_a).T @ inside, rtol=1e-5)
    assert not numpy(kernel).any()
    np.testing.assert_allclose(
        numpy(value), np.sum((x @ numpy(layer.effective_kernel())) ** 2), rtol=1e-5
    )


def test_it_starts_at_the_layer_and_draws_from_its_seed():
    first, again, other = (
        kc.layers.MaskLoRA(layers.Dense(3), rank=5, seed=seed) for seed in (1, 1, 2)
    )
    for layer in (first, again, other):
        layer.build((None, 16))
    assert not numpy(first.lora_b).any()
    a = numpy(first.lora_a)
    assert a.shape == (16, 5) and 0.2 < np.abs(a).max() <= 0.25
    assert np.array_equal(a, numpy(again.lora_a)) and not np.array_equal(a, numpy(other.lora_a))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_updates_the_float32_kernel(policy):
    layer = kc.layers.MaskLoRA(layers.Dense(3, dtype=policy), rank=2, seed=0)
    outputs = layer(X)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    for variable in layer.variables:
        assert keras.backend.standardize_dtype(variable.dtype) == "float32"


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: layers.LSTM(2), "LSTM has no kernel"),
        (lambda: layers.ReLU(), "ReLU has no kernel"),
        (lambda: layers.DepthwiseConv1D(2), "DepthwiseConv1D has no kernel"),
        (lambda: kc.layers.MaskLoRA(layers.Dense(2)), "update already"),
    ],
)
def test_other_layers_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        kc.layers.MaskLoRA(make())


def test_layers_with_an_update_of_their_own_are_refused():
    layer = layers.Dense(2)
    layer.build((None, 4))
    layer.enable_lora(1)
    with pytest.raises(ValueError, match="LoRA of Keras is enabled"):
        kc.layers.MaskLoRA(layer)
