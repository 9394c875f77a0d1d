"""PLDLoss against its formula, its reference numbers and its limits."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

STUDENT = np.array([[0.5, 1, -0.3, 0.2], [2, -1, 0, 0.4]], "float32")
TEACHER = np.array([[1, 2, 0.5, -1], [0.3, 0.2, 3, 1]], "float32")
LABELS = np.array([1, 0])


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rankings(labels, teacher):
    for label, row in zip(labels, teacher, strict=True):
        others = [c for c in np.argsort(-row, kind="stable") if c != label]
        yield [label, *others]


def losses_of(labels, teacher, student, temperature=1.0):
    labels = np.asarray(labels).astype(int)
    weights = softmax(np.asarray(teacher, "float64") / temperature)
    found = []
    for i, ranking in enumerate(rankings(labels, teacher)):
        s = np.asarray(student[i], "float64")
        total = 0.0
        for k, c in enumerate(ranking):
            rest = s[ranking[k:]]
            total -= weights[i, c] * (s[c] - rest.max() - np.log(np.exp(rest - rest.max()).sum()))
        found.append(total)
    return np.array(found)


def reference(y_true, y_pred, temperature=1.0, from_logits=True):
    teacher = y_true[:, 1:]
    if not from_logits:
        teacher, y_pred = np.log(teacher), np.log(y_pred)
    return losses_of(y_true[:, 0], teacher, y_pred, temperature)


def reference_gradient(y_true, y_pred, cotangent, temperature=1.0):
    """Sum over positions of the weight times softmax of what is left minus one-hot."""
    labels, teacher = y_true[:, 0].astype(int), y_true[:, 1:]
    weights = softmax(teacher / temperature)
    found = np.zeros_like(y_pred)
    for i, ranking in enumerate(rankings(labels, teacher)):
        for k, c in enumerate(ranking):
            left = ranking[k:]
            found[i, left] += weights[i, c] * softmax(y_pred[i, left])
            found[i, c] -= weights[i, c]
    return cotangent[:, None] * found


def losses(student=STUDENT, teacher=TEACHER, labels=LABELS, **arguments):
    loss = kr.losses.PLDLoss(reduction=None, **arguments)
    return ops.convert_to_numpy(loss(kr.losses.PLDLoss.pack_targets(labels, teacher), student))


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1.0, [0.8233377, 0.8727070]), (2.0, [0.773579, 0.649307])],
)
def test_reference_numbers(temperature, expected):
    np.testing.assert_allclose(losses(temperature=temperature), expected, rtol=2e-6)


def test_a_certain_and_right_teacher_gives_crossentropy():
    teacher = 40 * np.eye(4, dtype="float32")[LABELS]
    expected = -np.log(softmax(STUDENT.astype("float64"))[[0, 1], LABELS])
    np.testing.assert_allclose(losses(teacher=teacher), expected, rtol=1e-5)


def test_ties_of_the_teacher_keep_the_order_of_the_classes():
    teacher = np.zeros_like(TEACHER)
    np.testing.assert_allclose(
        losses(teacher=teacher), losses_of(LABELS, teacher, STUDENT), rtol=1e-5
    )


def test_probabilities():
    p, q = softmax(STUDENT).astype("float32"), softmax(TEACHER).astype("float32")
    np.testing.assert_allclose(losses(p, q, from_logits=False), losses(), rtol=1e-5)


def test_invariant_to_a_shift_of_the_student():
    np.testing.assert_allclose(losses(STUDENT + 7), losses(), rtol=1e-5)


def test_far_apart_logits_have_a_finite_gradient():
    packed = kr.losses.PLDLoss.pack_targets(LABELS, TEACHER)
    student = np.array([[300.0, -300.0, 0.0, 100.0], [-1e4, 1e4, 0.0, 1.0]], "float32")
    found = gradient(lambda value: kr.losses.PLDLoss()(packed, value), student)
    assert np.isfinite(found).all() and found.any()


def test_sequences_and_ignored_ids():
    labels, teacher = LABELS[None, :, None], TEACHER[None]
    found = losses(STUDENT[None], teacher, labels)
    np.testing.assert_allclose(found, losses()[None], rtol=1e-6)
    assert losses(labels=np.array([1, -1]))[1] == 0.0


def test_wrong_shapes():
    with pytest.raises(ValueError, match="y_true"):
        kr.losses.PLDLoss()(TEACHER, STUDENT)
    with pytest.raises(ValueError, match="`y`"):
        kr.losses.PLDLoss.pack_targets(np.array([0, 1, 2]), TEACHER)
