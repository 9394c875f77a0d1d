"""WeightedDistiller: Keras' loss without weights, and the weights that Keras leaves out."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.distillation.models import WEIGHT, X, Y, logits, masked, model, number


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def terms(teacher, student, y, temperature):
    """Crossentropy and scaled divergence of every sample."""
    chosen = np.take_along_axis(softmax(student), y[..., None], axis=-1)[..., 0]
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return -np.log(chosen), temperature**2 * np.sum(p * np.log(p / q), axis=-1)


def reference(x, y, sample_weight, student_loss_weight=0.5, distillation_loss_weights=(1.0,)):
    crossentropy, divergence = terms(logits("teacher", x), logits("student", x), y, 2.0)
    each = student_loss_weight * crossentropy
    each = each + (1 - student_loss_weight) * distillation_loss_weights[0] * divergence
    return np.mean(sample_weight * each)


def compiled(distiller, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.1), loss, **options)
    return distiller


def outcome(distiller, x, y, sample_weight):
    """The loss of a weighted batch, by `compute_loss`."""
    return number(compiled(distiller).compute_loss(x, y, distiller(x), sample_weight))


def make(losses=None, which=model, cls=kr.distillation.WeightedDistiller, **arguments):
    losses = keras.distillation.LogitsDistillation(2.0) if losses is None else losses
    return compiled(
        cls(which("teacher"), which("student"), distillation_losses=losses, **arguments)
    )


@pytest.mark.parametrize("loss", ["kl_divergence", keras.losses.KLDivergence()])
@pytest.mark.parametrize("weight", [np.ones(6, "float32"), WEIGHT])
def test_formula(loss, weight):
    distiller = make(keras.distillation.LogitsDistillation(2.0, loss), student_loss_weight=0.3)
    found = distiller.compute_loss(X, Y, distiller(X), weight)
    np.testing.assert_allclose(number(found), reference(X, Y, weight, 0.3), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*structure of `inputs`")
def test_without_weights_as_keras():
    losses = [
        keras.distillation.LogitsDistillation(3.0, keras.losses.KLDivergence()),
        keras.distillation.FeatureDistillation(
            teacher_layer_name="teacher_out", student_layer_name="student_out"
        ),
    ]
    options = {"distillation_loss_weights": [0.7, 0.2], "student_loss_weight": 0.4}
    ours = make(losses, **options)
    theirs = make(losses, cls=keras.distillation.Distiller, **options)
    found, expected = (number(d.compute_loss(X, Y, d(X))) for d in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_sample_of_weight_zero_trains_nothing():
    kernels = []
    for label in (0, 1):
        distiller = make()
        y, x = Y.copy(), X.copy()
        y[1], x[1] = label, 5.0 * label
        distiller.fit(x, y, sample_weight=WEIGHT, batch_size=3, shuffle=False, verbose=0)
        kernels.append(ops.convert_to_numpy(distiller.student.weights[0]))
        teacher = ops.convert_to_numpy(distiller.teacher.weights[0])
        np.testing.assert_array_equal(teacher, ops.convert_to_numpy(model("teacher").weights[0]))
    np.testing.assert_array_equal(*kernels)
    assert not np.allclose(kernels[0], ops.convert_to_numpy(model("student").weights[0]))


def test_masked_steps_count_neither_in_the_loss_nor_in_the_distillation():
    x = np.stack([X[:3], X[3:]])
    x[0, 2] = 0.0
    y = np.array([[0, 2, 1], [1, 0, 2]])
    distiller = make(which=masked)
    found = number(distiller.compute_loss(x, y, distiller(x)))
    crossentropy, divergence = terms(logits("teacher", x), logits("student", x), y, 2.0)
    left = np.array([[True, True, False], [True, True, True]])
    np.testing.assert_allclose(found, (0.5 * (crossentropy + divergence))[left].mean(), rtol=1e-5)


def test_a_distillation_loss_of_your_own_works_until_there_are_weights():
    class Distance(keras.distillation.DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return ops.mean(ops.abs(teacher_outputs - student_outputs))

    distiller = make(Distance(), student_loss_weight=0.0)
    expected = np.abs(logits("teacher") - logits("student")).mean()
    np.testing.assert_allclose(
        number(distiller.compute_loss(X, Y, distiller(X))), expected, rtol=1e-5
    )
    with pytest.raises(ValueError, match="sample_weight"):
        distiller.compute_loss(X, Y, distiller(X), WEIGHT)


def test_two_outputs_with_weights_of_their_own():
    def two(which):
        inputs = keras.Input((4,))
        dense = keras.layers.Dense(3, use_bias=False)
        made = keras.Model(inputs, [dense(inputs), keras.layers.Rescaling(2.0)(dense(inputs))])
        dense.kernel.assign(ops.convert_to_tensor(model(which).weights[0]))
        return made

    distillation = keras.distillation.LogitsDistillation(2.0, [keras.losses.KLDivergence(), None])
    distiller = make(distillation, which=two)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", [loss, loss])
    second = WEIGHT[::-1].copy()
    found = number(distiller.compute_loss(X, [Y, Y], distiller(X), [WEIGHT, second]))
    crossentropy, divergence = terms(logits("teacher"), logits("student"), Y, 2.0)
    doubled, _ = terms(logits("teacher"), 2 * logits("student"), Y, 2.0)
    expected = 0.5 * np.mean(WEIGHT * (crossentropy + divergence) + second * doubled)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_keras_file(tmp_path):
    distiller = make()
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras", safe_mode=True)
    assert type(loaded) is kr.distillation.WeightedDistiller
    found, expected = (number(d.compute_loss(X, Y, d(X), WEIGHT)) for d in (loaded, distiller))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), distiller.predict(X, verbose=0))


def test_wrong_losses():
    with pytest.raises(TypeError, match="distillation_losses"):
        make("kl_divergence")
