import keras
import numpy as np
import pytest

from keras_reweight.editing import importance_lora_init
from tests.reweight.signatures import models


def fresh(shape=(6, 4)):
    layer = models.Dense(shape[1], name="dense")
    layer.build((None, shape[0]))
    layer.kernel.assign(np.random.default_rng(0).normal(size=shape).astype("float32"))
    return layer


def importances():
    return np.random.default_rng(1).uniform(0.1, 2.0, size=(2, 6, 4))


def split(layer, *arguments, **options):
    """Kernel before, frozen part, factors and what was returned."""
    before = np.array(layer.get_weights()[0], "float64")
    rho = importance_lora_init(layer, *arguments, **options)
    frozen = np.array(keras.ops.convert_to_numpy(layer.weights[0].value), "float64")
    factors = [np.asarray(v, "float64") for v in (layer.lora_kernel_a, layer.lora_kernel_b)]
    return before, frozen, *factors, rho


def reference(kernel, forget, retain, rank, alpha, epsilon):
    """In the layout of the paper, where rows are outputs: `diag(rho) W`, cut off and unweighted."""
    weight = kernel.T
    ratio = (forget / (epsilon + retain / retain.mean())).T
    rho = np.sqrt(ratio.sum(axis=1))
    rho = rho / rho.mean()
    u, s, v = np.linalg.svd(rho[:, None] * weight)
    best = u[:, :rank] * s[:rank] @ v[:rank]
    scaled_update = best / (rho + 1e-5)[:, None]
    return rho, scaled_update.T, np.sqrt(s[:rank] * rank / alpha)


@pytest.mark.parametrize("alpha", [None, 6.0])
def test_the_split_is_that_of_the_paper_and_the_layer_stays_the_same(alpha):
    layer = fresh()
    before, frozen, a, b, rho = split(layer, *importances(), rank=2, alpha=alpha, epsilon=0.1)
    scale = (alpha or 2.0) / 2
    expected, update, norms = reference(before, *importances(), 2, alpha or 2.0, 0.1)
    np.testing.assert_allclose(rho, expected, rtol=1e-12)
    np.testing.assert_allclose(scale * a @ b, update, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(a, axis=0), norms, rtol=1e-5)
    np.testing.assert_allclose(frozen + scale * a @ b, before, atol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.kernel), before, atol=1e-5)
    assert [v.name for v in layer.trainable_variables] == [
        "bias", "lora_kernel_a", "lora_kernel_b",
    ]  # fmt: skip


def test_equal_importances_give_the_plain_split():
    before, _, a, b, rho = split(fresh(), np.ones((6, 4)), np.ones((6, 4)), rank=2)
    np.testing.assert_allclose(rho, np.ones(4))
    u, s, v = np.linalg.svd(before)
    np.testing.assert_allclose(a @ b, u[:, :2] * s[:2] @ v[:2], atol=1e-4)


def test_outputs_that_do_not_matter_are_left_alone():
    forget, retain = importances()
    forget[:, 1] = 0.0
    before, frozen, a, b, rho = split(fresh(), forget, retain, rank=3)
    assert rho[1] == 0.0
    np.testing.assert_allclose(b[:, 1], np.zeros(3), atol=1e-8)
    np.testing.assert_array_equal(frozen[:, 1], before[:, 1])


def test_other_layers_with_kernels():
    conv = models.Conv2D(3, 2, name="conv")
    conv.build((None, 5, 5, 2))
    einsum = keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3), name="einsum")
    einsum.build((None, 4, 5))
    for layer in (conv, einsum):
        kernel = np.random.default_rng(0).normal(size=layer.kernel.shape).astype("float32")
        layer.kernel.assign(kernel)
        forget, retain = np.random.default_rng(1).uniform(size=(2, *kernel.shape))
        importance_lora_init(layer, forget, retain, rank=2)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.kernel), kernel, atol=1e-5)


def test_bad_arguments_leave_the_layer_alone():
    layer, (forget, retain) = fresh(), importances()
    cases = [
        ({"rank": 5}, "rank"),
        ({"rank": 0}, "rank"),
        ({"alpha": 0.0}, "alpha"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"forget": forget[:2]}, "forget"),
        ({"forget": 0.0 * forget}, "forget"),
        ({"retain": -retain}, "retain"),
    ]
    for change, name in cases:
        with pytest.raises(ValueError, match=f"`{name}`"):
            importance_lora_init(layer, **{"forget": forget, "retain": retain, "rank": 2, **change})
    assert not layer.lora_enabled
    layer.enable_lora(2)
    with pytest.raises(ValueError, match="has LoRA already"):
        importance_lora_init(layer, forget, retain)
    with pytest.raises(ValueError, match="is not built"):
        importance_lora_init(keras.layers.Dense(4), forget, retain)
    with pytest.raises(TypeError, match="layer"):
        importance_lora_init("dense", forget, retain)
