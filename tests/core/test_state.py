"""The state carrier inside the jitted step, on every kind of model and through every file."""

import copy
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.state import attach_state, carriers, detach_state
from keras_reweight.core.training_callback import TrainingCallback

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X[:, :1]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def build(kind):
    if kind == "sequential":
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    elif kind == "functional":
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    else:
        model = Subclassed()
        model(X[:1])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


@keras.saving.register_keras_serializable(package="tests")
class Counter(TrainingCallback):
    """Counts steps in the step, and multiplies weights by a value that the host changes."""

    def state_spec(self):
        return {"step": np.zeros((), "int32"), "scale": np.ones((), "float32")}

    def weigh(self, call):
        self.carrier["step"].assign(self.carrier.value("step") + 1)
        return ops.ones_like(call.losses) * self.carrier.value("scale")

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018
        self.carrier.write({"scale": np.zeros(())})


KINDS = ["sequential", "functional", "subclassed"]
FIT = {"batch_size": 4, "verbose": 0, "shuffle": False}


@pytest.mark.parametrize("kind", KINDS)
def test_written_in_the_step_and_read_by_the_host_and_back(kind):
    model = build(kind)
    counter = Counter()
    history = model.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[counter], **FIT).history
    assert counter.get_state()["step"] == 12
    assert history["loss"][0] > 0 and history["loss"][1:] == [0.0, 0.0]
    assert all(value > 0 for value in history["val_loss"])
    assert sorted(history) == ["loss", "mae", "val_loss", "val_mae"]


@pytest.mark.parametrize("kind", KINDS)
def test_attach_and_detach_by_hand(kind):
    model = build(kind)
    model.fit(X, Y, **FIT)
    weights, metrics = len(model.weights), len(model.metrics)
    carrier = attach_state(model, "mine", {"a": np.arange(3)})
    assert carriers(model) == [carrier] and len(model.weights) == weights
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    np.testing.assert_array_equal(carrier.read()["a"], [0, 1, 2])
    attach_state(model, "mine", {"b": np.zeros(2)})
    assert len(carriers(model)) == 1 and "b" in carriers(model)[0]
    detach_state(model, "mine")
    detach_state(model, "mine")
    assert not carriers(model) and len(model.metrics) == metrics
    model.fit(X, Y, **FIT)


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_absent_from_files_made_while_attached(kind, tmp_path):
    model = build(kind)
    model.fit(X, Y, **FIT)
    attach_state(model, "mine", {"a": np.full(3, 123.0)})
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    detach_state(model, "mine")
    plain = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert not carriers(plain)
    build(kind).load_weights(tmp_path / "model.weights.h5")
    clean = build(kind)
    clean.fit(X, Y, **FIT)
    clean.save_weights(tmp_path / "clean.weights.h5")
    sizes = [os.path.getsize(tmp_path / f"{name}.weights.h5") for name in ("model", "clean")]
    assert sizes[0] == sizes[1]


def test_exported_model_has_no_carrier(tmp_path):
    if keras.backend.backend() != "tensorflow":
        # The other exporters trace the forward pass and save the model's own variables.
        model = build("functional")
        carrier = attach_state(model, "mine", {"a": np.zeros(3)})
        owned = {id(variable) for variable in model.variables}
        assert owned and id(carrier["a"]) not in owned
        if keras.backend.backend() == "torch":
            assert len(model.state_dict()) == len(model.weights)
        return
    model = build("functional")
    attach_state(model, "mine", {"a": np.zeros(3)})
    model.export(tmp_path / "exported", verbose=False)
    files = [path for path in (tmp_path / "exported").rglob("*") if path.is_file()]
    assert files and not any(b"kr_state" in path.read_bytes() for path in files)


def test_state_round_trip_through_get_and_set():
    first = Counter()
    build("functional").fit(X, Y, epochs=2, callbacks=[first], **FIT)
    second = Counter()
    second.set_state(first.get_state())
    np.testing.assert_array_equal(second.get_state()["step"], 8)
    history = build("functional").fit(X, Y, callbacks=[second], **FIT).history
    assert second.get_state()["step"] == 12 and history["loss"] == [0.0]
    build("functional").fit(X, Y, callbacks=[second], **FIT)
    assert second.get_state()["step"] == 4  # a second fit starts clean


def test_state_is_checked_before_it_is_written():
    model = build("functional")
    carrier = attach_state(model, "mine", {"a": np.zeros(2), "b": np.zeros(())})
    with pytest.raises(ValueError, match="'c'"):
        carrier.write({"a": np.ones(2), "c": np.ones(2)})
    with pytest.raises(ValueError, match=r"'b'.*\(\).*\(3,\)"):
        carrier.write({"a": np.ones(2), "b": np.ones(3)})
    np.testing.assert_array_equal(carrier.read()["a"], 0)
    counter = Counter()
    counter.set_state({"step": np.array(3)})
    with pytest.raises(ValueError, match="counter.*'scale'"):
        model.fit(X, Y, callbacks=[counter], **FIT)


def test_steps_per_execution_and_eager():
    for options in ({"steps_per_execution": 2}, {"run_eagerly": True}):
        if keras.backend.backend() == "torch" and "steps_per_execution" in options:
            continue  # Keras refuses it on torch
        model = build("functional")
        model.compile("sgd", "mse", **options)
        counter = Counter()
        model.fit(X, Y, epochs=2, callbacks=[counter], **FIT)
        assert counter.get_state()["step"] == 8


def test_deepcopies_are_independent():
    counter = Counter()
    model = build("functional")
    model.fit(X, Y, callbacks=[counter], **FIT)
    clone = copy.deepcopy(counter)
    build("functional").fit(X, Y, epochs=2, callbacks=[clone], **FIT)
    assert clone.get_state()["step"] == 8 and counter.get_state()["step"] == 4


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


# `pytest.warns` raises other warnings again, outside the module that the global filter names.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_remains_of_an_interrupted_fit_are_taken_off():
    model, counter = build("functional"), Counter()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, callbacks=[counter, Interrupt()], **FIT)
    assert carriers(model)
    with pytest.warns(UserWarning, match="interrupted.*'counter'"):
        model.fit(X, Y, **FIT)
    assert not carriers(model)
    assert not {"compute_loss", "make_train_function"} & set(model.__dict__)
    assert counter.get_state()["step"] == 2
    model.fit(X, Y, callbacks=[counter], **FIT)
    assert counter.get_state()["step"] == 4


def test_gone_on_request():
    model, counter = build("functional"), Counter()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, callbacks=[counter, Interrupt()], **FIT)
    counter.detach()
    counter.detach()
    assert not carriers(model) and counter.get_state()["step"] == 2
    model.fit(X, Y, **FIT)


def test_evaluate_and_predict_with_the_callback_leave_nothing():
    model, counter = build("functional"), Counter()
    plain = model.evaluate(X, Y, verbose=0)
    assert model.evaluate(X, Y, verbose=0, callbacks=[counter]) == plain
    model.predict(X, verbose=0, callbacks=[counter])
    assert not carriers(model) and counter.get_state()["step"] == 0


def test_custom_training_loop():
    model, counter = build("functional"), Counter()
    callbacks = keras.callbacks.CallbackList([counter], model=model)
    callbacks.on_train_begin()
    for batch in range(3):
        callbacks.on_train_batch_begin(batch)
        model.train_on_batch(X, Y)
        callbacks.on_train_batch_end(batch)
    callbacks.on_train_end()
    assert counter.get_state()["step"] == 3 and not carriers(model)


DATA_PARALLEL = """
import keras, numpy as np
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
from tests.core.test_state import build, Counter, X, Y, FIT
import jax
assert len(jax.devices()) == 2
for kind in ("functional", "subclassed"):
    counter = Counter()
    build(kind).fit(X, Y, epochs=2, callbacks=[counter], **FIT)
    assert counter.get_state()["step"] == 8, counter.get_state()
"""


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution is JAX only")
def test_data_parallel_on_two_devices():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    assert "device_count=2" in environment["XLA_FLAGS"]
    done = subprocess.run(
        [sys.executable, "-c", DATA_PARALLEL], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
