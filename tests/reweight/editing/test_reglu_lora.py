import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.editing import reglu_lora
from tests.reweight.editing.lora_models import classifier, kernels, linear, outputs, samples


def moments(model, x):
    """Of the outputs before the activation, layer by layer."""
    found, h = [], x.astype("float64")
    for kernel, layer in zip(kernels(model), model.layers, strict=True):
        before = h @ kernel + np.asarray(layer.bias, "float64")
        found.append(before.T @ before / len(x))
        h = np.maximum(before, 0.0)
    return found


def reference(model, forget, retain, rank, beta):
    """Projections on the chosen directions, layer by layer."""
    found = []
    for ours, theirs in zip(moments(model, forget), moments(model, retain), strict=True):
        values, vectors = np.linalg.eigh((1 - beta) * ours - beta * theirs)
        top = vectors[:, np.argsort(values)[::-1][: min(rank, len(values))]]
        found.append(top @ top.T)
    return found


def test_the_start_is_that_of_the_paper_and_the_model_stays_the_same():
    model, twin = classifier(), classifier()
    before = outputs(model)
    x, other = samples(1)[0], samples(2)[0]
    directions = reglu_lora(model, x, (other, None), rank=2, alpha=4.0, beta=0.6, batch_size=5)
    projections = reference(twin, x, other, 2, 0.6)
    for layer, kernel, projection in zip(model.layers, kernels(twin), projections, strict=True):
        a, b = (np.asarray(v, "float64") for v in (layer.lora_kernel_a, layer.lora_kernel_b))
        np.testing.assert_allclose(a @ b, kernel @ projection, atol=1e-4)
        np.testing.assert_allclose(b @ b.T, np.eye(2), atol=1e-5)
        frozen = np.asarray(keras.ops.convert_to_numpy(layer.weights[0].value), "float64")
        np.testing.assert_allclose(frozen, kernel - 2.0 * kernel @ projection, atol=1e-4)
    np.testing.assert_allclose(outputs(model), before, atol=1e-4)
    assert len(model.trainable_variables) == 6
    for path, theirs in zip(directions, moments(twin, other), strict=True):
        p = directions[path]
        np.testing.assert_allclose(p.T @ p, np.eye(p.shape[1]), atol=1e-9)
        kept = np.trace(p.T @ theirs @ p) / np.trace(theirs)
        fewer = np.trace(p[:, :-1].T @ theirs @ p[:, :-1]) / np.trace(theirs)
        assert fewer < 0.9 <= kept + 1e-6


def test_the_penalty_is_part_of_the_loss_and_of_no_file(tmp_path):
    model, plain = linear(), linear()
    x, other = samples(1)[0], samples(2)[0]
    directions = reglu_lora(model, x, other, rank=2, penalty=0.25, penalty_rank=1)["head"]
    assert directions.shape == (3, 1)
    b = np.asarray(model.get_layer("head").lora_kernel_b, "float64")
    (loss,) = (keras.ops.convert_to_numpy(loss) for loss in model.losses)
    assert loss == pytest.approx(0.25 * np.square(b @ directions).sum(), rel=1e-4)
    reglu_lora(plain, x, other, rank=2, penalty=0.0)
    assert plain.losses == []
    model.get_layer("head").lora_kernel_b.assign(np.ones((2, 3)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(loaded), outputs(model), atol=1e-5)


def test_what_cannot_be_done_leaves_the_model_alone():
    model, x = linear(), samples()[0]
    digest = kr.weight_digest(model)
    for change, words in (
        ({"rank": 0}, "rank"),
        ({"beta": 1.5}, "beta"),
        ({"penalty": -1.0}, "penalty"),
        ({"penalty_rank": 0}, "penalty_rank"),
        ({"layers": "missing"}, "missing"),
        ({"retain": x[:0]}, "no samples"),
    ):
        with pytest.raises(ValueError, match=words):
            reglu_lora(model, **{"forget": x, "retain": x, **change})
    assert kr.weight_digest(model) == digest
    assert not any(layer.lora_enabled for layer in model.layers)
