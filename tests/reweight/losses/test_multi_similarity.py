"""MultiSimilarityLoss against loops and the numbers of two implementations."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.metric_learning import test_multi_similarity_miner as miner
from tests.reweight.metric_learning import test_multi_similarity_weighting as weighting
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities

Z = embeddings().astype("float32")
SINGLETONS = np.array([0, 0, 1, 1, 2, 3, 0, 1])


def reference(
    y_true,
    y_pred,
    alpha=2.0,
    beta=50.0,
    base=0.5,
    epsilon=0.1,
    mining=True,
    normalize=True,
    anchors="both",
):
    similarity = similarities(y_pred, "cosine" if normalize else "dot")
    positives, negatives = masks(y_true)
    if mining:
        copies = anchors == "both" and normalize
        positives, negatives = miner.reference(
            similarity, positives, negatives, epsilon, drop_duplicates=copies
        )
    values = weighting.reference_losses(similarity, positives, negatives, alpha, beta, base)
    if anchors == "both":
        values = np.where(positives.any(1) & negatives.any(1), values, 0.0)
    return values


def loss(labels=LABELS, z=Z, **arguments):
    return float(ops.convert_to_numpy(kr.losses.MultiSimilarityLoss(**arguments)(labels, z)))


@pytest.mark.parametrize(("beta", "expected"), [(40.0, 0.4705084), (50.0, 0.4699039)])
def test_numbers_of_the_official_code(beta, expected):
    np.testing.assert_allclose(loss(beta=beta), expected, rtol=2e-6)
    np.testing.assert_allclose(loss(beta=beta, anchors="any"), expected, rtol=2e-6)
    np.testing.assert_allclose(loss(beta=beta, normalize=False), expected, rtol=2e-6)


@pytest.mark.parametrize(("beta", "expected"), [(40.0, 0.6309320), (50.0, 0.6303168)])
def test_numbers_of_pytorch_metric_learning_without_mining(beta, expected):
    found = loss(beta=beta, mining=False, anchors="any")
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_numbers_of_pytorch_metric_learning_with_singletons():
    found = loss(SINGLETONS, beta=40.0, mining=False, anchors="any")
    np.testing.assert_allclose(found, 0.5274055, rtol=2e-6)
    found = loss(SINGLETONS, beta=40.0, anchors="any")
    np.testing.assert_allclose(found, 0.3314759, rtol=2e-6)


def test_the_gradient_of_the_official_code():
    made = kr.losses.MultiSimilarityLoss(beta=40.0, normalize=False)
    slope = gradient(lambda z: made(LABELS, z), Z)
    np.testing.assert_allclose(slope[0], [-0.027501, 0.186198, 0.306301, 0.042964], atol=1e-6)


def test_anchors_without_a_kind_have_no_loss_by_the_rule_of_the_authors():
    values = kr.losses.MultiSimilarityLoss(mining=False, reduction=None)(SINGLETONS, Z)
    found = ops.convert_to_numpy(values)
    assert not found[4:6].any() and (found[:4] > 0).all()


def test_copies_of_the_anchor_are_no_positives_by_the_rule_of_the_authors():
    z = Z.copy()
    z[1] = z[0]
    found = {}
    for anchors in ("both", "any"):
        arguments = {"epsilon": 1.0, "anchors": anchors}
        found[anchors] = loss(z=z, **arguments)
        expected = reference(LABELS, z, **arguments).mean()
        np.testing.assert_allclose(found[anchors], expected, rtol=1e-5)
    assert found["any"] - found["both"] > 1e-3
