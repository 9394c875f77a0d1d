"""AnyLoss against the metrics of a soft confusion matrix."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

P = np.array([0.9, 0.8, 0.35, 0.6, 0.2, 0.1, 0.55, 0.3], "float32")
Y = np.array([1, 1, 1, 0, 0, 0, 0, 0])


def metric_of(name, tp, fp, fn, tn, beta):
    """The textbook formulas, of sums over the batch."""
    if name == "accuracy":
        return (tp + tn) / (tp + tn + fp + fn)
    if name in ("f1", "fbeta"):
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    if name == "balanced_accuracy":
        return (tp / (tp + fn) + tn / (tn + fp)) / 2
    if name == "gmean":
        return np.sqrt(tp / (tp + fn) * tn / (tn + fp))
    if name == "jaccard":
        return tp / (tp + fp + fn)
    assert name == "mcc"
    return (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def reference(
    y_true,
    y_pred,
    metric="f1",
    amplifier=73.0,
    threshold=0.5,
    beta=1.0,
    bce_weight=0.0,
    from_logits=False,
):
    p = np.asarray(y_pred, "float64").reshape(len(y_pred), -1)
    if p.shape[1] == 1:
        y = np.asarray(y_true, "float64").reshape(-1, 1)
    else:
        y = np.eye(p.shape[1])[np.asarray(y_true).astype(int)]
    if from_logits and p.shape[1] == 1:
        p = 1 / (1 + np.exp(-p))
    elif from_logits:
        p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    h = 1 / (1 + np.exp(-amplifier * (p - threshold)))
    values, entropies = [], []
    for k in range(p.shape[1]):
        yk, hk, pk = y[:, k], h[:, k], p[:, k]
        sums = (hk @ yk, hk @ (1 - yk), (1 - hk) @ yk, (1 - hk) @ (1 - yk))
        values.append(metric_of(metric, *sums, beta))
        rate = yk.mean()
        entropies.append(-np.mean((1 - rate) * yk * np.log(pk) + rate * (1 - yk) * np.log(1 - pk)))
    return (1 - bce_weight) * (1 - np.mean(values)) + bce_weight * np.mean(entropies)


def value(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("amplifier", [73.0, 8.0])
@pytest.mark.parametrize(
    "metric", ["accuracy", "balanced_accuracy", "f1", "fbeta", "gmean", "jaccard", "mcc"]
)
def test_every_metric(metric, amplifier):
    beta = 2.0 if metric == "fbeta" else 1.0
    loss = kr.losses.AnyLoss(metric, amplifier=amplifier, beta=beta)
    expected = reference(Y, P, metric, amplifier, beta=beta)
    np.testing.assert_allclose(value(loss(Y, P)), expected, rtol=2e-5)


def test_a_steep_sigmoid_gives_the_metric_itself():
    loss = kr.losses.AnyLoss("f1", amplifier=5000.0)
    # One of three positives is missed, two of five negatives are taken for positives.
    np.testing.assert_allclose(value(loss(Y, P)), 1 - 2 * 2 / (2 * 2 + 1 + 2), rtol=1e-6)


def test_one_vs_rest_of_integer_and_one_hot_labels():
    logits = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    y = np.arange(9) % 3
    loss = kr.losses.AnyLoss("jaccard", amplifier=5.0, from_logits=True)
    expected = reference(y, logits, "jaccard", 5.0, from_logits=True)
    np.testing.assert_allclose(value(loss(y, logits)), expected, rtol=1e-5)
    np.testing.assert_allclose(value(loss(np.eye(3)[y], logits)), expected, rtol=1e-5)


def test_multi_label_columns_are_set_on_their_own():
    p = np.stack([P, P[::-1]], axis=1)
    y = np.stack([Y, Y], axis=1)
    loss = kr.losses.AnyLoss("f1", amplifier=9.0, multi_label=True)
    parts = [reference(Y, p[:, k], "f1", 9.0) for k in range(2)]
    np.testing.assert_allclose(value(loss(y, p)), np.mean(parts), rtol=1e-5)


@keras.saving.register_keras_serializable(package="tests")
def specificity(tp, fp, fn, tn):
    return tn / (tn + fp)


def test_a_function_is_a_metric_and_survives_a_config():
    loss = kr.losses.AnyLoss(specificity, amplifier=7.0)
    h = 1 / (1 + np.exp(-7.0 * (P.astype("float64") - 0.5)))
    expected = 1 - np.mean(1 - h[Y == 0])
    np.testing.assert_allclose(value(loss(Y, P)), expected, rtol=1e-5)
    twin = kr.losses.AnyLoss.from_config(loss.get_config())
    assert twin.metric is specificity


@pytest.mark.parametrize("metric", ["balanced_accuracy", "gmean"])
def test_the_recall_of_a_missing_class_is_left_out(metric):
    loss = kr.losses.AnyLoss(metric, amplifier=6.0)
    h = 1 / (1 + np.exp(-6.0 * (P.astype("float64") - 0.5)))
    recall = np.mean(1 - h)
    expected = 1 - (recall if metric == "balanced_accuracy" else np.sqrt(recall))
    np.testing.assert_allclose(value(loss(np.zeros(8), P)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "metric", ["accuracy", "balanced_accuracy", "f1", "gmean", "jaccard", "mcc"]
)
@pytest.mark.parametrize("label", [0, 1])
def test_saturated_predictions_of_one_class_are_finite(metric, label):
    loss = kr.losses.AnyLoss(metric)
    y, p = np.full(4, label), np.array([0.0, 0.0, 1.0, 1.0], "float32")
    assert np.isfinite(value(loss(y, p)))
    assert np.isfinite(gradient(lambda x: loss(y, x), p)).all()


def test_crossentropy_is_mixed_in():
    loss = kr.losses.AnyLoss("f1", amplifier=9.0, bce_weight=0.4)
    expected = reference(Y, P, "f1", 9.0, bce_weight=0.4)
    np.testing.assert_allclose(value(loss(Y, P)), expected, rtol=1e-5)
