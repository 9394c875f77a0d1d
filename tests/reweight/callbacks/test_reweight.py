"""Reweight: exact weighting inside the compiled step, on any kind of model, and no trace after."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.losses.test_reweighted_loss import cross_entropy
from tests.reweight.weightings.test_lin_upper import reference as lin_upper

RNG = np.random.default_rng(1)
X = RNG.normal(size=(24, 4)).astype("float32")
Y = RNG.integers(0, 3, 24)
KERNEL = RNG.normal(size=(4, 3)).astype("float32")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def build(kind="sequential", optimizer=None, **compile_options):
    if kind == "sequential":
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    elif kind == "functional":
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    else:
        model = Subclassed()
        model(X[:1])
    model.set_weights([KERNEL, np.zeros(3, "float32")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.5), loss, **compile_options)
    return model


def expected_weights(steps, batch_size=8, warmup=0, temperature=0.4, sample_weight=None):
    """Plain NumPy gradient descent on the weighted loss."""
    kernel, bias = KERNEL.astype("float64"), np.zeros(3)
    for step in range(steps):
        rows = slice((step * batch_size) % 24, (step * batch_size) % 24 + batch_size)
        x, y = X[rows].astype("float64"), Y[rows]
        logits = x @ kernel + bias
        losses = cross_entropy(y, logits)
        weights = np.full(batch_size, 1 / batch_size)
        if step >= warmup:
            weights = lin_upper(losses, temperature)
        if sample_weight is not None:
            weights = weights * sample_weight[rows]
        p = np.exp(logits - logits.max(1, keepdims=True))
        delta = (p / p.sum(1, keepdims=True) - np.eye(3)[y]) * weights[:, None]
        kernel, bias = kernel - 0.5 * x.T @ delta, bias - 0.5 * delta.sum(0)
    return kernel, bias


def fit(model, callbacks, **options):
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, Y, callbacks=callbacks, **options)


@pytest.mark.parametrize("kind", ["sequential", "functional", "subclassed"])
def test_steps_equal_hand_written_descent(kind):
    model = build(kind)
    fit(model, [kr.callbacks.Reweight(kr.weightings.LinUpper(0.4), warmup_steps=2)])
    kernel, bias = expected_weights(6, warmup=2)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], bias, rtol=1e-4, atol=1e-5)


def test_sample_weight_is_multiplied():
    weight = RNG.uniform(0.5, 2, 24).astype("float32")
    model = build()
    callback = kr.callbacks.Reweight(kr.weightings.LinUpper(0.4))
    fit(model, [callback], sample_weight=weight)
    kernel, _ = expected_weights(6, sample_weight=weight)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4, atol=1e-5)


def test_validation_is_neither_weighted_nor_counted():
    model = build()
    callback = kr.callbacks.Reweight(kr.weightings.LinUpper(0.4))
    history = fit(model, [callback], validation_data=(X, Y))
    assert callback.get_state()["step"] == 6
    plain = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(history.history["val_loss"][-1], plain, rtol=1e-5)
    assert 0 < history.history["reweight_ess"][-1] < 1


def test_regularizers_and_loss_weights_survive():
    def two_heads():
        inputs = keras.Input((4,))
        dense = keras.layers.Dense(3, name="a", kernel_regularizer=keras.regularizers.L2(0.1))
        model = keras.Model(
            inputs, {"a": dense(inputs), "b": keras.layers.Dense(1, name="b")(inputs)}
        )
        model.set_weights([KERNEL, np.zeros(3), KERNEL[:, :1], np.zeros(1)])
        ce = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", {"a": ce, "b": "mse"}, loss_weights={"a": 1.0, "b": 0.3})
        return model

    targets = {"a": Y, "b": X[:, :1]}
    plain, weighted, single = two_heads(), two_heads(), two_heads()
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": 2}
    plain_history = plain.fit(X, targets, **options).history
    # Weights close to uniform must reproduce plain training, all other terms included.
    uniform = kr.callbacks.Reweight(kr.weightings.LinUpper(1e7))
    history = weighted.fit(X, targets, callbacks=[uniform], **options).history
    np.testing.assert_allclose(history["loss"], plain_history["loss"], rtol=1e-5)
    for mine, theirs in zip(weighted.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    only_b = kr.callbacks.Reweight(kr.weightings.LinUpper(0.1), outputs="b")
    single.fit(X, targets, callbacks=[only_b], **options)
    np.testing.assert_allclose(single.get_weights()[0], plain.get_weights()[0], rtol=1e-5)
    assert np.abs(single.get_weights()[2] - plain.get_weights()[2]).max() > 1e-4


def test_leaves_no_trace():
    model = build()
    before = set(model.__dict__)
    fit(model, [kr.callbacks.Reweight(kr.weightings.LinUpper())])
    assert set(model.__dict__) - before <= {"history", "_jax_state", "_eval_epoch_iterator"}
    assert [metric.name for metric in model.metrics] == ["loss"]
    plain, again = build(), build()
    fit(plain, [])
    fit(again, [kr.callbacks.Reweight(kr.weightings.LinUpper())])
    again.set_weights([KERNEL, np.zeros(3)])
    again.optimizer.iterations.assign(0)
    fit(again, [])
    for mine, theirs in zip(again.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_two_callbacks_multiply_and_need_two_names():
    model = build()
    weighting = kr.weightings.LinUpper(0.4)
    with pytest.raises(ValueError, match="'reweight'.*name="):
        fit(model, [kr.callbacks.Reweight(weighting), kr.callbacks.Reweight(weighting)])
    fit(model, [kr.callbacks.Reweight(weighting, name="a"), kr.callbacks.Reweight(weighting)])
    assert [metric.name for metric in model.metrics] == ["loss"]


@pytest.mark.filterwarnings("ignore:.*invalid value encountered", "ignore:__array__ implementation")
def test_nan_loss_names_the_batch():
    x = X.copy()
    x[17, 0] = np.nan
    model = build()
    callback = kr.callbacks.Reweight(kr.weightings.LinUpper())
    with pytest.raises(FloatingPointError, match=r"epoch 0, batch 2 \(training step 2\)"):
        model.fit(x, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    warn = kr.callbacks.Reweight(kr.weightings.LinUpper(), on_nonfinite="warn")
    model = build()
    with pytest.warns(UserWarning, match="epoch 0, batch 2"):
        model.fit(x, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[warn])


def test_schedule_changes_the_compiled_step_without_retracing():
    traces = []

    class Counted(kr.weightings.LinUpper):
        def weights(self, *args, **kwargs):
            traces.append(1)
            return super().weights(*args, **kwargs)

    schedule = kr.schedules.PolynomialDecay(4.0, 0.2, end_step=6, power=1.0)
    model = build()
    train_functions = []
    probe = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: train_functions.append(model.train_function)
    )
    fit(model, [kr.callbacks.Reweight(Counted(schedule)), probe], epochs=3)
    assert train_functions[0] is train_functions[-1]
    if keras.backend.backend() != "torch":
        assert len(traces) == 1
    constant = build()
    fit(constant, [kr.callbacks.Reweight(kr.weightings.LinUpper(4.0))], epochs=3)
    assert np.abs(constant.get_weights()[0] - model.get_weights()[0]).max() > 1e-4


def test_loss_without_per_sample_values_is_refused():
    model = build()
    model.compile("sgd", lambda y_true, y_pred: ops.mean(y_pred))
    with pytest.raises(ValueError, match="one scalar for the whole batch"):
        fit(model, [kr.callbacks.Reweight(kr.weightings.LinUpper())])


def test_override_that_never_calls_the_compiled_loss_is_refused():
    class Own(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(y_pred)

    model = Own([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="never called the compiled loss"):
        fit(model, [kr.callbacks.Reweight(kr.weightings.LinUpper())])


def test_bad_arguments():
    weighting = kr.weightings.LinUpper()
    with pytest.raises(ValueError, match="`warmup_steps`.*-1"):
        kr.callbacks.Reweight(weighting, warmup_steps=-1)
    with pytest.raises(TypeError, match="`weighting`"):
        kr.callbacks.Reweight(0.4)
    with pytest.raises(ValueError, match="`on_nonfinite`.*'ignore'"):
        kr.callbacks.Reweight(weighting, on_nonfinite="ignore")
    with pytest.raises(ValueError, match="no output 'c'"):
        fit(build("functional"), [kr.callbacks.Reweight(weighting, outputs="c")])
