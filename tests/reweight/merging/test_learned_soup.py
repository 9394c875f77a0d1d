import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.signatures.live_weights import read_variable
from tests.reweight.merging.ingredients import arrays_of, tuned
from tests.reweight.signatures import models


def reference_learned_soup(kernels, x, y, *, epochs, rate, batch, scale):
    """A linear layer under the mean squared error, gradients by hand, Adam of the paper."""
    logits, factor, moments, steps = np.zeros(len(kernels)), 1.0, {}, 0

    def adam(key, value, slope):
        first, second = moments.get(key, (0.0, 0.0))
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        moments[key] = (first, second)
        correction = np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
        return value - rate * correction * first / (
            np.sqrt(second) + 1e-8 * np.sqrt(1 - 0.999**steps)
        )

    for _ in range(epochs):
        for begin in range(0, len(x), batch):
            steps += 1
            rows, wanted = x[begin : begin + batch], y[begin : begin + batch]
            share = np.exp(logits) / np.exp(logits).sum()
            kernel = sum(s * k for s, k in zip(share, kernels, strict=True))
            outputs = rows @ kernel
            residual = 2 * (factor * outputs - wanted) / wanted.size
            slope = factor * rows.T @ residual
            products = np.array([(slope * k).sum() for k in kernels])
            if scale:
                factor = adam("factor", factor, (residual * outputs).sum())
            logits = adam("logits", logits, share * (products - (share * products).sum()))
    share = np.exp(logits) / np.exp(logits).sum()
    return sum(s * k for s, k in zip(share, kernels, strict=True)), share, factor


def line(count=2, seed=0):
    """A layer without bias, kernels to mix, and data."""
    rng = np.random.default_rng(seed)
    dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((3,)), dense])
    kernels = [rng.normal(size=(3, 2)).astype("float32") for _ in range(count)]
    items = []
    for kernel in kernels:
        items.append(kr.WeightSnapshot(model))
        items[-1].arrays = (kernel,)
    x = rng.normal(size=(12, 3)).astype("float32")
    y = (x @ (0.2 * kernels[0] + 0.8 * kernels[1])).astype("float32")
    return model, kernels, items, x, y


@pytest.mark.parametrize("scale", (True, False))
def test_formula(scale):
    model, kernels, items, x, y = line(3)
    before = kr.weight_digest(model)
    soup = kr.merging.learned_soup(
        model,
        items,
        data=(x, y),
        loss="mse",
        epochs=3,
        learning_rate=0.1,
        batch_size=5,
        scale_outputs=scale,
    )
    assert kr.weight_digest(model) == before
    kernel, share, factor = reference_learned_soup(
        [k.astype("float64") for k in kernels],
        x.astype("float64"),
        y.astype("float64"),
        epochs=3,
        rate=0.1,
        batch=5,
        scale=scale,
    )
    np.testing.assert_allclose(soup.coefficients[soup.paths[0]], share, rtol=1e-4)
    np.testing.assert_allclose(soup.output_scale, factor, rtol=1e-4)
    np.testing.assert_allclose(soup.delta(0), kernel, rtol=1e-4, atol=1e-5)
    assert len(soup.losses) == 3 and soup.losses[-1] < soup.losses[0]


def test_every_weight_has_its_coefficients_and_statistics_are_mixed():
    model = models.regularized()
    items = tuned(model, 3, scale=0.5)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3)).astype("float32"), np.arange(16) % 2
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    before = kr.weight_digest(model)
    soup = kr.merging.learned_soup(model, items, data=[(x, y)], loss=loss, epochs=4)
    assert kr.weight_digest(model) == before
    assert set(soup.coefficients) == set(soup.paths) and "norm/moving_mean" in soup.paths
    stacked = np.stack(list(soup.coefficients.values()))
    np.testing.assert_allclose(stacked.sum(1), 1.0)
    assert (stacked > 0).all() and (stacked.std(0) > 1e-6).all()
    start = arrays_of(model)
    with soup.patched(model):
        for place, (path, share) in enumerate(soup.coefficients.items()):
            wanted = sum(s * arrays_of(i)[place] for s, i in zip(share, items, strict=True))
            found = read_variable(model.weights[place])
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, err_msg=path)
            assert start[place].shape == found.shape
    assert soup.losses[-1] < soup.losses[0]


def test_weights_without_axes():
    model = models.subclassed()
    x, y = models.images(), np.zeros((4, 2), "float32")
    items = tuned(model, 2)
    soup = kr.merging.learned_soup(model, items, data=(x, y), loss="mse", epochs=1)
    place = next(i for i in soup.indices if soup.architecture[i].shape == ())
    share = soup.coefficients[soup.architecture[place].path]
    mixed = sum(s * float(item.arrays[place]) for s, item in zip(share, items, strict=True))
    base = float(kr.WeightSnapshot(model).arrays[place])
    np.testing.assert_allclose(soup.delta(place), mixed - base, rtol=1e-5)


def test_the_data_matter():
    model, _, items, x, y = line()
    first, second = (
        kr.merging.learned_soup(model, items, data=(x, target), loss="mse", epochs=1).delta(0)
        for target in (y, -y)
    )
    assert np.abs(first - second).max() > 1e-3


def test_bad_arguments():
    model, _, items, x, y = line()
    before = kr.weight_digest(model)
    for changes, error, message in (
        ({"epochs": 0}, ValueError, "`epochs`"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate`"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
        ({"scale_outputs": 1}, TypeError, "`scale_outputs`"),
        ({"loss": None}, ValueError, "`loss`"),
        ({"data": (x,)}, ValueError, "`y` is None"),
        ({"data": iter([(x, y)])}, ValueError, "`data` is used up by one pass"),
        ({"data": []}, ValueError, "`data` holds no batches"),
        ({"data": (x, np.full_like(y, np.nan))}, ValueError, "loss on `data` is nan"),
    ):
        with pytest.raises(error, match=message):
            kr.merging.learned_soup(model, items, **{"data": (x, y), "loss": "mse", **changes})
        assert kr.weight_digest(model) == before
