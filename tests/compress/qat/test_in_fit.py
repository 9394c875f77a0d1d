"""All together inside the compiled step."""

import copy

import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.qat import steps

SEED, RATE = 22, 0.25
_RNG = np.random.default_rng(SEED)
X = _RNG.normal(size=(40, 5)).astype("float32")
# Between the levels, so that weights go back and forth.
Y = X @ _RNG.normal(size=(5, 3)).astype("float32")
# Of codes at halves, of the grid at its ends, of what is drawn back to a level at quarters; not the
# inner levels themselves, to which weights are drawn back.
BORDERS = np.setdiff1d(np.arange(-9, 6), [-4, 0]) / 4.0


def callbacks():
    return [
        kc.callbacks.OscillationMonitor(0.3, threshold=0.1),
        kc.callbacks.OscillationFreezing(
            kc.schedules.PolynomialDecay(0.9, 0.25, end_step=6), momentum=0.3
        ),
        kc.callbacks.OscillationDampening(
            kc.schedules.PolynomialDecay(0.0, 0.1, end_step=8), name="pull"
        ),
        kc.callbacks.ScaleGradientFreezing(0.6, interval=3),
    ]


class Snapshot(keras.callbacks.Callback):
    """All there is after an epoch, and the state of the callbacks before it in the list."""

    def __init__(self, others):
        super().__init__()
        self.others, self.taken = others, []

    def on_epoch_end(self, epoch, logs=None):
        states = [other.get_state() for other in self.others]
        values = [steps.host(v) for v in (*self.model.weights, *self.model.optimizer.variables)]
        self.taken.append((values, states, dict(logs)))


class Margin(keras.callbacks.Callback):
    """How close weights come to where a code, a gradient or a freezing is decided, in codes."""

    least = np.inf

    def on_train_batch_end(self, batch, logs=None):
        position = steps.kernel_of(self.model) / steps.scale_of(self.model)
        self.least = min(self.least, np.abs(position[..., None] - BORDERS).min())


def model():
    # Slow enough to forget small differences instead of making them grow.
    return steps.quantized(optimizer=keras.optimizers.SGD(RATE, momentum=0.5))


def fit(net, used, *others, epochs=1, initial_epoch=0, **options):
    if options:
        net.compile(net.optimizer, "mse", **options)
    snapshot = Snapshot(used)
    run = {"epochs": epochs, "initial_epoch": initial_epoch, "batch_size": 4, "shuffle": False}
    net.fit(X, Y, verbose=0, callbacks=[*used, *others, snapshot], **run)
    return snapshot.taken


@pytest.fixture(scope="module")
def trained():
    net, margin = model(), Margin()
    taken = fit(net, callbacks(), margin, epochs=2)
    # Otherwise a difference in the last bit could change everything that follows.
    assert margin.least > 1e-4
    return taken, net


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_steps_of_any_kind_do_the_same(trained, options):
    if keras.backend.backend() == "torch" and "steps_per_execution" in options:
        options = {"jit_compile": False}  # Keras has single steps only on torch
    used = copy.deepcopy(callbacks())
    ((values, states, logs),) = fit(model(), used, **options)
    wanted_values, wanted_states, wanted_logs = trained[0][0]
    for found, wanted in zip(values, wanted_values, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(states, wanted_states, strict=True):
        assert set(found) == set(wanted) and found["step"] == 10
        for key, value in found.items():
            np.testing.assert_allclose(value, wanted[key], rtol=1e-4, atol=1e-5)
    assert set(logs) == set(wanted_logs)


def test_resumed_it_ends_the_same_to_the_last_bit(trained):
    ((values, states, _), (wanted, wanted_states, _)), _ = trained
    net = model()
    net.optimizer.build(net.trainable_variables)
    # The variables of the callbacks come last.
    for variable, value in zip((*net.weights, *net.optimizer.variables), values, strict=False):
        variable.assign(value)
    used = [type(one).from_config(one.get_config()) for one in callbacks()]
    for callback, state in zip(used, states, strict=True):
        callback.set_state(state)
    ((found, found_states, _),) = fit(net, used, epochs=2, initial_epoch=1)
    assert [one.tobytes() for one in found] == [one.tobytes() for one in wanted]
    for one, other in zip(found_states, wanted_states, strict=True):
        assert all(one[key].tobytes() == other[key].tobytes() for key in one)


def test_it_freezes_and_logs_and_leaves_nothing(trained):
    (_, (_, _, logs)), net = trained
    assert 0.0 < logs["frozen_weights"] < 1.0
    known = {"oscillating_weights", "code_flips", "scale_disorder", "frozen_weights"}
    assert known | {"dampening_loss", "frozen_scales"} < set(logs)
    assert "apply" not in vars(net.optimizer)
    names = [variable.name for variable in net.optimizer.variables]
    assert not any("freezing" in name or "pull" in name for name in names)
