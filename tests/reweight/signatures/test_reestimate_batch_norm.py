import keras
import numpy as np
import pytest

from keras_reweight.signatures import Patch, SignaturePatcher, reestimate_batch_norm, weight_digest
from keras_reweight.signatures.live_weights import read_variable
from tests import parity_record
from tests.reweight.signatures import models


def convolve(x, layer):
    kernel, bias = (read_variable(v).astype("float64") for v in (layer.kernel, layer.bias))
    size = x.shape[1] - kernel.shape[0] + 1
    total = np.zeros((*x.shape[:1], size, size, kernel.shape[-1])) + bias
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            total += x[:, i : i + size, j : j + size] @ kernel[i, j]
    return total


def normalize(x, layer):
    gamma, beta = (read_variable(v).astype("float64") for v in (layer.gamma, layer.beta))
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def reference_statistics(model, x, batch_size):
    """Mean and variance of all inputs of both layers; batches normalize by themselves."""
    early, late = (model.get_layer(name) for name in ("early", "late"))
    first, second = [], []
    for start in range(0, len(x), batch_size):
        first.append(convolve(x[start : start + batch_size].astype("float64"), early))
        hidden = np.maximum(normalize(first[-1], model.get_layer("early_norm")), 0.0)
        second.append(convolve(hidden, late))
    return [
        (np.concatenate(seen).mean((0, 1, 2)), np.concatenate(seen).var((0, 1, 2)))
        for seen in (first, second)
    ]


@pytest.mark.parametrize("batch_size", (3, 100))
def test_equals_the_reference(batch_size):
    model, x = models.functional(), models.images(2, 8)
    before = weight_digest(model)
    patch = reestimate_batch_norm(model, x, batch_size=batch_size)
    assert weight_digest(model) == before
    assert patch.kind == "batch_norm" and patch.name == "batch_norm"
    with patch.patched(model):
        for name, (mean, variance) in zip(
            ("early_norm", "late_norm"), reference_statistics(model, x, batch_size), strict=True
        ):
            layer = model.get_layer(name)
            np.testing.assert_allclose(read_variable(layer.moving_mean), mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(read_variable(layer.moving_variance), variance, rtol=1e-4)
            parity_record.record(
                f"reestimate_batch_norm/{batch_size}/{name}", read_variable(layer.moving_mean)
            )
    assert weight_digest(model) == before


def normalized(**options):
    layers = [
        keras.layers.Dropout(0.9),
        keras.layers.GaussianNoise(1.0),
        keras.layers.BatchNormalization(name="norm", **options),
        keras.layers.Dense(1, kernel_initializer="zeros"),
    ]
    return keras.Sequential([keras.Input((5, 3)), *layers])


def estimated(model, data, **options):
    layer = model.get_layer("norm")
    patch = reestimate_batch_norm(model, data, **options)
    with patch.patched(model):
        return read_variable(layer.moving_mean), read_variable(layer.moving_variance)


def test_dropout_noise_and_batches_of_different_size_do_not_disturb():
    x = np.random.default_rng(0).normal(3.0, 2.0, (10, 5, 3)).astype("float32")
    x[:2] += 100.0
    for batch_size in (3, 10):
        mean, variance = estimated(normalized(), x, batch_size=batch_size)
        np.testing.assert_allclose(mean, x.mean((0, 1), dtype="float64"), rtol=1e-6)
        np.testing.assert_allclose(variance, x.var((0, 1), dtype="float64"), rtol=1e-6)


def test_all_ways_to_give_data():
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return x[2 * index : 2 * index + 2], np.ones(2)

    expected = estimated(normalized(), x)
    batches = [x[:2], x[2:4], x[4:]]
    for data in (
        keras.ops.convert_to_tensor(x),
        Data(),
        batches,
        iter(batches),
        [(batch, np.ones(2)) for batch in batches],
    ):
        np.testing.assert_allclose(estimated(normalized(), data), expected, rtol=1e-6)


def test_models_with_several_inputs():
    inputs = {name: keras.Input((3,), name=name) for name in ("a", "b")}
    total = keras.layers.BatchNormalization(name="norm")(inputs["a"] + inputs["b"])
    model = keras.Model(inputs, total)
    rng = np.random.default_rng(0)
    data = {name: rng.normal(size=(7, 3)).astype("float32") for name in inputs}
    mean, _ = estimated(model, data, batch_size=2)
    np.testing.assert_allclose(mean, (data["a"] + data["b"]).mean(0), rtol=1e-5, atol=1e-6)


def test_masked_steps_do_not_count():
    layers = [keras.layers.Masking(), keras.layers.BatchNormalization(name="norm")]
    model = keras.Sequential([keras.Input((4, 2)), *layers])
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    x[0, 2:], x[1, 1:] = 0.0, 0.0
    mean, variance = estimated(model, x)
    rows = x[np.abs(x).sum(-1) > 0]
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, rows.var(0), rtol=1e-5)


def test_another_axis_and_a_frozen_layer():
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
    mean, _ = estimated(normalized(axis=1), x)
    np.testing.assert_allclose(mean, x.mean((0, 2)), rtol=1e-4, atol=1e-6)
    frozen = normalized()
    frozen.get_layer("norm").trainable = False
    np.testing.assert_allclose(estimated(frozen, x)[0], x.mean((0, 1)), rtol=1e-4, atol=1e-6)


def test_blends_and_comes_off_with_the_signature():
    model, x = models.functional(), models.images(2, 8)
    layer, before = model.get_layer("early_norm"), weight_digest(model)
    old = read_variable(layer.moving_mean).astype("float64")
    patcher = SignaturePatcher(model)
    kernel = model.get_layer("early").kernel
    patcher.apply(Patch.from_deltas(model, [(kernel, np.ones(kernel.shape))], name="noise"))
    patch = reestimate_batch_norm(model, x)
    patcher.apply(patch, alpha=0.25)
    new = reference_statistics(model, x, 8)[0][0]
    np.testing.assert_allclose(
        read_variable(layer.moving_mean), 0.75 * old + 0.25 * new, rtol=1e-4, atol=1e-5
    )
    patcher.revert()
    assert weight_digest(model) == before


def test_chosen_layers():
    patch = reestimate_batch_norm(
        models.functional(), models.images(), layers="late_norm", name="l"
    )
    assert patch.paths == ("late_norm/moving_mean", "late_norm/moving_variance")
    assert patch.name == "l"


def test_the_data_and_the_weights_matter():
    model = models.functional()
    first = reestimate_batch_norm(model, models.images(0)).delta(4)
    assert np.abs(reestimate_batch_norm(model, models.images(1)).delta(4) - first).max() > 1e-3
    model.weights[0].assign(model.weights[0] * 2.0)
    assert np.abs(reestimate_batch_norm(model, models.images(0)).delta(4) - first).max() > 1e-3


def test_a_failing_forward_pass_leaves_the_model():
    model = models.functional()
    before, batches = weight_digest(model), [models.images(), np.ones((2, 2), "float32")]
    with pytest.raises(Exception):  # noqa: B017 - each backend has its own error
        reestimate_batch_norm(model, batches)
    assert weight_digest(model) == before
    assert "call" not in vars(model.get_layer("early_norm"))
    model.predict(models.images(), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    (
        ({"model": models.dense}, TypeError, "`model`"),
        ({"model": models.dense()}, ValueError, "`layers`=None selects no layer"),
        ({"data": models.images()[:0]}, ValueError, "`data`: layer 'early_norm' saw no samples"),
        ({"data": []}, ValueError, "`data`: layer 'early_norm' saw no samples"),
        ({"data": 3}, TypeError, "`data` must be arrays or batches, got 3"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
        ({"layers": "early"}, ValueError, "no layer named 'early'"),
        ({"name": ""}, ValueError, "`name`"),
    ),
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        reestimate_batch_norm(
            **{"model": models.functional(), "data": models.images(), **arguments}
        )
