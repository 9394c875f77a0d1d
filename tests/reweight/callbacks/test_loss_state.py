"""LossState: memory in every kind of model, resumed, copied, refreshed, and taken off again."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.stateful_loss import FinalMemory, StatefulLoss

X = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
Y = np.arange(12) % 3


@keras.saving.register_keras_serializable(package="tests")
class Drifting(StatefulLoss):
    """Squared error times the number of samples seen; remembers the rate of the optimizer."""

    def state_spec(self):
        return {"seen": np.zeros((), "float32"), "rate": np.full((), -1.0, "float32")}

    def refresh(self, model):
        return {"rate": np.asarray(ops.convert_to_numpy(model.optimizer.learning_rate))}

    def advance(self, y_true, y_pred, sample_weight):
        ones = ops.ones_like(y_pred[:, 0])
        weights = ones if sample_weight is None else ones * sample_weight
        self.memory.assign("seen", self.memory["seen"] + ops.sum(weights))

    def call(self, y_true, y_pred):
        factor = 1.0 if self.memory is None else self.memory["seen"]
        return factor * ops.mean(ops.square(ops.expand_dims(y_true, -1) - y_pred), axis=-1)


def compiled(loss, layers=None, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), *(layers or [keras.layers.Dense(3)])])
    model.compile(keras.optimizers.SGD(0.01), loss, **options)
    return model


def fit(model, callbacks, **options):
    options = {"batch_size": 4, "verbose": 0, "shuffle": False, **options}
    return model.fit(X, options.pop("y", Y), callbacks=callbacks, **options)


def test_losses_of_two_outputs_keep_their_own_memory():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, {n: keras.layers.Dense(3, name=n)(inputs) for n in "ab"})
    losses = {"a": kr.losses.SeesawLoss(num_classes=3), "b": kr.losses.SeesawLoss(num_classes=3)}
    model.compile("sgd", losses)
    state = kr.callbacks.LossState()
    fit(model, [state], y={"a": Y, "b": np.zeros(12)}, epochs=2)
    np.testing.assert_array_equal(losses["a"].memory.read()["counts"], [8, 8, 8])
    np.testing.assert_array_equal(losses["b"].memory.read()["counts"], [24, 0, 0])
    assert sorted(state.get_state()) == ["loss0_counts", "loss1_counts"]


def test_a_stateless_loss_beside_a_stateful_one():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, [keras.layers.Dense(3, name=n)(inputs) for n in "ab"])
    loss = Drifting()
    model.compile("sgd", ["mse", loss])
    fit(model, [kr.callbacks.LossState()], y=[np.zeros((12, 3)), Y])
    assert loss.memory.read()["seen"] == 12


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    loss = kr.losses.SeesawLoss(num_classes=3)
    model = compiled(loss, [keras.layers.Dense(3, dtype=policy)])
    fit(model, [kr.callbacks.LossState()])
    counts = loss.memory.read()["counts"]
    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts, [4, 4, 4])


def test_sample_weight_reaches_advance():
    loss = Drifting()
    weight = np.linspace(0.5, 1.5, 12).astype("float32")
    fit(compiled(loss), [kr.callbacks.LossState()], sample_weight=weight)
    np.testing.assert_allclose(loss.memory.read()["seen"], weight.sum(), rtol=1e-6)


def test_a_rate_set_by_another_callback_is_remembered_in_the_same_epoch():
    class Rates(keras.callbacks.Callback):
        found: list = []

        def on_epoch_end(self, epoch, logs=None):
            self.found.append(float(self.model.loss.memory.read()["rate"]))

    set_rate = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 / (1 + epoch))
    see = Rates()
    fit(compiled(Drifting()), [kr.callbacks.LossState(), set_rate, see], epochs=3)
    np.testing.assert_allclose(see.found, [0.5, 0.25, 0.5 / 3], rtol=1e-6)


def test_what_refresh_refuses_leaves_the_model_as_it_was():
    class Refuses(Drifting):
        def refresh(self, model):
            raise ValueError("not with this optimizer")

    loss = Refuses()
    model = compiled(loss)
    before = sorted(vars(model))
    with pytest.raises(ValueError, match="this optimizer"):
        fit(model, [kr.callbacks.LossState()])
    assert loss.memory is None
    assert set(before) >= {name for name in vars(model) if name.startswith("_kr_")}
    assert "compute_loss" not in vars(model)


def test_evaluation_uses_the_last_memory_and_changes_nothing():
    loss = Drifting()
    model = compiled(loss)
    history = fit(model, [kr.callbacks.LossState()], validation_data=(X, Y)).history
    found = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(found, history["val_loss"][-1], rtol=1e-5)
    errors = np.square(Y[:, None] - model.predict(X, verbose=0)).mean()
    np.testing.assert_allclose(found, 12 * errors, rtol=1e-5)
    assert loss.memory.read()["seen"] == 12


def test_resumed_from_its_state():
    whole = Drifting()
    model = compiled(whole)
    fit(model, [kr.callbacks.LossState()], epochs=2)
    half = Drifting()
    resumed, state = compiled(half), kr.callbacks.LossState()
    fit(resumed, [state])
    again, fresh = Drifting(), kr.callbacks.LossState()
    resumed.compile(resumed.optimizer, again)
    fresh.set_state(state.get_state())
    fit(resumed, [fresh], initial_epoch=1, epochs=2)
    assert again.memory.read()["seen"] == whole.memory.read()["seen"] == 24
    for first, second in zip(model.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))


def test_a_saved_model_trains_on_and_forgets_unless_told(tmp_path):
    loss = Drifting()
    model, state = compiled(loss), kr.callbacks.LossState()
    fit(model, [state])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.loss, Drifting) and loaded.loss.memory is None
    fresh = kr.callbacks.LossState()
    fresh.set_state(state.get_state())
    fit(loaded, [fresh])
    assert loaded.loss.memory.read()["seen"] == 24


def test_a_copy_of_a_used_callback_begins_anew():
    state = kr.callbacks.LossState()
    fit(compiled(Drifting()), [state])
    twin, loss = copy.deepcopy(state), Drifting()
    fit(compiled(loss), [twin])
    assert loss.memory.read()["seen"] == 12


def test_an_interrupted_fit_keeps_what_was_learned():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    loss = Drifting()
    model, state = compiled(loss), kr.callbacks.LossState()
    with pytest.raises(KeyboardInterrupt):
        fit(model, [state, Stop()])
    state.detach()
    assert isinstance(loss.memory, FinalMemory) and loss.memory.read()["seen"] == 8
    fit(model, [kr.callbacks.LossState()])
    assert loss.memory.read()["seen"] == 20


def test_evaluate_takes_it_too():
    loss = kr.losses.EnsLoss()
    model = compiled(loss, [keras.layers.Dense(1)])
    found = model.evaluate(X, Y % 2, verbose=0, callbacks=[kr.callbacks.LossState()])
    assert np.isfinite(found) and isinstance(loss.memory, FinalMemory)
