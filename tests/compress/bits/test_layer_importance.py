"""Every score against NumPy; the choice of layers; that nothing changes."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.bits._rounding import rounded
from tests.compress.bits.networks import (
    DATA,
    LOSS,
    X,
    derivative,
    kernels,
    losses,
    network,
    reference_rounding,
    weights_of,
    with_kernel,
)

BITS = (2, 3)


def reference(method, bits, weights=None):
    """Scores of the network, each from its formula."""
    weights = weights_of(network()) if weights is None else weights
    found = {}
    for path, index in kernels(weights).items():
        kernel = weights[index]
        change = 0.0 if bits is None else reference_rounding(kernel, bits) - kernel

        def per_sample(value, index=index):
            return losses(with_kernel(weights, index, value))

        if method == "measured":
            found[path] = np.mean(per_sample(kernel + change)) - np.mean(losses(weights))
        elif method == "fisher":
            squares = np.mean(derivative(per_sample, kernel) ** 2, axis=0)
            found[path] = np.sum(squares * change.ravel() ** 2)
        elif method == "gradient_x_weight":
            gradient = np.mean(derivative(per_sample, kernel), axis=0)
            found[path] = np.sum(np.abs(gradient * kernel.ravel()))
        elif method == "hessian":

            def gradient(value, per_sample=per_sample):
                return derivative(lambda at: np.mean(per_sample(at)), value, 1e-4)

            trace = np.trace(derivative(gradient, kernel, 1e-4))
            found[path] = max(trace, 0.0) / kernel.size * np.sum(change**2)
        elif method == "relative_mse":
            found[path] = np.sum(change**2) / np.sum(kernel**2)
        else:
            z = (kernel - kernel.mean()) / kernel.std()
            found[path] = -np.mean(z > 1.0)
    return found


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.mark.parametrize("method", ["measured", "fisher", "relative_mse"])
def test_methods_that_round(model, method):
    data = None if method == "relative_mse" else DATA
    before = model.get_weights()
    found = kc.bits.layer_importance(model, data, method=method, bits=BITS, batch_size=3)
    assert [list(found), *map(list, found.values())] == [["first", "middle", "last"], *[[2, 3]] * 3]
    for bits in BITS:
        for path, expected in reference(method, bits).items():
            np.testing.assert_allclose(found[path][bits], expected, rtol=2e-4, atol=2e-7)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_one_width_gives_numbers_and_four_is_the_default(model):
    found = kc.bits.layer_importance(model, method="relative_mse")
    assert found == kc.bits.layer_importance(model, method="relative_mse", bits=4)
    expected = reference("relative_mse", 4)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-6)


def test_gradient_times_weight_and_z_scores(model):
    found = kc.bits.layer_importance(model, DATA, method="gradient_x_weight", batch_size=7)
    expected = reference("gradient_x_weight", None)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-4)
    assert kc.bits.layer_importance(model, method="zd") == reference("zd", None)


def test_the_trace_of_the_hessian(model):
    found = kc.bits.layer_importance(
        model, DATA, method="hessian", bits=2, num_probes=200, batch_size=7
    )
    expected = reference("hessian", 2)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=0.1, atol=2e-3)
    same = kc.bits.layer_importance(model, DATA, method="hessian", num_probes=1, seed=3)
    assert same == kc.bits.layer_importance(model, DATA, method="hessian", num_probes=1, seed=3)
    assert same != kc.bits.layer_importance(model, DATA, method="hessian", num_probes=1, seed=4)


def test_one_probe_is_exact_where_the_hessian_is_diagonal():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="dense")])
    kernel = np.array([[0.3, -0.8], [0.55, 0.1], [-0.2, 0.9]], "float32")
    model.layers[0].kernel.assign(kernel)
    x = np.diag([1.0, 2.0, 3.0]).astype("float32")
    found = kc.bits.layer_importance(
        model, (x, x[:, :2]), method="hessian", loss="mse", bits=(2, 3), num_probes=1
    )
    # The squared error of two outputs, over three samples: second derivatives `2 x^2 / 2 / 3`.
    curvature = np.mean(np.diag(x) ** 2) / 3.0
    for bits in (2, 3):
        error = np.sum((reference_rounding(kernel.astype("float64"), bits) - kernel) ** 2)
        np.testing.assert_allclose(found["dense"][bits], curvature * error, rtol=1e-5)


def test_input_and_output_of_layers_and_of_blocks():
    entry = keras.Input((4,))
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, name="up"), layers.Dense(4, name="down")], name="block"
    )
    x = layers.Add(name="add")([entry, layers.Dense(4, name="skip")(entry)])
    model = keras.Model(entry, layers.Dense(3, name="head")(inner(x)))
    x = np.cos(np.arange(20.0)).reshape(5, 4).astype("float32")
    found = kc.bits.layer_importance(model, x, method="lim", blocks=[("skip", "add"), "block"])
    assert list(found) == ["skip", "block/up", "block/down"]
    assert found["block/up"] == found["block/down"]
    blocks = kc.structured.block_importance(model, x, blocks=[("skip", "add"), "block"])
    np.testing.assert_allclose([found["skip"], found["block/up"]], np.array([*blocks.values()]) - 1)
    alone = kc.bits.layer_importance(model, x, method="lim", layers="skip")
    kernel, bias = (np.asarray(w, "float64") for w in model.get_layer("skip").get_weights())
    after = x @ kernel + bias
    cosines = np.sum(x * after, 1) / np.linalg.norm(x, axis=1) / np.linalg.norm(after, axis=1)
    np.testing.assert_allclose(alone["skip"], -np.mean(cosines), rtol=1e-4)
    with pytest.raises(ValueError, match="one shape"):
        kc.bits.layer_importance(model, x, method="lim")
    with pytest.raises(ValueError, match="two blocks"):
        kc.bits.layer_importance(model, x, method="lim", blocks=["block", ("up", "down")])


def test_batches_that_can_be_read_only_once_and_weights(model):
    whole = kc.bits.layer_importance(model, DATA, bits=2)
    batches = ((X[i : i + 3], DATA[1][i : i + 3]) for i in range(0, 7, 3))
    np.testing.assert_allclose(
        list(kc.bits.layer_importance(model, batches, bits=2).values()),
        list(whole.values()),
        rtol=1e-5,
    )
    weighted = kc.bits.layer_importance(model, (*DATA, np.full(7, 3.0, "float32")), bits=2)
    np.testing.assert_allclose(weighted["last"], 3.0 * whole["last"], rtol=1e-5)


def test_a_container_counts_as_one_and_what_cannot_be_quantized_not():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, name="up"), layers.Dense(4, name="down")], name="block"
    )
    norm = layers.LayerNormalization(name="norm")
    model = keras.Sequential([keras.Input((4,)), norm, inner, layers.Dense(3, name="head")])
    found = kc.bits.layer_importance(model, method="zd")
    assert list(found) == ["block/up", "block/down", "head"]
    found = kc.bits.layer_importance(model, method="zd", layers=["head", "block"])
    kernels = [model.get_layer("block").get_layer(name).kernel for name in ("up", "down")]
    pooled = np.concatenate([keras.ops.convert_to_numpy(kernel).ravel() for kernel in kernels])
    assert list(found) == ["block", "head"]
    assert found["block"] == -kc.bits.z_score_share(pooled)
    with pytest.raises(ValueError, match="no weight matrix"):
        kc.bits.layer_importance(model, method="zd", layers="norm")


def test_rounding_of_channels_zeros_and_one_bit():
    kernel = np.array([[0.0, -0.87, 0.2], [0.0, 0.5, 1.0], [0.0, 0.1, 0.7]])
    for bits in (1, 3, 8):
        np.testing.assert_allclose(
            rounded(kernel, bits, (1,)), reference_rounding(kernel, bits), rtol=1e-6
        )
    whole = rounded(kernel, 2, None)
    expected = reference_rounding(kernel.reshape(-1, 1), 2).reshape(3, 3)
    np.testing.assert_allclose(whole, expected, rtol=1e-6)


def test_arguments(model):
    wrong = kc.quantize_aware(model, weights=4)
    for given, options, error, name in (
        (None, {}, ValueError, "data"),
        (DATA, {"method": "zd"}, ValueError, "data"),
        (None, {"method": "zd", "bits": 3}, ValueError, "bits"),
        (None, {"method": "zd", "loss": LOSS}, ValueError, "loss"),
        (DATA, {"blocks": ["first"]}, ValueError, "blocks"),
        (DATA, {"bits": (2, 2)}, ValueError, "bits"),
        (DATA, {"bits": (9,)}, ValueError, "bits"),
        (DATA, {"bits": 2.0}, TypeError, "bits"),
    ):
        with pytest.raises(error, match=name):
            kc.bits.layer_importance(model, given, **options)
    with pytest.raises(ValueError, match="quantization-aware already"):
        kc.bits.layer_importance(wrong, method="zd")
    broken = network()
    broken.layers[0].kernel.assign(np.full((3, 4), np.nan, "float32"))
    with pytest.raises(ValueError, match="first/kernel.*not finite"):
        kc.bits.layer_importance(broken, method="relative_mse")
