"""The batch of the reference numbers that the tests for long-tailed classes share."""

import numpy as np
from keras import ops

COUNTS = [1000, 100, 10]
COSINES = np.array([[0.9, 0.1, -0.2], [0.3, 0.4, 0.1], [0.2, 0.1, 0.05], [-0.1, 0.2, 0.6]])
LOGITS = 5 * COSINES
LABELS = np.array([0, 1, 2, 2])


def cross_entropy(y_true, logits):
    """Cross-entropy of class ids in NumPy float64."""
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -log_p[np.arange(len(log_p)), np.asarray(y_true).astype(int)]


def values(loss, logits=LOGITS, labels=LABELS, sample_weight=None):
    """What a loss gives for float32 logits, as a NumPy array."""
    found = loss(labels, logits.astype("float32"), sample_weight)
    return ops.convert_to_numpy(found)


def assert_label_forms_agree(loss):
    """Ids, ids in a column, one-hot labels and a batch of two sequences give the same losses."""
    base = values(loss)
    one_hot = np.eye(3, dtype="float32")[LABELS]
    np.testing.assert_allclose(values(loss, labels=one_hot), base, rtol=1e-6)
    np.testing.assert_allclose(values(loss, labels=LABELS[:, None]), base, rtol=1e-6)
    found = values(loss, LOGITS.reshape(2, 2, 3), LABELS.reshape(2, 2))
    np.testing.assert_allclose(found, base.reshape(2, 2), rtol=1e-6)
