"""AdversarialStyle: what the three branches give, the reversed gradient, and its state."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing import tasks
from keras_reweight.core.testing.compare import assert_close
from keras_reweight.layers.adversarial_style import restyle
from tests.reweight.meta.models import steps

_DRAWS = np.random.default_rng(0)
X = (_DRAWS.normal(size=(5, 4, 3, 2)) * [1.0, 3.0] + [0.5, -2.0]).astype("float32")
FACTORS = _DRAWS.normal(size=X.shape).astype("float32")
LEARNED, BATCH = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def reference(inputs):
    return inputs


def statistics(x):
    """Mean and deviation of channels, and the spread of both over the batch."""
    x = x.astype("float64")
    mean = x.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt(x.var(axis=(1, 2), ddof=1, keepdims=True) + 1e-6)
    spread = [np.sqrt(v.var(axis=0, ddof=1, keepdims=True) + 1e-6) for v in (mean, deviation)]
    return mean, deviation, spread


def noise_of(output, spread):
    """The normal numbers, from what the layer gave for `X`."""
    mean, deviation, _ = statistics(X)
    output = output.astype("float64")
    found = output.mean(axis=(1, 2), keepdims=True)
    normalized = (X - mean) / deviation
    slope = (output * normalized).sum(axis=(1, 2), keepdims=True)
    slope = slope / (normalized**2).sum(axis=(1, 2), keepdims=True)
    return (found - mean) / spread[0], (slope - deviation) / spread[1]


def styled(probabilities, seed=3, x=X, **options):
    layer = kr.layers.AdversarialStyle(probabilities=probabilities, seed=seed, **options)
    return ops.convert_to_numpy(layer(x, training=True)), layer


def restyled(x, statistics, spread, noise):
    parts = [[ops.convert_to_tensor(part, "float32") for part in p] for p in (statistics, spread)]
    noise = ops.convert_to_tensor(np.stack(noise), "float32")
    return ops.convert_to_numpy(restyle(ops.convert_to_tensor(x), *parts, noise))


def test_without_noise_nothing_changes_and_with_it_the_formula_holds():
    mean, deviation, spread = statistics(X)
    zeros = [np.zeros_like(mean)] * 2
    assert_close(restyled(X, (mean, deviation), spread, zeros), X, "no noise", of_largest=1e-6)
    noise = [_DRAWS.normal(size=mean.shape) for _ in range(2)]
    expected = (X - mean) / deviation * (deviation + noise[1] * spread[1])
    expected = expected + mean + noise[0] * spread[0]
    found = restyled(X, (mean, deviation), spread, noise)
    assert_close(found, expected, "noise", of_largest=1e-6)


def test_the_learned_spread_begins_as_that_of_the_batch():
    learned, layer = styled(LEARNED)
    batch, other = styled(BATCH)
    np.testing.assert_array_equal(learned, batch)
    assert np.abs(learned - X).max() > 0.1
    _, _, spread = statistics(X)
    assert_close(ops.convert_to_numpy(layer.mean_start), spread[0], "a", relative=1e-5)
    assert_close(ops.convert_to_numpy(layer.deviation_start), spread[1], "b", relative=1e-5)
    assert float(ops.convert_to_numpy(layer.started)) == 1.0
    assert float(ops.convert_to_numpy(other.started)) == 0.0
    # Another batch is disturbed with the spread of the first one.
    ops.convert_to_numpy(layer(3.0 * X, training=True))
    assert_close(ops.convert_to_numpy(layer.mean_start), spread[0], "a", relative=1e-5)


def test_the_noise_is_standard_normal():
    x = np.tile(X, (400, 1, 1, 1))
    output, _ = styled(BATCH, x=x)
    mean, _, _ = statistics(x)
    found = (output.mean(axis=(1, 2), keepdims=True) - mean).reshape(-1, 2)
    spread = statistics(x)[2][0].reshape(2)
    np.testing.assert_allclose(found.mean(axis=0) / spread, 0.0, atol=0.08)
    np.testing.assert_allclose(found.std(axis=0) / spread, 1.0, rtol=0.05)


def test_a_step_of_the_optimizer_raises_the_loss_in_the_spread():
    output, _ = styled(LEARNED)
    mean, deviation, spread = statistics(X)
    noise = noise_of(output, spread)
    layer = kr.layers.AdversarialStyle(10.0, probabilities=LEARNED, seed=3)
    model = keras.Sequential([keras.Input(X.shape[1:]), layer])
    model.compile(keras.optimizers.SGD(0.1), products, **steps())
    model.fit(X, FACTORS, batch_size=5, shuffle=False, verbose=0)
    share = FACTORS.astype("float64") / FACTORS.size
    slopes = (
        (share * noise[0]).sum(axis=(0, 1, 2)),
        (share * (X - mean) / deviation * noise[1]).sum(axis=(0, 1, 2)),
    )
    changes = (layer.mean_change, layer.deviation_change)
    for change, slope in zip(changes, slopes, strict=True):
        found = ops.convert_to_numpy(change).reshape(2)
        assert_close(found, 0.1 * 10.0 * slope, "the change", relative=1e-3)
    # What the step assigned is there after the compiled step, too.
    assert_close(ops.convert_to_numpy(layer.mean_start), spread[0], "the start", relative=1e-5)
    assert float(ops.convert_to_numpy(layer.started)) == 1.0
    kept = keras.Sequential([keras.Input(X.shape[1:]), layer])
    loaded = tasks.through_keras_file(kept)
    for value, expected in zip(loaded.weights, kept.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), ops.convert_to_numpy(expected))


def products(wanted, y):
    return wanted * y


def test_branches_are_drawn():
    layer = kr.layers.AdversarialStyle(probabilities=(0.5, 0.0, 0.5), seed=0)
    kept = [np.array_equal(ops.convert_to_numpy(layer(X, training=True)), X) for _ in range(12)]
    assert 1 <= sum(kept) <= 11
    np.testing.assert_array_equal(styled((1.0, 0.0, 0.0))[0], X)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(X)), X)


def test_channels_may_come_first():
    last, _ = styled(LEARNED)
    first, layer = styled(LEARNED, x=np.moveaxis(X, -1, 1).copy(), data_format="channels_first")
    assert layer.mean_change.shape == (1, 2, 1, 1)
    mean, deviation, spread = statistics(X)
    # Channel and sample draw in another order; the spread is that of the channel.
    assert_close(
        ops.convert_to_numpy(layer.mean_start).reshape(2), spread[0].reshape(2), "a", relative=1e-5
    )
    assert first.shape == (5, 2, 4, 3) and np.isfinite(first).all() and np.isfinite(last).all()


def test_half_precision_keeps_statistics_and_spread_whole():
    with tasks.dtype_policy("mixed_bfloat16"):
        layer = kr.layers.AdversarialStyle(probabilities=LEARNED, seed=3)
        output = layer(ops.cast(X, "bfloat16"), training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert {variable.dtype for variable in layer.trainable_variables} == {"float32"}
    whole, _ = styled(LEARNED)
    found = ops.convert_to_numpy(ops.cast(output, "float32"))
    assert_close(found, whole, "the output", of_largest=0.03)


def test_one_sample_of_one_position_stays_finite():
    output, _ = styled(BATCH, x=np.ones((1, 1, 1, 2), "float32"))
    np.testing.assert_allclose(output, 1.0, atol=0.01)


def test_bad_arguments():
    with pytest.raises(ValueError, match="sum to 1"):
        kr.layers.AdversarialStyle(probabilities=(0.5, 0.2, 0.2))
    with pytest.raises(ValueError, match="positions"):
        kr.layers.AdversarialStyle()(np.ones((2, 3), "float32"))
