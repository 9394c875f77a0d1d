"""Merged models are plain, equal and exactly as sparse."""

import keras
import numpy as np
import pytest

from keras_compress.retraining import add_mask_lora, merge_lora
from tests.compress.retraining.networks import X, mlp, numbered, numpy, pruned


@pytest.mark.parametrize("mode", ["mask", "scale", "prune"])
def test_zeros_are_identical_whatever_the_update(mode):
    model = pruned(mlp())
    adapted = add_mask_lora(model, rank=2, alpha=8.0, mode=mode, seed=0)
    for layer in (adapted.get_layer("first"), adapted.get_layer("head")):
        numbered(layer, seed=2)
    for name in ("first", "head"):
        adapted.get_layer(name).layer.bias.assign(model.get_layer(name).bias)
    merged = merge_lora(adapted)
    assert [type(layer) for layer in merged.layers] == [type(layer) for layer in model.layers]
    moved = []
    for old, new in zip(model.get_weights(), merged.get_weights(), strict=True):
        if old.ndim == 2:
            assert np.array_equal(old == 0, new == 0)
            moved.append(np.abs(new - old)[old != 0].max())
    assert min(moved) > 1e-3
    difference = np.abs(numpy(merged(X)) - numpy(adapted(X))).max()
    assert difference > 1e-3 if mode == "prune" else difference < 1e-5
    assert len(merged.trainable_variables) == len(model.trainable_variables)


def test_the_merged_kernel_is_the_effective_one_bit_for_bit():
    adapted = add_mask_lora(pruned(mlp()), rank=2, seed=0)
    layer = adapted.get_layer("first")
    layer.lora_b.assign(np.full(layer.lora_b.shape, 0.25, "float32"))
    merged = merge_lora(adapted).get_layer("first")
    np.testing.assert_array_equal(numpy(merged.kernel), numpy(layer.effective_kernel()))


def test_a_model_without_updates_is_refused():
    with pytest.raises(ValueError, match="no MaskLoRA layer"):
        merge_lora(mlp())
    with pytest.raises(TypeError, match="`model`"):
        merge_lora(keras.layers.Dense(2))
