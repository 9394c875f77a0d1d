import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.editing import importance_lora_init, lora_importance, vila_lora
from keras_reweight.editing._lora import freeze_the_rest
from tests.reweight.editing.lora_models import classifier, linear, outputs, samples
from tests.reweight.signatures import models


def test_every_layer_starts_from_its_importances():
    model, twin = classifier(), classifier()
    before = model.predict_on_batch(samples(9)[0])
    forget, retain = samples(1), samples(2)
    rho = vila_lora(model, forget, retain, rank=4, alpha=8.0, batch_size=4)
    # Small kernels have a smaller rank and the same scale.
    ranks = {layer.name: (layer.lora_rank, layer.lora_alpha) for layer in model.layers}
    assert ranks == {"first": (3, 6.0), "second": (4, 8.0), "head": (2, 4.0)}
    found = [lora_importance(twin, data, rank=4, batch_size=4) for data in (forget, retain)]
    for layer, other in zip(model.layers, twin.layers, strict=True):
        name, (rank, alpha) = layer.name, ranks[layer.name]
        expected = importance_lora_init(other, *[f[name] for f in found], rank=rank, alpha=alpha)
        np.testing.assert_allclose(rho[name], expected, rtol=1e-6)
        np.testing.assert_allclose(layer.lora_kernel_b, other.lora_kernel_b, atol=1e-5)
    # A function that was traced before knows of LoRA now.
    np.testing.assert_allclose(model.predict_on_batch(samples(9)[0]), before, atol=1e-3)
    np.testing.assert_allclose(outputs(model), before, atol=1e-3)
    names = {v.name for v in model.trainable_variables}
    assert names == {"lora_kernel_a", "lora_kernel_b"} and len(model.trainable_variables) == 6


def test_what_cannot_be_done_leaves_the_model_alone():
    model = linear()
    digest = kr.weight_digest(model)
    forget, retain = samples(1), samples(2)
    for change, words in (
        ({"importance": "random"}, "importance"),
        ({"rank": 0}, "rank"),
        ({"layers": "missing"}, "missing"),
        # One batch has no variance.
        ({"forget": (forget[0][:2], forget[1][:2])}, "nothing in it depends"),
    ):
        with pytest.raises(ValueError, match=words):
            vila_lora(model, **{"forget": forget, "retain": retain, "batch_size": 4, **change})
    assert kr.weight_digest(model) == digest
    assert len(model.trainable_variables) == 2


def test_all_but_lora_is_frozen():
    model = models.regularized()
    model.get_layer("head").enable_lora(1)
    freeze_the_rest(model)
    assert [v.name for v in model.trainable_variables] == ["lora_kernel_a", "lora_kernel_b"]
    before = np.asarray(model.get_layer("norm").moving_mean)
    model(samples()[0], training=True)
    np.testing.assert_array_equal(model.get_layer("norm").moving_mean, before)
