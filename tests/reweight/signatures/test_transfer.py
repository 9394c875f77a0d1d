import keras
import numpy as np
import pytest

from keras_reweight.signatures import Patch, WeightSignature, shallow, transfer, weight_digest
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models
from tests.reweight.signatures.patching import assert_same_bits, make, reference_patched


def other_head(seed=7, dtype=None):
    """The backbone of `models.dense`, nested, behind another layer and before another head."""
    backbone = keras.Sequential(
        [
            keras.Input((3,)),
            models.Dense(5, activation="relu", name="first", dtype=dtype),
            models.Dense(4, activation="relu", name="second", dtype=dtype),
        ],
        name="backbone",
    )
    inputs = keras.Input((3,))
    x = backbone(models.Dense(3, name="stem")(inputs))
    return models.randomized(keras.Model(inputs, models.Dense(9, name="classes")(x)), seed)


def test_the_same_changes_elsewhere():
    patch, model = make(models.dense(), "a", weights=(0, 2, 3)) * 0.5, other_head()
    base, before = read_weights(model), weight_digest(model)
    found = transfer(patch.compress("int8"), model)
    assert found.paths == (
        "backbone/first/kernel",
        "backbone/second/kernel",
        "backbone/second/bias",
    )
    assert found.name == "a" and found.stored_as == ("int8", "int8", "float32")
    for mine, theirs in zip(found.indices, patch.indices, strict=True):
        np.testing.assert_array_equal(found.delta(mine), patch.compress("int8").delta(theirs))
    with found.patched(model, 0.3):
        expected = reference_patched(base, {"a": (found, 0.3)})
        assert_same_bits(read_weights(model), expected)
    assert weight_digest(model) == before


def test_a_signature_stays_one_and_can_be_saved(tmp_path):
    trio = [models.dense(seed) for seed in range(3)]
    signature = WeightSignature.extract(*trio, layers=shallow(1), name="noise")
    found = transfer(signature, other_head())
    assert type(found) is WeightSignature and found.sources == signature.sources
    found.save(tmp_path / "noise.sig")
    with WeightSignature.load(tmp_path / "noise.sig").patched(other_head(8)):
        pass


def test_another_precision():
    found = transfer(make(models.dense(), "a"), half := models.dense(dtype="bfloat16"))
    base = read_weights(half)
    with found.patched(half):
        assert_same_bits(read_weights(half), reference_patched(base, {"a": (found, 1.0)}))
    assert_same_bits(read_weights(half), base)


def test_a_backbone_that_was_trained_on():
    """The patch of a file is added to what the weights are now."""
    model = models.dense()
    patch = make(model, "a").compress("int8")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    base, before = read_weights(model), weight_digest(model)
    with patch.patched(model, 0.7):
        assert_same_bits(read_weights(model), reference_patched(base, {"a": (patch, 0.7)}))
    assert weight_digest(model) == before


def repeated(count, name="block"):
    layers = [keras.Input((4,)), *(models.Dense(4, name=f"{name}_{i}") for i in range(count))]
    return models.randomized(keras.Sequential(layers), 0)


def test_the_same_place_goes_before_others():
    found = transfer(make(repeated(3), "a", weights=(2, 3)), repeated(5))
    assert found.indices == (2, 3)


def test_what_does_not_fit_is_refused():
    patch = make(models.dense(), "a", weights=(0, 2))
    with pytest.raises(
        ValueError,
        match="`patch` 'a'.*no run of weights like 'first/kernel'.*"
        "first one that is not found is 'second/kernel' of shape .5, 4.",
    ):
        transfer(patch, models.dense(units=6))
    with pytest.raises(ValueError, match="not found is 'first/kernel'"):
        transfer(patch, models.functional())
    target = keras.Sequential([keras.Input((4,)), models.Dense(4, name="stem"), repeated(2)])
    with pytest.raises(ValueError, match="begin at any of .*block_0/kernel.*block_1/kernel"):
        transfer(make(repeated(1), "b", weights=(0,)), target)
    with pytest.raises(TypeError, match="`patch` must be a Patch"):
        transfer("a", target)
    with pytest.raises(TypeError, match="`model`"):
        transfer(patch, "model")
    assert isinstance(transfer(patch, models.dense(1)), Patch)
