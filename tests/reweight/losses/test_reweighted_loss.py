"""ReweightedLoss: the paper's batch loss, with Keras' weight, mask and reduction semantics."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.test_lin_upper import reference as lin_upper

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 3)).astype("float32")
LABELS = np.array([0, 2, 1, 1, 0, 2])


def cross_entropy(labels, logits):
    logits = np.asarray(logits, "float64")
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, np.asarray(labels)[..., None], -1)[..., 0]


def reference(y_true, y_pred, sample_weight=None):
    """sum_i w_i s_i l_i with LinUpper(0.4) weights of softmax cross-entropy."""
    losses = cross_entropy(y_true, y_pred)
    scale = np.ones_like(losses) if sample_weight is None else np.asarray(sample_weight, "float64")
    return (lin_upper(losses, 0.4) * scale * losses).sum()


def reference_losses(y_true, y_pred):
    """Weighted losses before reduction: their mean is the weighted sum."""
    losses = cross_entropy(y_true, y_pred)
    return len(losses) * lin_upper(losses, 0.4) * losses


def reference_gradient(y_true, y_pred, cotangent):
    """Slope of `sum(cotangent * losses)`: weights are constants, softmax minus one-hot."""
    losses = cross_entropy(y_true, y_pred)
    p = np.exp(y_pred - y_pred.max(-1, keepdims=True))
    p = p / p.sum(-1, keepdims=True) - np.eye(y_pred.shape[-1])[y_true]
    return (cotangent * len(losses) * lin_upper(losses, 0.4))[:, None] * p


def make(**kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kr.losses.ReweightedLoss(loss, kr.weightings.LinUpper(0.4), **kwargs)


def value(tensor):
    return ops.convert_to_numpy(tensor)


def test_equals_the_weighted_sum():
    np.testing.assert_allclose(value(make()(LABELS, LOGITS)), reference(LABELS, LOGITS), rtol=1e-5)


def test_sample_weight_multiplies_after_the_weighting():
    weight = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0], "float32")
    got = value(make()(LABELS, LOGITS, sample_weight=weight))
    np.testing.assert_allclose(got, reference(LABELS, LOGITS, weight), rtol=1e-5)
    column = value(make()(LABELS, LOGITS, sample_weight=weight[:, None]))
    np.testing.assert_allclose(column, got, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_reduction_of_the_wrapped_loss_is_kept(reduction):
    inner = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    loss = kr.losses.ReweightedLoss(inner, kr.weightings.LinUpper(0.4))
    got = value(loss(LABELS, LOGITS))
    losses = cross_entropy(LABELS, LOGITS)
    expected = 6 * lin_upper(losses, 0.4) * losses
    np.testing.assert_allclose(got, expected.sum() if reduction == "sum" else expected, rtol=1e-5)


def test_one_hot_labels_reach_the_weighting_and_the_loss():
    for weighting in (kr.weightings.LinUpper(0.4), kr.weightings.ClassBalanced([30, 20, 5])):
        of_ids = kr.losses.ReweightedLoss(
            keras.losses.SparseCategoricalCrossentropy(from_logits=True), weighting
        )
        of_one_hot = kr.losses.ReweightedLoss(
            keras.losses.CategoricalCrossentropy(from_logits=True), weighting
        )
        expected = value(of_ids(LABELS, LOGITS))
        found = value(of_one_hot(np.eye(3, dtype="float32")[LABELS], LOGITS))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        column = value(of_ids(LABELS[:, None], LOGITS))
        np.testing.assert_allclose(column, expected, rtol=1e-6)


def tokens():
    logits = RNG.normal(size=(3, 4, 5)).astype("float32")
    labels = RNG.integers(0, 5, (3, 4))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
    return logits, labels, mask


def masked(logits, mask):
    return keras.layers.Lambda(lambda x: x, mask=lambda *_: ops.convert_to_tensor(mask))(logits)


@pytest.mark.parametrize("token_weighted", [False, True])
def test_padded_tokens_never_enter_the_weighting(token_weighted):
    logits, labels, mask = tokens()
    losses = cross_entropy(labels, logits)
    means = (losses * mask).sum(1) / mask.sum(1)
    weights = lin_upper(means, 0.4)
    if token_weighted:
        expected = 3 * (weights[:, None] * losses * mask).sum() / mask.sum()
    else:
        expected = (weights * means).sum()
    got = value(make(token_weighted=token_weighted)(labels, masked(logits, mask)))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_token_granularity():
    logits, labels, mask = tokens()
    losses = cross_entropy(labels, logits)[mask]
    got = value(make(granularity="token")(labels, masked(logits, mask)))
    np.testing.assert_allclose(got, (lin_upper(losses, 0.4) * losses).sum(), rtol=1e-5)


def test_trains_and_reloads(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", make(), metrics=["accuracy"])
    x, y = RNG.normal(size=(16, 4)).astype("float32"), np.arange(16) % 3
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(again.loss, kr.losses.ReweightedLoss)
    assert again.loss.weighting.temperature == 0.4
    np.testing.assert_allclose(
        again.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-6
    )


def test_scheduled_weighting_is_refused_with_the_way_out():
    schedule = kr.schedules.PolynomialDecay(1.0, 0.4, end_step=10)
    loss = kr.losses.ReweightedLoss("mse", kr.weightings.LinUpper(schedule))
    with pytest.raises(ValueError, match="`temperature`.*Reweight"):
        loss(np.ones((3, 1), "float32"), np.zeros((3, 1), "float32"))


def test_bad_arguments():
    with pytest.raises(TypeError, match="`weighting`.*'hard'"):
        kr.losses.ReweightedLoss("mse", "hard")
    with pytest.raises(ValueError, match="`granularity`.*'word'"):
        make(granularity="word")
    with pytest.raises(ValueError, match="nonsense_loss"):
        kr.losses.ReweightedLoss("nonsense_loss", kr.weightings.LinUpper())


def test_scalar_batch_loss_is_refused():
    loss = kr.losses.ReweightedLoss(
        lambda y_true, y_pred: ops.mean(y_pred), kr.weightings.LinUpper()
    )
    with pytest.raises(ValueError, match="one scalar for the whole batch"):
        loss(np.ones((3, 1), "float32"), np.zeros((3, 1), "float32"))
