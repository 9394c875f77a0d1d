"""LearningToReweight: a NumPy reference, finite differences of the look-ahead, training."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_all_close
from tests.reweight.meta import models
from tests.reweight.meta.models import CLEAN_X, CLEAN_Y, WEIGHT, X, Y

RATE = 0.5


def raw_weights(x, y, clean_x, clean_y, kernel=models.KERNEL, bias=models.BIAS):
    """What each sample does for the clean loss, by explicit gradients of every sample."""
    clean = [g.mean(axis=0) for g in models.gradients(clean_x, clean_y, kernel, bias)]
    each = models.gradients(x, y, kernel, bias)
    return np.maximum(
        sum((g * c).reshape(len(y), -1).sum(axis=1) for g, c in zip(each, clean, strict=True)), 0.0
    )


def reference(x, y, clean_x, clean_y, sample_weight=None, epochs=1):
    """Weights after steps of gradient descent on the whole batch."""
    kernel, bias = models.KERNEL, models.BIAS
    for _ in range(epochs):
        weights = raw_weights(x, y, clean_x, clean_y, kernel, bias)
        weights = weights if sample_weight is None else weights * sample_weight
        total = weights.sum()
        weights = weights / total if total else weights
        by_kernel, by_bias = models.gradients(x, y, kernel, bias)
        kernel = kernel - RATE * np.tensordot(weights, by_kernel, axes=1)
        bias = bias - RATE * weights @ by_bias
    return {"0": kernel, "1": bias}


def outcome(wrapper, x, y, clean_x, clean_y, sample_weight):
    """The weights after one step."""
    wrapper.meta_data = (clean_x, clean_y)
    wrapper.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps())
    wrapper.fit(x, y, sample_weight=sample_weight, batch_size=len(x), shuffle=False, verbose=0)
    return {str(i): value for i, value in enumerate(models.weights_of(wrapper.model))}


def make(model=None, clean=(CLEAN_X, CLEAN_Y), optimizer=None, options=None, **arguments):
    wrapper = kr.meta.LearningToReweight(model or models.linear(), clean, **arguments)
    optimizer = optimizer or keras.optimizers.SGD(RATE)
    wrapper.compile(optimizer, models.loss(), **{**models.steps(), **(options or {})})
    return wrapper


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_steps_as_in_numpy(weight):
    wrapper = make(options=models.steps(compiled=True))
    wrapper.fit(X, Y, sample_weight=weight, batch_size=8, epochs=3, shuffle=False, verbose=0)
    expected = reference(X, Y, CLEAN_X, CLEAN_Y, weight, epochs=3)
    assert_all_close(dict(enumerate(models.weights_of(wrapper.model))), list(expected.values()), "")


def test_weights_are_the_slope_of_the_look_ahead():
    """Central differences of the clean loss behind a step, by the weight of each sample."""
    found = make().sample_weights(X, Y, batch_size=3)
    by_kernel, by_bias = models.gradients(X, Y)

    def clean_loss(epsilon):
        kernel = models.KERNEL - np.tensordot(epsilon, by_kernel, axes=1)
        bias = models.BIAS - epsilon @ by_bias
        return models.losses(CLEAN_X, CLEAN_Y, kernel, bias).mean()

    slope = [(clean_loss(h) - clean_loss(-h)) / 2e-5 for h in 1e-5 * np.eye(len(Y))]
    assert (np.array(slope) > 0).any() and (np.array(slope) < 0).any()
    np.testing.assert_allclose(found, np.maximum(-np.array(slope), 0.0), rtol=1e-4, atol=1e-6)


def test_if_no_sample_helps_nothing_is_learned():
    """A sample whose only feature points the other way, and the bias fixed."""
    clean = (-X[:1], Y[:1])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    start = models.weights_of(model)
    wrapper = make(model, clean)
    assert wrapper.sample_weights(X[:1], Y[:1]) == 0.0
    history = wrapper.fit(X[:1], Y[:1], verbose=0).history
    np.testing.assert_array_equal(models.weights_of(model)[0], start[0])
    assert history["loss"] == [0.0]


def network():
    """Everything that has a training mode."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(6, activation="relu"),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


def test_fit_evaluate_and_predict():
    model = network()
    moving = model.layers[1].moving_mean
    wrapper = make(
        model,
        optimizer=keras.optimizers.Adam(0.01),
        options={
            "metrics": ["accuracy"],
            "weighted_metrics": ["accuracy"],
            **models.steps(compiled=True),
        },
        meta_batch_size=3,
        seed=1,
    )
    history = wrapper.fit(
        X, Y, validation_data=(X, Y), epochs=2, batch_size=3, class_weight={0: 2.0, 1: 1.0, 2: 1.0},
        verbose=0,
    ).history  # fmt: skip
    keys = {"loss", "accuracy", "weighted_accuracy"}
    assert set(history) == keys | {f"val_{key}" for key in keys}
    assert np.isfinite(list(history.values())).all()
    assert int(ops.convert_to_numpy(wrapper.optimizer.iterations)) == 6
    assert np.abs(ops.convert_to_numpy(moving)).max() > 0
    inner = ops.convert_to_numpy(model(X, training=False))
    np.testing.assert_allclose(wrapper.predict(X, verbose=0), inner, rtol=1e-5, atol=1e-6)
    found = wrapper.evaluate(X, Y, verbose=0, return_dict=True)
    penalty = 0.1 * (models.weights_of(model)[-2] ** 2).sum()
    expected = float(ops.convert_to_numpy(models.loss()(Y, inner))) + penalty
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)


def test_batch_normalization_moves_once_a_step():
    model = network()
    hidden = ops.convert_to_numpy(model.layers[0](X)).mean(axis=0)
    make(model).fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    found = ops.convert_to_numpy(model.layers[1].moving_mean)
    np.testing.assert_allclose(found, 0.5 * hidden, rtol=1e-5, atol=1e-6)


def test_dropout_draws_anew_in_every_step():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    wrapper = make(model, optimizer=keras.optimizers.SGD(1e-6))
    seen = [wrapper.train_on_batch(X, Y) for _ in range(4)]
    assert len(set(np.round(seen, 4))) > 1, seen


def test_two_outputs():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(1)(inputs)])
    target = X[:, :1]
    wrapper = kr.meta.LearningToReweight(model, (CLEAN_X, [CLEAN_Y, CLEAN_X[:, :1]]))
    wrapper.compile("sgd", [models.loss(), "mse"], loss_weights=[1.0, 0.5], **models.steps())
    start = models.weights_of(model)
    wrapper.fit(X, [Y, target], batch_size=8, verbose=0)
    assert all(not np.allclose(a, b) for a, b in zip(models.weights_of(model), start, strict=True))
    assert wrapper.sample_weights(X, [Y, target]).shape == (8,)
    kept = models.weights_of(model)
    with pytest.raises(ValueError, match="one `sample_weight` per sample"):
        wrapper.fit(X, [Y, target], sample_weight=[WEIGHT, WEIGHT], verbose=0)
    for found, expected in zip(models.weights_of(model), kept, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_sequence_with_a_mask_ignores_what_is_masked():
    def run(filler):
        inputs = keras.Input((3, 2))
        dense = keras.layers.Dense(2)
        model = keras.Model(inputs, dense(keras.layers.Masking()(inputs)))
        dense.kernel.assign(np.array([[0.3, -0.2], [0.1, 0.4]], "float32"))
        x = X[:6].reshape(4, 3, 2).copy()
        x[1, 2] = 0.0
        y = np.array([[0, 1, 1], [1, 0, filler], [0, 0, 1], [1, 1, 0]])
        wrapper = make(model, (x[:2], y[:2]), options={"metrics": ["accuracy"]})
        history = wrapper.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
        return [*models.weights_of(model), history["accuracy"][0]]

    for first, second in zip(run(0), run(1), strict=True):
        np.testing.assert_array_equal(first, second)


def test_clean_batches_are_drawn_without_replacement():
    """With all samples drawn the order does not matter."""
    wrapper = make(meta_batch_size=5)
    wrapper.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    expected = reference(X, Y, CLEAN_X, CLEAN_Y)
    assert_all_close(dict(enumerate(models.weights_of(wrapper.model))), list(expected.values()), "")


def test_new_clean_data_reach_the_compiled_step():
    wrapper = make(options=models.steps(compiled=True))
    wrapper.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    wrapper.model.set_weights(models.linear().get_weights())
    assert wrapper.train_function is not None
    wrapper.meta_data = [(CLEAN_X[:2], 2 - CLEAN_Y[:2]), (CLEAN_X[2:], 2 - CLEAN_Y[2:])]
    wrapper.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    expected = reference(X, Y, CLEAN_X, 2 - CLEAN_Y)
    assert_all_close(dict(enumerate(models.weights_of(wrapper.model))), list(expected.values()), "")


def test_a_keras_file(tmp_path):
    wrapper = make(network(), meta_batch_size=2, seed=3, options={"metrics": ["accuracy"]})
    wrapper.fit(X, Y, verbose=0)
    wrapper.save(tmp_path / "wrapper.keras")
    loaded = keras.saving.load_model(tmp_path / "wrapper.keras", safe_mode=True)
    assert type(loaded) is kr.meta.LearningToReweight
    assert (loaded.meta_batch_size, loaded.seed, loaded.meta_data) == (2, 3, None)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), wrapper.predict(X, verbose=0))
    with pytest.raises(ValueError, match="meta_data"):
        loaded.fit(X, Y, verbose=0)
    loaded.meta_data = (CLEAN_X, CLEAN_Y)
    loaded.fit(X, Y, verbose=0)
    loaded.model.save(tmp_path / "model.keras")
    plain = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(plain.predict(X, verbose=0), loaded.predict(X, verbose=0))


def test_mixed_precision():
    inner = models.linear(dtype="mixed_bfloat16")
    wrapper = make(inner)
    wrapper.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    expected = reference(X, Y, CLEAN_X, CLEAN_Y)
    for found, value in zip(models.weights_of(inner), expected.values(), strict=True):
        np.testing.assert_allclose(found, value, atol=0.02)
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        make(models.linear(dtype="mixed_float16"))


def test_bad_arguments():
    model = models.linear()
    for data, error in [
        (CLEAN_X, ValueError),
        ((CLEAN_X, CLEAN_Y, CLEAN_Y), ValueError),
        ("clean", TypeError),
        ([], ValueError),
    ]:
        with pytest.raises(error, match="data"):
            kr.meta.LearningToReweight(model, data)
    with pytest.raises(ValueError, match="at most the number of clean samples, 5, got 6"):
        kr.meta.LearningToReweight(model, (CLEAN_X, CLEAN_Y), meta_batch_size=6)
    with pytest.raises(ValueError, match="not built"):
        kr.meta.LearningToReweight(keras.Sequential([keras.layers.Dense(3)]), (CLEAN_X, CLEAN_Y))
    with pytest.raises(ValueError, match="loss"):
        kr.meta.LearningToReweight(model, (CLEAN_X, CLEAN_Y)).compile("sgd")
