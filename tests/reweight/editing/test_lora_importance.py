import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.editing import lora_importance
from tests.reweight.editing.lora_models import classifier, gradients, kept, kernels, samples
from tests.reweight.signatures import models


def reference(model, data, kind="vila", rank=8, batch_size=32, seed=0):
    """Moments of hand-made gradients of batches; those of the factors by their definition."""
    x, y = data
    plain, rng = kernels(model), np.random.default_rng(seed)

    def small(*shape):
        return rng.normal(scale=0.05, size=shape)

    factors = [(small(len(k), rank), small(rank, k.shape[1])) for k in plain]
    if kind == "vila":
        plain = [k + a @ b for k, (a, b) in zip(plain, factors, strict=True)]
    starts = range(0, len(y), batch_size)
    found = [gradients(model, x[i : i + batch_size], y[i : i + batch_size], plain) for i in starts]
    share = np.array([len(y[i : i + batch_size]) for i in starts]) / len(y)

    def mean(values):
        return np.tensordot(share, np.array(values), axes=1)

    result = {}
    for number, layer in enumerate(model.layers):
        own = [each[number] for each in found]
        if kind == "fila":
            result[layer.name] = mean([g**2 for g in own])
            continue
        a, b = factors[number]
        variances = [
            mean([g**2 for g in part]) - mean(part) ** 2
            for part in ([g @ b.T for g in own], [a.T @ g for g in own])
        ]
        result[layer.name] = variances[0] @ variances[1]
    return result


@pytest.mark.parametrize("kind", ["vila", "fila"])
def test_values_equal_the_formula(kind):
    model, data = classifier(), samples()
    before = kr.weight_digest(model)
    options = {"kind": kind, "rank": 2, "batch_size": 5, "seed": 3}
    found, expected = lora_importance(model, data, **options), reference(model, data, **options)
    assert list(found) == ["first", "second", "head"]
    for path, value in found.items():
        np.testing.assert_allclose(value, expected[path], rtol=2e-3, atol=1e-3 * value.max())
    assert kr.weight_digest(model) == before
    assert not any(layer.lora_enabled for layer in model.layers)


def test_one_batch_has_no_variance():
    model, data = kept(), samples()
    assert not any(v.any() for v in lora_importance(model, data, batch_size=12).values())
    assert all(v.any() for v in lora_importance(model, data, kind="fila", batch_size=12).values())


def test_only_layers_that_can_have_lora():
    model = models.functional()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = models.images(samples=4), np.arange(4) % 2
    found = lora_importance(model, data, kind="fila", layers=["head", "late"], batch_size=2)
    assert {path: value.shape for path, value in found.items()} == {
        "late": (27, 4),
        "head": (4, 2),
    }
    with pytest.raises(ValueError, match="no layer with a kernel that Keras has LoRA for"):
        lora_importance(model, data, layers="early_norm")
    model.get_layer("head").enable_lora(1)
    with pytest.raises(ValueError, match="has LoRA already"):
        lora_importance(model, data, layers="head")
