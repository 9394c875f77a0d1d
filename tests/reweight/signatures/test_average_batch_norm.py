import keras
import numpy as np
import pytest

from keras_reweight.signatures import (
    SignaturePatcher,
    WeightSignature,
    WeightSnapshot,
    average_batch_norm,
    patched,
    weight_digest,
)
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models


def reference_average(robust):
    """Mean over the models of every weight of batch normalization, in float64."""
    found = {}
    for index, variable in enumerate(robust[0].weights):
        if "norm" in variable.path:
            arrays = [read_weights(model)[index].astype("float64") for model in robust]
            found[index] = sum(arrays) / len(arrays)
    return found


def test_leads_to_the_mean_and_back():
    model, robust = models.functional(0), [models.functional(seed) for seed in (1, 2, 3)]
    before, untouched = weight_digest(model), read_weights(model)
    patch = average_batch_norm(model, [robust[0], WeightSnapshot(robust[1]), robust[2]])
    expected = reference_average(robust)
    assert patch.kind == "batch_norm" and set(patch.indices) == set(expected)
    assert len(expected) == 8
    with patch.patched(model):
        for index, array in read_weights(model).items():
            wanted = expected.get(index, untouched[index])
            np.testing.assert_array_equal(array, wanted.astype("float32"))
    assert weight_digest(model) == before


def test_beside_signatures_without_batch_normalization():
    pretrained, clean, *robust = [models.functional(seed) for seed in range(4)]
    before = weight_digest(clean)
    patches = {
        name: WeightSignature.extract(pretrained, clean, source, batch_norm="skip")
        for name, source in zip("ab", robust, strict=True)
    }
    norm = average_batch_norm(clean, robust)
    assert not set(norm.indices) & set(patches["a"].indices)
    with patched(clean, {**patches, "norm": norm}, {"a": 0.5, "b": 0.5, "norm": 1.0}):
        found = read_weights(clean)
        for index, mean in reference_average(robust).items():
            np.testing.assert_array_equal(found[index], mean.astype("float32"))
    patcher = SignaturePatcher(clean)
    patcher.apply(norm, alpha=0.5)
    patcher.revert()
    assert weight_digest(clean) == before


def test_some_layers():
    model = models.functional()
    patch = average_batch_norm(model, [models.functional(1)], layers="late_norm", name="late")
    assert patch.name == "late" and {path.split("/")[0] for path in patch.paths} == {"late_norm"}


def test_bad_arguments():
    model = models.functional()
    for robust, error, message in (
        ([], ValueError, "`robust` is empty"),
        (model, TypeError, "`robust` must be a list"),
        ([model, None], ValueError, r"`robust\[1\]` must be a model or a WeightSnapshot"),
        (["model"], TypeError, r"`robust\[0\]`.*'model'"),
        ([model, models.nested()], ValueError, r"`robust\[1\]` .*another architecture"),
    ):
        with pytest.raises(error, match=message):
            average_batch_norm(model, robust)
    with pytest.raises(ValueError, match="selects no layer"):
        average_batch_norm(models.dense(), [models.dense()])
    with pytest.raises(TypeError, match="`model`"):
        average_batch_norm(keras.layers.Dense(1), [model])
