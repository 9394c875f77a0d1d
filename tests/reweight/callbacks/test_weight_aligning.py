"""WeightAligning: align_weights when training ends."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing import tasks


def at_the_end(callback):
    """A model after what the callback does to it when training has ended."""
    model = tasks.functional()
    callback.set_model(model)
    callback.on_train_begin()
    before = ops.convert_to_numpy(model.get_layer("out").kernel).copy()
    callback.on_train_end()
    return model, before


def test_the_weights_are_aligned():
    aligning = kr.callbacks.WeightAligning([0], new=[1, 2], layer="out", only_shrink=False)
    assert aligning.ratio is None
    ratio = kr.editing.alignment_ratio(tasks.functional(), [0])
    model, before = at_the_end(aligning)
    assert aligning.ratio == pytest.approx(ratio, rel=1e-6)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.get_layer("out").kernel), before * [1.0, ratio, ratio], rtol=1e-5
    )
    assert kr.editing.alignment_ratio(model, [0]) == pytest.approx(1.0, abs=1e-6)
    # No patch is left on.
    kr.SignaturePatcher(model)


def test_only_shrinks_by_default():
    old = [0] if kr.editing.alignment_ratio(tasks.functional(), [0]) > 1.0 else [1, 2]
    aligning = kr.callbacks.WeightAligning(old)
    model, _ = at_the_end(aligning)
    assert kr.weight_digest(model) == kr.weight_digest(tasks.functional())
    assert aligning.ratio > 1.0


def test_patches_of_others_are_in_the_way():
    model = tasks.functional()
    patch = kr.editing.align_weights(model, [0], only_shrink=False)
    patcher = kr.SignaturePatcher(model)
    patcher.apply(patch)
    aligning = kr.callbacks.WeightAligning([0])
    aligning.set_model(model)
    with pytest.raises(ValueError, match="patched by another"):
        aligning.on_train_end()
