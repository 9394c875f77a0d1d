"""MIPLoss: brute force over projections, other base losses, bad axes."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.losses.test_focal_tversky import LABELS, PREDICTED
from tests.reweight.losses.test_focal_tversky import reference as focal_tversky


def reference(y_true, y_pred, axes=(-2,), volume_weight=0.7, mip_weight=0.3, from_logits=False):
    p = 1.0 / (1.0 + np.exp(-y_pred)) if from_logits else y_pred
    y = np.asarray(y_true, "float64").reshape(p.shape)
    found = volume_weight * focal_tversky(y, p)
    for axis in axes:
        found = found + mip_weight * focal_tversky(y.max(axis=axis), p.max(axis=axis))
    return found


def test_official_numbers():
    labels, predicted = LABELS[None, ..., None], PREDICTED[None, ..., None]
    found = float(kr.losses.MIPLoss()(labels, predicted))
    np.testing.assert_allclose(found, 0.7 * 0.3738442 + 0.3 * 0.1392338, atol=2e-7)


def test_other_base_losses_are_averaged_over_what_is_left():
    rng = np.random.default_rng(0)
    labels, predicted = (rng.random((2, 3, 4, 1)).astype("float32") for _ in range(2))
    loss = kr.losses.MIPLoss(keras.losses.MeanSquaredError(), axes=[1], reduction=None)
    expected = 0.7 * ((labels - predicted) ** 2).mean(axis=(1, 2, 3))
    expected = expected + 0.3 * ((labels.max(1) - predicted.max(1)) ** 2).mean(axis=(1, 2))
    found = ops.convert_to_numpy(loss(labels[..., 0], predicted))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_gap_costs_more_than_in_the_volume_alone():
    labels = np.zeros((1, 4, 4, 4, 1), "float32")
    labels[:, 1, :, 2] = 1.0
    gap = labels.copy()
    gap[:, 1, 2, 2] = 0.0
    volume = kr.losses.FocalTverskyLoss()
    assert float(kr.losses.MIPLoss(axes=[1])(labels, gap)) > 0.7 * float(volume(labels, gap))


@pytest.mark.parametrize("axis", [0, 3, -1])
def test_the_batch_and_the_channels_are_no_axes(axis):
    with pytest.raises(ValueError, match="axes"):
        kr.losses.MIPLoss(axes=[axis])(LABELS[None, ..., None], PREDICTED[None, ..., None])


def test_a_base_loss_of_the_whole_batch_is_refused():
    with pytest.raises(ValueError, match="base_loss"):
        kr.losses.MIPLoss("dice")(LABELS[None, ..., None], PREDICTED[None, ..., None])
