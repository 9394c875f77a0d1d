"""The light form of UDIM, in NumPy for a linear model."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.functional import test_gradient_variance_gap
from tests.reweight.meta import models
from tests.reweight.sharpness import test_sam

RATE = 0.1
ARGUMENTS = {"weight": 3.0, "step": 0.7}


def penalty(kernel, bias, shifted):
    here, there = (
        [part.astype("float64") for part in models.gradients(x, models.Y, kernel, bias)]
        for x in (models.X, shifted)
    )
    return test_gradient_variance_gap.of_gradients(here, there)


def differences(fn, values, step=1e-5):
    """Central differences of a function of a list of arrays, in float64."""
    found = []
    for place, value in enumerate(values):
        slopes = np.empty(value.shape)
        for entry in np.ndindex(value.shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = [np.array(one, "float64") for one in values]
                moved[place][entry] += sign * step
                ends.append(fn(*moved))
            slopes[entry] = (ends[0] - ends[1]) / (2.0 * step)
        found.append(slopes)
    return found


def reference(weight, step, rho=0.3):
    """Kernel and bias after a step."""
    values = [models.KERNEL, models.BIAS]
    delta = models.probabilities(models.X) - np.eye(models.CLASSES)[models.Y]
    slopes = delta @ models.KERNEL.T
    shifted = models.X + step * slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    found = differences(lambda kernel, bias: penalty(kernel, bias, shifted), values)
    sam = test_sam.reference_step(rho)
    return [one - RATE * weight * slope for one, slope in zip(sam, found, strict=True)]


def after_a_step(trainer, compiled=False, loss=None, y=models.Y, **fit):
    loss = models.loss() if loss is None else loss
    trainer.compile(keras.optimizers.SGD(RATE), loss, **models.steps(compiled))
    trainer.fit(models.X, y, batch_size=8, verbose=0, **fit)
    return models.weights_of(trainer.model)


def udim(model=None, **changes):
    model = models.linear() if model is None else model
    return kr.sharpness.UDIM(model, kr.sharpness.SAM(0.3), **{**ARGUMENTS, **changes})


def assert_weights(found, expected, relative=1e-4):
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, "a weight", relative=relative)


def test_a_step_follows_the_formula():
    assert_weights(after_a_step(udim(), compiled=True), reference(**ARGUMENTS))
    gap = reference(**ARGUMENTS)[0] - reference(0.0, 1.0)[0]
    assert np.abs(gap).max() > 1e-2


def test_probabilities_and_smoothed_labels():
    softmax = models.linear(activation="softmax")
    found = after_a_step(udim(softmax), loss="sparse_categorical_crossentropy")
    assert_weights(found, reference(**ARGUMENTS))
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
    labels = np.eye(3, dtype="float32")[models.Y]
    soft = keras.losses.CategoricalCrossentropy(from_logits=True)
    found = after_a_step(udim(), loss=smoothed, y=labels)
    assert_weights(found, after_a_step(udim(), loss=soft, y=0.7 * labels + 0.1))


def test_before_its_first_epoch_it_is_the_rule():
    assert_weights(after_a_step(udim(start_epoch=1)), test_sam.reference_step(0.3))
    trainer = udim(start_epoch=1)
    found = after_a_step(trainer, initial_epoch=1, epochs=2)
    assert_weights(found, reference(**ARGUMENTS))


def test_all_weights_get_the_penalty_and_statistics_do_not_see_shifted_inputs():
    plain, penalized = test_sam.network(), test_sam.network()
    test_sam.after_a_step(kr.sharpness.SAM(0.3), plain)
    after_a_step(udim(penalized))
    moved = [
        np.abs(a - b).max()
        for a, b in zip(plain.get_weights(), penalized.get_weights(), strict=True)
    ]
    names = [variable.path.split("/")[-1] for variable in plain.weights]
    for name, distance in zip(names, moved, strict=True):
        assert (distance < 1e-6) == name.startswith("moving"), name


def test_it_is_saved_with_its_rule(tmp_path):
    trainer = udim(layer="dense_of_classes", model=models.linear(name="dense_of_classes"))
    after_a_step(trainer)
    path = tmp_path / "trainer.keras"
    trainer.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.rule.get_config() == trainer.rule.get_config()
    own = ("layer", "weight", "step", "start_epoch")
    assert [getattr(loaded, key) for key in own] == [getattr(trainer, key) for key in own]


def test_what_it_needs():
    with pytest.raises(ValueError, match="Dense"):
        udim(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")]))
    inputs = keras.Input((4,))
    scaled = keras.layers.Rescaling(2.0)(keras.layers.Dense(3)(inputs))
    with pytest.raises(ValueError, match="Dense"):
        udim(keras.Model(inputs, scaled))
    with pytest.raises(ValueError, match="categorical cross-entropy"):
        after_a_step(udim(), loss="mse", y=np.eye(3)[models.Y])
    tokens = [keras.Input((4,), dtype="int32"), keras.layers.Embedding(5, 2)]
    model = keras.Sequential([*tokens, keras.layers.Flatten(), keras.layers.Dense(3)])
    trainer = udim(model)
    trainer.compile("sgd", models.loss(), **models.steps())
    with pytest.raises(TypeError, match="float input"):
        trainer.fit(np.zeros((8, 4), "int32"), models.Y, verbose=0)
