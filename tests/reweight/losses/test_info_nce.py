"""InfoNCELoss against loops, its directions and its false negatives."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import with_keras_mask

VIEWS = np.random.default_rng(0).normal(size=(6, 2, 4)).astype("float32")


def reference(
    y_true, y_pred, temperature=0.1, symmetric=True, normalize=True, exclude_same_label=False
):
    y_pred = np.asarray(y_pred, "float64")
    if normalize:
        y_pred = y_pred / np.linalg.norm(y_pred, axis=-1, keepdims=True)
    found = np.zeros(len(y_pred))
    for one, two in ((0, 1), (1, 0)) if symmetric else ((0, 1),):
        scores = y_pred[:, one] @ y_pred[:, two].T / temperature
        for i, row in enumerate(scores):
            rivals = [
                s
                for j, s in enumerate(row)
                if i == j or not (exclude_same_label and y_true[i] == y_true[j])
            ]
            top = max(rivals)
            found[i] += top + np.log(np.exp(np.array(rivals) - top).sum()) - row[i]
    return found / (2 if symmetric else 1)


def losses(views, labels=None, **arguments):
    labels = np.zeros(len(VIEWS)) if labels is None else labels
    return ops.convert_to_numpy(
        kr.losses.InfoNCELoss(0.2, reduction=None, **arguments)(labels, views)
    )


def test_labels_are_read_only_on_demand():
    labels = np.array([0, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(losses(VIEWS, labels), losses(VIEWS))
    found = losses(VIEWS, labels, exclude_same_label=True)
    expected = reference(labels, VIEWS, 0.2, exclude_same_label=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found[:2] < losses(VIEWS)[:2]).all()


def test_masked_rows_are_no_negatives():
    present = np.array([1, 0, 1, 1, 0, 1], bool)
    found = losses(with_keras_mask(VIEWS, present))[present]
    alone = kr.losses.InfoNCELoss(0.2, reduction=None)(np.zeros(4), VIEWS[present])
    np.testing.assert_allclose(found, ops.convert_to_numpy(alone), rtol=1e-5)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="y_pred"):
        losses(VIEWS[:, 0])
    with pytest.raises(ValueError, match="y_pred"):
        losses(np.concatenate([VIEWS, VIEWS], axis=1))
