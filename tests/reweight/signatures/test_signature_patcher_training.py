"""SignaturePatcher around training: what was trained while a patch was on is found out."""

import keras
import numpy as np
import pytest

from keras_reweight.signatures import (
    Patch,
    SignaturePatcher,
    WeightSnapshot,
    weight_digest,
)
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models
from tests.reweight.signatures.patching import assert_same_bits, make, reference_patched


def trained_while_patched():
    model = models.dense()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    patch = make(model, "a", weights=(0, 1, 4, 5))
    patcher = SignaturePatcher(model)
    original = read_weights(model)
    patcher.apply(patch, 0.5)
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    return model, patcher, patch, original


def test_training_while_patched_is_found_out():
    model, patcher, patch, _ = trained_while_patched()
    trained = weight_digest(model)
    for attempt in (
        patcher.revert,
        lambda: patcher.remove("a"),
        lambda: patcher.set_alpha("a", 1.0),
        lambda: patcher.apply(patch, name="b"),
    ):
        with pytest.raises(RuntimeError, match=r"changed while patched.*head/bias.*commit.*rebase"):
            attempt()
        assert weight_digest(model) == trained and patcher.active == {"a": 0.5}


def test_commit_keeps_the_weights():
    model, patcher, patch, _ = trained_while_patched()
    trained = weight_digest(model)
    patcher.commit()
    assert weight_digest(model) == trained and patcher.active == {}
    patcher.apply(patch)
    patcher.revert()
    assert weight_digest(model) == trained


def test_rebase_keeps_training_and_patch():
    model, patcher, patch, original = trained_while_patched()
    trained = read_weights(model)
    patcher.rebase()
    assert not patcher.exact and patcher.active == {"a": 0.5}
    assert_same_bits(read_weights(model), trained)
    patcher.revert()
    reverted = read_weights(model)
    for index in (4, 5):
        without = trained[index].astype("float64") - 0.5 * patch.delta(index)
        assert_same_bits({0: reverted[index]}, {0: without.astype("float32")})
        assert not np.array_equal(reverted[index], original[index])
    assert_same_bits({2: reverted[2]}, {2: trained[2]})
    patcher.apply(patch)
    assert patcher.exact


def test_rebase_without_training_stays_exact():
    model = models.dense()
    before = weight_digest(model)
    patcher = SignaturePatcher(model)
    patcher.apply(make(model, "a"))
    patcher.rebase()
    assert patcher.exact
    patcher.revert()
    assert weight_digest(model) == before


def test_discard_loses_the_training_of_touched_weights():
    model, patcher, _, original = trained_while_patched()
    trained = read_weights(model)
    patcher.revert(discard=True)
    expected = {i: original[i] if i in (0, 1, 4, 5) else trained[i] for i in original}
    assert_same_bits(read_weights(model), expected)
    assert patcher.active == {}


def test_weights_that_are_added_while_patched_are_found_out():
    model = models.dense()
    patcher = SignaturePatcher(model)
    patcher.apply(make(model, "a"))
    model.get_layer("second").enable_lora(1)
    with pytest.raises(RuntimeError, match="gained, lost or replaced weights while patched"):
        patcher.revert()
    patcher.commit()
    assert patcher.active == {}


def test_the_file_of_a_patch_gives_the_same_weights(tmp_path):
    model = models.dense()
    patch = make(model, "a").compress("int8")
    patch.save(tmp_path / "a.sig")
    with patch.patched(model):
        expected = weight_digest(model)
    with Patch.load(tmp_path / "a.sig").patched(models.dense()) as other:
        assert weight_digest(other) == expected


def test_inside_a_training_epoch():
    """On JAX a running epoch holds the weights elsewhere; they are fetched and given back."""
    model = models.dense()
    patch = make(model, "a")
    patcher = SignaturePatcher(model)
    expected = reference_patched(read_weights(model), {"a": (patch, 1.0)})

    class PatchDuringTheEpoch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                patcher.apply(patch)

    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(
        np.ones((4, 3)),
        np.ones((4, 2)),
        batch_size=1,
        verbose=0,
        callbacks=[PatchDuringTheEpoch()],
    )
    assert_same_bits(read_weights(model), expected)


def test_a_snapshot_restored_while_patched_is_found_out():
    model = models.dense()
    snapshot = WeightSnapshot(model)
    patcher = SignaturePatcher(model)
    patcher.apply(make(model, "a"))
    snapshot.restore(model)
    with pytest.raises(RuntimeError, match="changed while patched"):
        patcher.revert()
