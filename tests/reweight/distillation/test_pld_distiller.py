"""PLDDistiller: the loss of PLDLoss with the teacher in the step, weights and masks."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.distillation.models import WEIGHT, X, Y, logits, masked, model, number
from tests.reweight.losses.test_pld import losses_of


def reference(x, y, sample_weight, temperature=1.0):
    each = losses_of(y, logits("teacher", x), logits("student", x), temperature)
    return np.mean(sample_weight * each)


def outcome(distiller, x, y, sample_weight):
    """The loss of a weighted batch, by `compute_loss`."""
    distiller.compile("sgd", None if distiller.student_loss_weight == 0 else "mse")
    return number(distiller.compute_loss(x, y, distiller(x), sample_weight))


def make(which=model, **arguments):
    distiller = kr.distillation.PLDDistiller(which("teacher"), which("student"), **arguments)
    distiller.compile(keras.optimizers.SGD(0.5), metrics=["accuracy"])
    return distiller


@pytest.mark.parametrize("labels", [Y, Y[:, None], np.eye(3, dtype="float32")[Y]])
def test_formula_with_labels_of_every_form(labels):
    distiller = make(temperature=2.0)
    found = number(distiller.compute_loss(X, labels, distiller(X), WEIGHT))
    np.testing.assert_allclose(found, reference(X, Y, WEIGHT, 2.0), rtol=1e-5)


def test_trains_as_the_loss_with_stored_logits():
    distiller = make()
    history = distiller.fit(
        X, Y, sample_weight=WEIGHT, epochs=3, batch_size=3, shuffle=False, verbose=0
    )
    assert "accuracy" in history.history and history.history["total_loss"][-1] > 0
    student = model("student")
    student.compile(keras.optimizers.SGD(0.5), kr.losses.PLDLoss())
    packed = kr.losses.PLDLoss.pack_targets(Y, model("teacher").predict(X, verbose=0))
    student.fit(X, packed, sample_weight=WEIGHT, epochs=3, batch_size=3, shuffle=False, verbose=0)
    found, expected = (ops.convert_to_numpy(m.weights[0]) for m in (distiller.student, student))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(found, ops.convert_to_numpy(model("student").weights[0]))


def test_masked_steps_do_not_count():
    x = np.stack([X[:3], X[3:]])
    x[0, 2] = 0.0
    y = np.array([[0, 2, 1], [1, 0, 2]])
    distiller = make(masked)
    found = number(distiller.compute_loss(x, y, distiller(x)))
    kept = [0, 1, 3, 4, 5]
    flat = x.reshape(6, 4)[kept]
    expected = losses_of(y.ravel()[kept], logits("teacher", flat), logits("student", flat)).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_share_of_the_loss_given_to_compile():
    distiller = kr.distillation.PLDDistiller(
        model("teacher"), model("student"), student_loss_weight=0.25
    )
    with pytest.raises(ValueError, match="loss"):
        distiller.compile("sgd")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss)
    found = number(distiller.compute_loss(X, Y, distiller(X), WEIGHT))
    supervised = float(loss(Y, logits("student").astype("float32"), sample_weight=WEIGHT))
    expected = 0.25 * supervised + 0.75 * reference(X, Y, WEIGHT)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mixed_precision_and_a_keras_file(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        distiller = make(from_logits=True, temperature=3.0)
    finally:
        keras.config.set_dtype_policy(before)
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras", safe_mode=True)
    assert type(loaded) is kr.distillation.PLDDistiller and loaded.temperature == 3.0
    found, expected = (ops.convert_to_numpy(m.student.weights[0]) for m in (loaded, distiller))
    np.testing.assert_array_equal(found, expected)
