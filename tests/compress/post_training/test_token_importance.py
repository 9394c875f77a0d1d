from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.post_training import GPTQ, quantize, token_importance
from keras_compress.post_training.token_importance import (
    attention_received,
    distance_sums,
    first_tokens,
    rarity,
)

IDS = np.array([[0, 1, 1, 2, 3], [1, 1, 4, 5, 6], [6, 5, 4, 3, 1], [0, 2, 4, 6, 3]])
# Two batches of one size: one shape to compile.
BATCH = 2


@pytest.fixture(scope="module")
def model():
    """An attention layer over embedded ids; weights by NumPy."""
    ids = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(7, 8, name="embedding")(ids)
    y = keras.layers.MultiHeadAttention(2, 3, name="attention")(x, x, use_causal_mask=True)
    x = keras.layers.Add(name="add")([x, y])
    model = keras.Model(ids, keras.layers.Dense(3, name="dense")(x))
    generator = np.random.default_rng(0)
    model.set_weights([0.5 * generator.normal(size=v.shape) for v in model.weights])
    return model


def reference_weights(scores, minimum, maximum):
    """Each sequence from `minimum` to `maximum`, then to a mean of one."""
    found = []
    for row in np.asarray(scores, "float64"):
        spread = row.max() - row.min()
        row = (row - row.min()) / spread if spread else np.ones(len(row))
        row = minimum + row * (maximum - minimum)
        found.append(row / row.mean())
    return np.array(found)


def reference_attention(model):
    """Embedded ids, outputs and probabilities of causal attention, float64."""
    table, q, qb, k, kb, v, vb, out, out_bias = (
        ops.convert_to_numpy(variable).astype("float64") for variable in model.weights[:9]
    )
    x = table[IDS]
    query, key, value = (
        np.einsum("btd,dhk->bhtk", x, kernel) + bias[None, :, None]
        for kernel, bias in ((q, qb), (k, kb), (v, vb))
    )
    logits = query @ key.swapaxes(2, 3) / np.sqrt(3.0)
    logits = np.where(np.tri(IDS.shape[1], dtype=bool), logits, -np.inf)
    scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return x, np.einsum("bhtk,hkd->btd", scores @ value, out) + out_bias, scores


def test_attention_that_tokens_get(model):
    received = reference_attention(model)[2].sum(axis=(1, 2))
    found = token_importance(model, IDS, batch_size=BATCH)
    np.testing.assert_allclose(found, reference_weights(received, 0.005, 1.0), rtol=1e-4)


def test_hidden_states(model):
    x, y, _ = reference_attention(model)
    norms = np.linalg.norm(x, axis=-1)
    distances = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1).sum(axis=-1)
    options = {"minimum": 0.2, "maximum": 2.0, "batch_size": BATCH}
    for strategy, layer, scores in (
        ("norm", None, norms),
        ("norm", "dense", np.linalg.norm(x + y, axis=-1)),
        ("similarity", None, distances),
        ("difference", "attention", -np.linalg.norm(y - x, axis=-1)),
    ):
        found = token_importance(model, IDS, strategy=strategy, layer=layer, **options)
        np.testing.assert_allclose(
            found, reference_weights(scores, 0.2, 2.0), rtol=1e-4, err_msg=strategy
        )


def test_ids_and_places(model):
    counts = {number: int((IDS == number).sum()) for number in range(7)}
    rare = -np.vectorize(counts.get)(IDS)
    found = token_importance(model, IDS, strategy="frequency", batch_size=BATCH)
    np.testing.assert_allclose(found, reference_weights(rare, 0.005, 1.0))
    long = np.tile(IDS, (1, 5))
    first = token_importance(model, long, strategy="first")
    assert (first[:, :3] > 1.0).all() and (first[:, 3:] < 0.05).all()


def test_scores():
    ids = np.array([[5, 5], [7, 5]])
    assert rarity(ids).tolist() == [[-3.0, -3.0], [-1.0, -3.0]]
    assert first_tokens(1, 16)[0].tolist() == [1.0, 1.0] + [0.0] * 14
    assert first_tokens(2, 3).tolist() == [[1.0, 0.0, 0.0]] * 2
    scores = np.zeros((1, 2, 2, 2))
    scores[0, :, :, 1] = 1.0
    assert attention_received(scores).tolist() == [[0.0, 4.0]]
    points = np.array([[[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]])
    np.testing.assert_allclose(distance_sums(points), [[5.0, 10.0, 5.0]], atol=1e-6)


def test_equal_scores_change_nothing(model):
    same = np.full((4, 5), 2)
    weights = token_importance(model, same, strategy="norm", batch_size=BATCH)
    np.testing.assert_allclose(weights, 1.0)
    options = {"solver": GPTQ(), "bits": 3, "layers": "dense", "batch_size": BATCH}
    plain = quantize(model, IDS, **options)
    weighted = quantize(model, IDS, token_weights=weights, **options)
    (first,), (second,) = (found.matrices.values() for found in (plain, weighted))
    np.testing.assert_array_equal(first.codes, second.codes)


def test_wrong_arguments(model):
    with pytest.raises(ValueError, match="`strategy`"):
        token_importance(model, IDS, strategy="loud")
    with pytest.raises(ValueError, match="`layer`=None"):
        token_importance(model, IDS, strategy="difference")
    with pytest.raises(ValueError, match="`minimum`.*got 2.0"):
        token_importance(model, IDS, minimum=2.0)
    with pytest.raises(ValueError, match="`data`: 'frequency'"):
        token_importance(model, IDS[0].astype("float32"), strategy="frequency")
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no attention layer"):
        token_importance(plain, np.ones((2, 3)))
