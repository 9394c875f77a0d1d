import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.editing import lora_patch
from tests.reweight.editing.lora_models import classifier, outputs
from tests.reweight.signatures import models


def trained():
    """A model with LoRA, another bias, and a snapshot from before."""
    model = classifier()
    before = kr.WeightSnapshot(model)
    rng = np.random.default_rng(4)
    for name in ("first", "head"):
        layer = model.get_layer(name)
        layer.enable_lora(2, lora_alpha=5.0)
        for factor in (layer.lora_kernel_a, layer.lora_kernel_b):
            factor.assign(rng.normal(scale=0.3, size=factor.shape).astype("float32"))
    model.get_layer("head").bias.assign([0.5, -0.5])
    return model, before


def reference(model, before):
    """Paths and changes, layer by layer."""
    found, index = {}, 0
    for layer in model.layers:
        kernel, bias = (before.arrays[index + i].astype("float64") for i in (0, 1))
        index += 2
        now = np.asarray(keras.ops.convert_to_numpy(layer.weights[0].value), "float64")
        if layer.lora_enabled:
            a, b = (np.asarray(v, "float64") for v in (layer.lora_kernel_a, layer.lora_kernel_b))
            now = now + layer.lora_alpha / layer.lora_rank * a @ b
        found[f"{layer.name}/kernel"] = now - kernel
        found[f"{layer.name}/bias"] = np.asarray(layer.bias, "float64") - bias
    return {path: delta for path, delta in found.items() if delta.any()}


def test_the_patch_makes_the_old_model_the_new_one():
    model, before = trained()
    patch = lora_patch(model, before, name="forget")
    expected = reference(model, before)
    assert (patch.name, patch.kind, patch.paths) == ("forget", "lora", tuple(expected))
    for path, delta in expected.items():
        np.testing.assert_allclose(patch.delta(path), delta, rtol=1e-12)
    old = classifier()
    digest = kr.weight_digest(old)
    assert lora_patch(model, old).digest() == patch.renamed("lora").digest()
    with patch.patched(old):
        np.testing.assert_allclose(outputs(old), outputs(model), atol=1e-5)
    assert kr.weight_digest(old) == digest
    small = patch.compress("low_rank_int8", rank=2)
    np.testing.assert_allclose(small.delta(0), patch.delta(0), atol=0.02)


def test_nothing_to_make_a_patch_of():
    model = classifier()
    before = kr.WeightSnapshot(model)
    model.get_layer("head").enable_lora(2)
    with pytest.raises(ValueError, match="nothing to make a patch of"):
        lora_patch(model, before)
    with pytest.raises(ValueError, match="another architecture"):
        lora_patch(model, kr.WeightSnapshot(models.dense(units=5)))
    with pytest.raises(TypeError, match="before"):
        lora_patch(model, "before")
