import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import arrays_of, deltas, each_weight, shared, start, tuned
from tests.reweight.signatures import models

DTYPES = ("bfloat16",) if keras.backend.backend() == "jax" else ("bfloat16", "float64")


def reference_mean(base, values, weights=None):
    return np.average(np.stack(values), axis=0, weights=weights)


def test_the_mean_of_models_snapshots_and_files(tmp_path):
    model = models.dense()
    first, second, third = tuned(model, 3)
    live = shared(1)
    third.restore(live)
    second.restore(model)
    model.save_weights(tmp_path / "second.weights.h5")
    start().restore(model)
    before = kr.weight_digest(model)
    items = [first, tmp_path / "second.weights.h5", live]
    soup = kr.merging.uniform_soup(model, items, name="mean")
    assert kr.weight_digest(model) == before
    assert soup.kind == "uniform_soup" and soup.name == "mean" and soup.ingredients == (0, 1, 2)
    expected = each_weight(reference_mean, model, [first, second, third])
    for found, wanted in zip(deltas(soup), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
    base = arrays_of(model)
    with soup.patched(model):
        for found, old, delta in zip(arrays_of(model), base, expected, strict=True):
            np.testing.assert_allclose(found, old + delta, rtol=2e-7, atol=1e-9)
    assert kr.weight_digest(model) == before
    start(1).restore(live)


def test_scalars():
    model = shared()
    snapshots = tuned(model, 3)
    for snapshot, value in zip(snapshots, (1.0, 3.0, 5.0), strict=True):
        snapshot.arrays = tuple(np.full_like(array, value) for array in snapshot.arrays)
    with kr.merging.uniform_soup(model, snapshots).patched(model):
        for array in arrays_of(model):
            np.testing.assert_allclose(array, 3.0, rtol=1e-6)


def test_moving_statistics_are_averaged_and_layers_can_be_chosen():
    model = models.regularized()
    snapshots = tuned(model, 2)
    soup = kr.merging.uniform_soup(model, snapshots)
    assert "norm/moving_variance" in soup.paths and len(soup.indices) == len(model.weights)
    chosen = kr.merging.uniform_soup(model, snapshots, layers=["first"])
    assert chosen.paths == ("first/kernel", "first/bias")
    np.testing.assert_array_equal(chosen.delta(0), soup.delta(0))


def test_models_of_other_starts_are_warned_of():
    model = models.dense(seed=0, units=64)
    items = [model, models.dense(seed=1, units=64), model]
    # The suite makes errors of warnings.
    with pytest.raises(UserWarning, match=r"kernels of `ingredients` \[1\] have nothing in common"):
        kr.merging.uniform_soup(model, items)


# JAX has no float64 unless it is asked for when it starts.
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_dtypes(dtype):
    model = models.dense(dtype=dtype)
    snapshots = tuned(model, 2)
    soup = kr.merging.uniform_soup(model, snapshots)
    assert set(soup.stored_as) == {"float64" if dtype == "float64" else "float32"}
    expected = each_weight(reference_mean, model, snapshots)
    start = arrays_of(model)
    rounding = {"float64": 1e-15, "bfloat16": 2.0**-8}[dtype]
    with soup.patched(model):
        for found, base, delta in zip(arrays_of(model), start, expected, strict=True):
            np.testing.assert_allclose(found, base + delta, rtol=1.001 * rounding)


def test_saved_and_loaded(tmp_path):
    model = shared()
    soup = kr.merging.uniform_soup(model, tuned(model, 2))
    soup.save(tmp_path / "soup.safetensors")
    loaded = kr.merging.Soup.load(tmp_path / "soup.safetensors")
    assert loaded.digest() == soup.digest()


def test_bad_ingredients(tmp_path):
    model = shared()
    for wrong, error in (
        (shared(), TypeError),
        ([3], TypeError),
        ([], ValueError),
        ([models.dense(units=3)], ValueError),
        ([kr.WeightSnapshot(models.regularized())], ValueError),
    ):
        with pytest.raises(error, match="`ingredients`"):
            kr.merging.uniform_soup(model, wrong)
    with pytest.raises(FileNotFoundError, match="missing"):
        kr.merging.uniform_soup(model, [tmp_path / "missing.weights.h5"])
    broken = tuned(model, 1)[0]
    broken.arrays = (np.full_like(broken.arrays[0], np.nan), *broken.arrays[1:])
    with pytest.raises(ValueError, match="first/kernel.*NaN"):
        kr.merging.uniform_soup(model, [broken])
