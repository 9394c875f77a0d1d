"""Coefficients in NumPy, and what they do to the gradients of encoders and head."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta.models import loss, probabilities, steps

UNITS, BATCH, RATE = 3, 6, 0.1
_DRAWS = np.random.default_rng(4)
SIZES = (2, 4, 3)
X = [_DRAWS.normal(size=(BATCH, size)).astype("float32") for size in SIZES]
Y = np.array([0, 2, 1, 1, 0, 2])
ENCODERS = [0.7 * _DRAWS.normal(size=(size, size)) for size in SIZES]
KERNELS = [(1.0 + m) * _DRAWS.normal(size=(size, UNITS)) for m, size in enumerate(SIZES)]
BIASES = [_DRAWS.normal(size=UNITS) for _ in SIZES]


def reference_coefficients(logits, temperature=8.0, clip=0.3):
    """`k` from the logits of each modality alone."""
    d = np.array([np.abs(one).mean(axis=0).sum() for one in logits])
    p = [probabilities(one, np.eye(UNITS), 0.0) for one in logits]
    h = np.array([np.mean(-(one * np.log(one + 1e-16)).sum(axis=1)) for one in p])
    q = 1.0 / np.maximum(h / h.sum(), clip)
    k = np.exp(temperature * q / q.sum() * (1.0 - d / d.sum()))
    return k / k.sum()


def single_logits(mode, count=2):
    features = [X[m].astype("float64") @ ENCODERS[m] for m in range(count)]
    return [f @ KERNELS[m] + BIASES[m if mode == "sum" else 0] for m, f in enumerate(features)]


def build(count=2, **options):
    """Linear encoders without bias before the fusion; outputs `all`, `0`, `1`, ..."""
    inputs = [keras.Input((size,)) for size in SIZES[:count]]
    encoders = [keras.layers.Dense(size, use_bias=False) for size in SIZES[:count]]
    fusion = kr.layers.ARLFusion(UNITS, **options)
    outputs = fusion([encoder(one) for encoder, one in zip(encoders, inputs, strict=True)])
    model = keras.Model(inputs, dict(zip(names(count), outputs, strict=True)))
    for encoder, value in zip(encoders, ENCODERS, strict=False):
        encoder.kernel.assign(value)
    joined = [np.concatenate(KERNELS[:count])]
    for kernel, value in zip(
        fusion.kernels, KERNELS if len(fusion.kernels) > 1 else joined, strict=False
    ):
        kernel.assign(value)
    for bias, value in zip(fusion.biases, BIASES, strict=False):
        bias.assign(value)
    return model, encoders, fusion


def names(count=2):
    return ["all", *map(str, range(count))]


def trained(count=2, epochs=1, compiled=False, **options):
    """Encoder kernels, head weights and coefficients after steps of gradient descent."""
    model, encoders, fusion = build(count, **options)
    weights = {name: 1.0 if name == "all" else 4.0 for name in names(count)}
    losses = {name: loss() for name in names(count)}
    model.compile(keras.optimizers.SGD(RATE), losses, loss_weights=weights, **steps(compiled))
    targets = dict.fromkeys(names(count), Y)
    model.fit(X[:count], targets, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)
    found = [ops.convert_to_numpy(encoder.kernel) for encoder in encoders]
    head = [ops.convert_to_numpy(one) for one in [*fusion.kernels, *fusion.biases]]
    return found, head, ops.convert_to_numpy(fusion.coefficients)


def reference_step(mode, scales):
    """Encoders and head after one step, the gradients of the encoders times `scales`."""
    single = single_logits(mode)
    both = sum(single) - (0.0 if mode == "sum" else BIASES[0])
    slopes = [
        (probabilities(one, np.eye(UNITS), 0.0) - np.eye(UNITS)[Y]) / BATCH
        for one in (both, *single)
    ]
    encoders, kernels, biases = [], [], []
    for m, scale in enumerate(scales):
        x = X[m].astype("float64")
        slope = slopes[0] + 4.0 * slopes[1 + m]
        encoders.append(ENCODERS[m] - RATE * scale * x.T @ slope @ KERNELS[m].T)
        kernels.append(KERNELS[m] - RATE * (x @ ENCODERS[m]).T @ slope)
        biases.append(BIASES[m] - RATE * slope.sum(axis=0))
    if mode == "sum":
        return encoders, [*kernels, *biases]
    bias = BIASES[0] - RATE * (slopes[0] + 4.0 * (slopes[1] + slopes[2])).sum(axis=0)
    return encoders, [np.concatenate(kernels), bias]


def outcome(layer):
    """Of the catalog row: logits and coefficients of a call in training mode."""
    features = [ops.convert_to_tensor(one) for one in X]
    layer.build([one.shape for one in X])
    for kernel, value in zip(layer.kernels, KERNELS, strict=True):
        kernel.assign(value)
    return [*layer(features, training=True), layer.coefficients]


def reference_outcome(temperature, clip):
    single = [x.astype("float64") @ kernel for x, kernel in zip(X, KERNELS, strict=True)]
    return [sum(single), *single, reference_coefficients(single, temperature, clip)]


@pytest.mark.parametrize("mode", ["concat", "sum"])
def test_encoders_get_their_gradient_times_one_plus_k(mode):
    encoders, head, found = trained(mode=mode, compiled=mode == "sum", temperature=5.0)
    k = reference_coefficients(single_logits(mode), 5.0)
    np.testing.assert_allclose(found, k, rtol=1e-5)
    assert abs(k[0] - k[1]) > 0.1
    expected = reference_step(mode, 1.0 + k)
    for value, wanted in zip([*encoders, *head], [*expected[0], *expected[1]], strict=True):
        assert_close(value, wanted, "a weight after one step")


def test_before_the_start_it_is_plain_training_with_the_single_losses():
    never, late = trained(start_step=None), trained(start_step=1)
    for value, expected in zip([*late[0], *late[1]], [*never[0], *never[1]], strict=True):
        np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(late[2], 0.0)
    plain = reference_step("concat", [1.0, 1.0])
    for value, wanted in zip([*never[0], *never[1]], [*plain[0], *plain[1]], strict=True):
        assert_close(value, wanted, "a weight after one step")


def test_equal_modalities_share_equally_and_all_is_finite():
    layer = kr.layers.ARLFusion(UNITS, mode="sum")
    layer.build([(None, 2), (None, 2)])
    for value in (X[0], np.zeros_like(X[0]), 1e4 * X[0]):
        layer.kernels[1].assign(layer.kernels[0])
        outputs = layer([ops.convert_to_tensor(value)] * 2, training=True)
        np.testing.assert_allclose(ops.convert_to_numpy(layer.coefficients), 0.5, rtol=1e-6)
        assert all(np.isfinite(ops.convert_to_numpy(one)).all() for one in outputs)


def test_it_starts_when_it_is_told_to():
    layer = kr.layers.ARLFusion(UNITS, start_step=1)
    layer.build([one.shape for one in X])
    seen = []
    for training in (True, False, True):
        layer([ops.convert_to_tensor(one) for one in X], training=training)
        seen.append(float(ops.sum(layer.coefficients)))
    np.testing.assert_allclose(seen, [0.0, 0.0, 1.0], rtol=1e-6)


def test_inference_leaves_the_state_and_files_keep_it(tmp_path):
    model, _, fusion = build(temperature=5.0)
    fusion.coefficients.assign([0.3, 0.7])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = loaded(X[:2], training=False)
    for key, value in model(X[:2], training=False).items():
        np.testing.assert_allclose(ops.convert_to_numpy(found[key]), ops.convert_to_numpy(value))
    kept = ops.convert_to_numpy(loaded.layers[-1].coefficients)
    np.testing.assert_allclose(kept, [0.3, 0.7])


def test_inputs_that_are_refused():
    for shapes in ([(None, 2)], (None, 2), [(None, 2), (None, 3, 4)]):
        with pytest.raises(ValueError, match="`inputs` must be a list"):
            kr.layers.ARLFusion(UNITS).build(shapes)
