"""PairLoss: miner and weighting combined, masks, weights, similarities."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient, with_keras_mask
from tests.reweight.metric_learning import test_multi_similarity_miner as mining
from tests.reweight.metric_learning import test_n_pair_weighting as n_pair
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities

Z = embeddings().astype("float32")


def reference(y_true, y_pred):
    """`NPairWeighting(0.5)` behind `MultiSimilarityMiner(0.3)`, anchors with both kinds."""
    similarity = similarities(y_pred)
    positives, negatives = mining.reference(similarity, *masks(y_true), epsilon=0.3)
    values = n_pair.reference_losses(similarity, positives, negatives, temperature=0.5)
    return np.where(positives.any(1) & negatives.any(1), values, 0.0)


def losses(y_true, y_pred, weighting=None, **arguments):
    weighting = weighting or kr.metric_learning.MultiSimilarityWeighting()
    loss = kr.losses.PairLoss(weighting, reduction=None, **arguments)
    return ops.convert_to_numpy(loss(y_true, y_pred))


def test_masked_samples_are_no_partners():
    present = np.array([1, 1, 0, 1, 1, 0, 1, 1], bool)
    found = losses(LABELS, with_keras_mask(Z, present))[present]
    np.testing.assert_allclose(found, losses(LABELS[present], Z[present]), rtol=1e-5)


def test_sample_weight_weights_anchors_and_leaves_partners():
    loss = kr.losses.PairLoss(kr.metric_learning.NPairWeighting(), reduction="sum")
    weight = np.array([1, 0, 0, 2, 0, 0, 0, 0], "float32")
    values = losses(LABELS, Z, kr.metric_learning.NPairWeighting())
    found = ops.convert_to_numpy(loss(LABELS, Z, sample_weight=weight))
    np.testing.assert_allclose(found, values[0] + 2 * values[3], rtol=1e-5)


def test_anchors_without_positives_and_copies_have_finite_gradients():
    copies = np.concatenate([Z[:7], Z[:1]])
    for weighting in (
        kr.metric_learning.BinomialDevianceWeighting(),
        kr.metric_learning.ContrastiveWeighting(),
        kr.metric_learning.LiftedStructureWeighting(),
        kr.metric_learning.MultiSimilarityWeighting(),
        kr.metric_learning.NPairWeighting(),
        kr.metric_learning.NPairWeighting(contrast="all"),
        kr.metric_learning.TripletWeighting(),
        kr.metric_learning.TripletWeighting(triplets="all"),
        kr.metric_learning.TripletWeighting(triplets="semi_hard"),
    ):
        for similarity, labels in (("cosine", np.arange(8)), ("euclidean", LABELS)):
            loss = kr.losses.PairLoss(weighting, similarity=similarity)
            slope = gradient(lambda z, loss=loss, y=labels: loss(y, z), copies)
            assert np.isfinite(slope).all(), (weighting, similarity)


def test_similarities():
    contrastive = kr.metric_learning.ContrastiveWeighting(5.0, negative_margin=-5.0)
    z = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    positives, negatives = masks(LABELS)
    for kind in ("cosine", "dot", "euclidean"):
        s = similarities(z, kind)
        expected = np.where(positives, np.maximum(5.0 - s, 0), 0).sum(1)
        expected += np.where(negatives, np.maximum(s + 5.0, 0), 0).sum(1)
        found = losses(LABELS, z, contrastive, similarity=kind)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_similarities_are_float32_for_a_bfloat16_loss():
    z = np.concatenate([Z, Z + np.float32(1e-3)])
    labels = np.concatenate([LABELS, LABELS])
    half = kr.losses.PairLoss(kr.metric_learning.MultiSimilarityWeighting(), dtype="bfloat16")
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(z, "bfloat16"), "float32"))
    expected = losses(labels, rounded)
    found = half.call(ops.convert_to_tensor(labels), ops.cast(z, "bfloat16"))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_one_hot_and_column_labels_are_the_same():
    expected = losses(LABELS, Z)
    np.testing.assert_array_equal(losses(np.eye(3)[LABELS], Z), expected)
    np.testing.assert_array_equal(losses(LABELS[:, None], Z), expected)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="y_pred"):
        losses(LABELS, Z[:, None])
    with pytest.raises(ValueError, match="y_true"):
        losses(LABELS[:, None, None], Z)


def test_it_trains_on_balanced_batches():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.eye(3)[y] @ rng.normal(size=(3, 6)) + 0.5 * rng.normal(size=(60, 6))
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    weighting = kr.metric_learning.NPairWeighting(0.3)
    model.compile(keras.optimizers.Adam(0.05), kr.losses.PairLoss(weighting))
    batches = kr.data.ClassBalancedBatches(x, y, classes_per_batch=3, samples_per_class=5)
    history = model.fit(batches, epochs=4, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
