"""STORM: finite differences of the meta loss by the rescaler, steps in NumPy, training."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_loss_statistics import reference as statistics
from tests.reweight.meta import models
from tests.reweight.meta.models import WEIGHT, X, Y
from tests.reweight.meta.test_adam import reference as adam_update
from tests.reweight.meta.test_rescaler import parameters as rescaler_parameters
from tests.reweight.meta.test_rescaler import reference as rescale

RATE = 0.3
HALF = 4


def features(x, y, kernel, bias, per_class):
    """Statistics of three equal passes, which is what a model without Dropout gives."""
    losses = np.stack([models.losses(x, y, kernel, bias)] * 3)
    scores = np.stack([models.probabilities(x, kernel, bias)] * 3)
    return statistics(losses, scores, y, models.CLASSES if per_class else None, False)


class Reference:
    """One step in float64, with the meta loss as a function of the rescaler."""

    def __init__(self, x, y, given, *, per_class=False, rescale_meta=True, moments=None):
        self.theta = models.KERNEL, models.BIAS
        self.given = np.ones(len(y)) if given is None else given
        self.x, self.y, self.rescale_meta, self.moments = x, y, rescale_meta, moments
        self.rows = y if per_class else np.zeros_like(y)
        self.parameters = rescaler_parameters(models.CLASSES if per_class else 1)
        self.first = features(x[:HALF], y[:HALF], *self.theta, per_class)
        # Features are no function of the rescaler, though theta' is.
        ahead = self.look_ahead(self.parameters)
        self.second = features(x[HALF:], y[HALF:], *ahead, per_class)

    def weights(self, parameters):
        return (
            rescale(self.first, self.rows[:HALF], parameters),
            rescale(self.second, self.rows[HALF:], parameters),
        )

    def look_ahead(self, parameters):
        w = rescale(self.first, self.rows[:HALF], parameters) * self.given[:HALF]
        each = models.gradients(self.x[:HALF], self.y[:HALF], *self.theta)
        gradient = [np.tensordot(w, g, axes=1) / HALF for g in each]
        if self.moments is None:
            return [v - RATE * g for v, g in zip(self.theta, gradient, strict=True)]
        steps = zip(self.theta, gradient, *self.moments, strict=True)
        return [v - adam_update(g, m, s, 4, RATE) for v, g, m, s in steps]

    def meta_loss(self, parameters):
        _, w = self.weights(parameters)
        losses = models.losses(self.x[HALF:], self.y[HALF:], *self.look_ahead(parameters))
        return np.mean((w if self.rescale_meta else 1.0) * self.given[HALF:] * losses)

    def gradient(self, number, index, h=1e-6):
        values = []
        for sign in (1.0, -1.0):
            moved = [p.copy() for p in self.parameters]
            moved[number][index] += sign * h
            values.append(self.meta_loss(moved))
        return (values[0] - values[1]) / (2 * h)

    def step(self):
        w = np.concatenate(self.weights(self.parameters)) * self.given / len(self.y)
        each = models.gradients(self.x, self.y, *self.theta)
        return [
            v - RATE * np.tensordot(w, g, axes=1) for v, g in zip(self.theta, each, strict=True)
        ]


def make(model=None, optimizer=None, compiled=None, **arguments):
    storm = kr.meta.STORM(model or models.linear(), models.CLASSES, **arguments)
    options = {**models.steps(), **(compiled or {})}
    storm.compile(optimizer or keras.optimizers.SGD(RATE), models.loss(), **options)
    return storm


def fixed(**arguments):
    """With the parameters of the reference in the rescaler."""
    storm = make(**arguments)
    heads = models.CLASSES if storm.per_class else 1
    for variable, value in zip(storm.rescaler.learned, rescaler_parameters(heads), strict=True):
        variable.assign(value.astype("float32"))
    return storm


def outcome(storm, x, y):
    """The weights after one step from the parameters of the reference."""
    storm.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps())
    given = rescaler_parameters(storm.rescaler.num_heads)
    for variable, value in zip(storm.rescaler.learned, given, strict=True):
        variable.assign(value.astype("float32"))
    storm.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)
    return {str(i): value for i, value in enumerate(models.weights_of(storm.model))}


def row_reference(x, y, per_class):
    found = Reference(x, y, None, per_class=per_class).step()
    return {str(i): value for i, value in enumerate(found)}


def one_step(storm, given=None):
    storm.fit(X, Y, sample_weight=given, batch_size=8, shuffle=False, verbose=0)
    return storm


def gradients_of(storm):
    """What the rescaler saw: after one step the first moments are a tenth of it."""
    return [ops.convert_to_numpy(moment) / 0.1 for moment in storm._moments[0]]


@pytest.mark.parametrize(
    ("per_class", "rescale_meta", "inner"),
    [(False, False, "sgd"), (True, True, "adam")],
)
def test_the_meta_gradient_is_that_of_finite_differences(per_class, rescale_meta, inner):
    compiled, moments = {"inner_optimizer": inner}, None
    draws = np.random.default_rng(7)
    if inner == "adam":
        shapes = [models.KERNEL.shape, models.BIAS.shape]
        moments = [
            [0.1 * draws.normal(size=shape) for shape in shapes],
            [draws.uniform(0.01, 0.1, size=shape) for shape in shapes],
        ]
    storm = fixed(per_class=per_class, rescale_meta_loss=rescale_meta, compiled=compiled)
    if inner == "adam":
        storm._steps.assign(3.0)
        for variables, values in zip(storm._inner_moments, moments, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value.astype("float32"))
    reference = Reference(
        X, Y, WEIGHT, per_class=per_class, rescale_meta=rescale_meta, moments=moments
    )
    found = gradients_of(one_step(storm, WEIGHT))
    for number, found_one in enumerate(found):
        scale = np.abs(found_one).max()
        # Biases before a normalization do nothing.
        assert scale > 1e-4 or number in (1, 3)
        flat = draws.permutation(found_one.size)[:12]
        for index in zip(*np.unravel_index(flat, found_one.shape), strict=True):
            expected = reference.gradient(number, index)
            np.testing.assert_allclose(found_one[index], expected, atol=2e-3 * scale + 2e-7)
    for value, expected in zip(models.weights_of(storm.model), reference.step(), strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-6)


def network(outputs=models.CLASSES, **options):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(8, activation="relu", **options),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(outputs, kernel_regularizer="l2", **options),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


def test_fit_evaluate_and_predict():
    """The last batch holds one sample."""
    model = network()
    compiled = {"metrics": ["accuracy"], "inner_optimizer": "adam", **models.steps(compiled=True)}
    storm = make(model, keras.optimizers.Adam(0.01), compiled, num_passes=1)
    before = [ops.convert_to_numpy(variable) for variable in storm.rescaler.learned]
    data = X[:6], Y[:6]
    history = storm.fit(
        *data, sample_weight=WEIGHT[:6], validation_data=data, batch_size=5, verbose=0
    ).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert np.isfinite(list(history.values())).all()
    assert len(storm.trainable_variables) == len(model.trainable_variables)
    after = [ops.convert_to_numpy(variable) for variable in storm.rescaler.learned]
    assert all(np.isfinite(a).all() for a in after) and not np.allclose(before[0], after[0])
    inner = ops.convert_to_numpy(model(X[:6], training=False))
    np.testing.assert_allclose(storm.predict(X[:6], verbose=0), inner, rtol=1e-5, atol=1e-6)


def test_a_keras_file_and_weights_of_samples(tmp_path):
    """Asking for the weights writes nothing, repeats itself, and a saved model answers the same."""
    compiled = {"inner_optimizer": "adam", "inner_learning_rate": 0.02}
    storm = one_step(make(network(), window=6, per_class=True, compiled=compiled, num_passes=1))
    before = [ops.convert_to_numpy(variable) for variable in storm.variables]
    first = storm.sample_weights(X, Y, batch_size=4)
    assert first.shape == (8,) and (first > 0).all() and (first < 1).all()
    np.testing.assert_array_equal(first, storm.sample_weights(X, Y, batch_size=4))
    for variable, value in zip(storm.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    storm.save(tmp_path / "storm.keras")
    loaded = keras.saving.load_model(tmp_path / "storm.keras", safe_mode=True)
    assert type(loaded) is kr.meta.STORM
    assert loaded.get_compile_config()["inner_learning_rate"] == 0.02
    for found, expected in zip(loaded.weights, storm.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))
    loaded.compile("sgd", models.loss(), inner_optimizer="adam", **models.steps())
    one_step(loaded)
    assert not np.allclose(first, loaded.sample_weights(X, Y, batch_size=4))


def test_one_hot_labels():
    storm = fixed(num_passes=0)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    storm.compile(keras.optimizers.SGD(RATE), loss, **models.steps())
    storm.fit(X, np.eye(3, dtype="float32")[Y], batch_size=8, shuffle=False, verbose=0)
    expected = Reference(X, Y, None).step()
    for found, value in zip(models.weights_of(storm.model), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=2e-5, atol=1e-6)


def test_one_output_for_two_classes_in_mixed_precision():
    model = network(1, dtype="mixed_bfloat16")
    start = models.weights_of(model)
    storm = kr.meta.STORM(model, 2, per_class=True, num_passes=0)
    storm.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True), **models.steps())
    storm.fit(X, Y[:, None] % 2, batch_size=8, verbose=0)
    found = models.weights_of(model)
    assert all(np.isfinite(weight).all() for weight in found)
    assert not np.allclose(found[0], start[0])
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        make(network(dtype="mixed_float16"))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_classes`=4 .* got \(None, 3\)"):
        kr.meta.STORM(models.linear(), 4)
    with pytest.raises(ValueError, match="inner_optimizer"):
        make(compiled={"inner_optimizer": "rmsprop"})
    with pytest.raises(ValueError, match="inner_learning_rate"):
        make(compiled={"inner_learning_rate": -1.0})
    storm = kr.meta.STORM(models.linear(), 3)
    with pytest.raises(ValueError, match="compile and fit"):
        storm.sample_weights(X, Y)
