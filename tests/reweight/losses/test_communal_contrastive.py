"""CommunalContrastiveLoss against loops and the numbers of the official code."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import numerical_gradient
from tests.reweight.metric_learning.pairs import LABELS, embeddings, second_view


def unit(y_pred):
    y_pred = np.asarray(y_pred, "float64")
    return y_pred / np.linalg.norm(y_pred, axis=-1, keepdims=True)


def centroids_of(y_true, y_pred):
    """Centroids of both views by community, from normalized embeddings."""
    z = unit(y_pred)
    return [{k: z[y_true == k, view].mean(axis=0) for k in set(y_true)} for view in (0, 1)]


def reference(
    y_true,
    y_pred,
    temperature=0.4,
    gamma=1.0,
    kernel="rbf",
    node_weight=1.0,
    community_weight=1.0,
    symmetric=True,
    centroids=None,
):
    y_true = [int(label) for label in np.asarray(y_true)]
    y_true = np.array(y_true)
    centroids = centroids or centroids_of(y_true, y_pred)
    z = unit(y_pred)
    directions = ((0, 1), (1, 0)) if symmetric else ((0, 1),)
    found = np.zeros(len(y_true))
    for one, two in directions:
        means = centroids[two]
        for i, label in enumerate(y_true):
            scores = z[:, two] @ z[i, one] / temperature
            node = np.log(np.exp(scores).sum()) - scores[i]
            s = {}
            for k, c in means.items():
                if kernel == "rbf":
                    s[k] = np.exp(-np.sum((z[i, one] - c) ** 2) / temperature**2)
                else:
                    s[k] = np.exp(z[i, one] @ c / temperature)
                s[k] *= np.exp(-gamma * np.sum((means[label] - c) ** 2))
            community = np.log(sum(s.values())) - np.log(s[label])
            found[i] += node_weight * node + community_weight * community
    return found / len(directions)


def reference_gradient(y_true, y_pred, cotangent, **arguments):
    """The centroids are constants."""
    centroids = centroids_of(np.asarray(y_true).astype(int), y_pred)
    return numerical_gradient(
        lambda z: np.sum(cotangent * reference(y_true, z, **arguments, centroids=centroids)),
        y_pred,
    )


def loss(labels=LABELS, **arguments):
    views = np.stack([embeddings(), second_view()], axis=1).astype("float32")
    return ops.convert_to_numpy(kr.losses.CommunalContrastiveLoss(**arguments)(labels, views))


def test_the_node_term_of_the_official_code():
    found = loss(node_weight=1.0, community_weight=0.0, symmetric=False)
    np.testing.assert_allclose(found, 0.7911875, rtol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "gamma", "expected"),
    [("cosine", 0.0, 0.3704421), ("rbf", 8e-5, 0.0783378), ("rbf", 1.0, 0.0357964)],
)
def test_the_community_term_of_the_official_code(kernel, gamma, expected):
    found = loss(kernel=kernel, gamma=gamma, node_weight=0.0)
    np.testing.assert_allclose(found, expected, rtol=3e-6)


def test_memberships_count_by_their_largest_entry():
    soft = 0.5 * np.eye(3)[LABELS] + 0.2
    np.testing.assert_array_equal(loss(soft), loss())
