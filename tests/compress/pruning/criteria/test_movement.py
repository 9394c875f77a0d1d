import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_compress.pruning import Movement, Taylor, UniformAllocation, prune_weights
from tests.compress.pruning.models import Spy, X, Y, fit, sequential, weights

RATE = keras.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=1, decay_rate=1.0)


def reference_movement(kernel, bias, *, by_rate, steps, batch=4):
    """Sums of `-rate * w * g` of a linear regression under plain gradient descent."""
    kernel, bias, total = kernel.astype("float64"), bias.astype("float64"), 0.0
    for step in range(steps):
        rate = 0.1 / (1.0 + step)
        x, y = (part[batch * step : batch * (step + 1)].astype("float64") for part in (X, Y))
        error = 2.0 * (x @ kernel + bias - y) / batch
        gradient = x.T @ error
        total = total - (rate if by_rate else 1.0) * kernel * gradient
        kernel, bias = kernel - rate * gradient, bias - rate * error.sum(axis=0)
    return total


def regression():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    # Drawn by NumPy: Keras draws other weights on each backend.
    kernel = np.random.default_rng(0).normal(size=(6, 1)).astype("float32")
    model.set_weights([kernel, np.zeros(1, "float32")])
    model.compile(keras.optimizers.SGD(RATE), "mse")
    return model


@pytest.mark.parametrize("by_rate", [True, False])
def test_sums_in_the_compiled_step(by_rate):
    model = regression()
    kernel, bias = weights(model)
    variables, apply = len(model.optimizer.variables), model.optimizer.apply
    memory = Movement(by_rate).memory(model, [model.layers[0].kernel], "name")
    np.testing.assert_allclose(memory.scores()[0], np.abs(kernel))
    fit(model)
    expected = reference_movement(kernel, bias, by_rate=by_rate, steps=6)
    np.testing.assert_allclose(memory.scores()[0], expected, rtol=1e-5, atol=1e-7)
    state = memory.get_state()
    memory.set_state({key: 2.0 * value for key, value in state.items()})
    np.testing.assert_allclose(memory.scores()[0], 2.0 * expected, rtol=1e-5, atol=1e-7)
    memory.remove()
    assert len(model.optimizer.variables) == variables
    assert model.optimizer.apply == apply


def test_movement_prunes_in_fit_and_goes_on():
    """What was pruned stays so, the state holds the sums, and the optimizer is left clean."""
    model = sequential("sgd")
    schedule = kc.schedules.PolynomialDecay(0.0, 0.5, begin_step=0, end_step=6)
    pruning = kc.callbacks.Pruning(
        schedule, criterion=Movement(), allocation=UniformAllocation(0.0), frequency=2
    )
    spy = Spy(lambda _: pruning.get_state())
    fit(model, pruning, spy, epochs=2)
    assert kc.sparsity_report(model).sparsity == 0.5
    last = pruning.get_state()
    assert any(last[f"criterion/movement/{i}"].any() for i in range(2))
    assert not any("movement" in v.path for v in model.optimizer.variables)
    for before, after in zip(spy.batches, spy.batches[1:], strict=False):
        for i in range(2):
            assert (before[f"mask/{i}"] >= after[f"mask/{i}"]).all()
            gone = ~after[f"mask/{i}"]
            if (before[f"mask/{i}"] == after[f"mask/{i}"]).all():
                key = f"criterion/movement/{i}"
                np.testing.assert_array_equal(before[key][gone], after[key][gone])
    kept = last["mask/0"]
    scores = last["criterion/movement/0"]
    assert np.median(scores[kept]) > np.median(scores[~kept])


def test_without_training_there_is_no_movement():
    with pytest.raises(ValueError, match="Pruning"):
        prune_weights(sequential(), 0.5, criterion=Movement())
    with pytest.raises(TypeError, match="scale_by_learning_rate"):
        Movement("yes")


class Watched(Taylor):
    """Keeps what it was asked about, and what it said."""

    def __init__(self, data):
        super().__init__(data, batch_size=8)
        self.seen = []

    def scores(self, model, variables):
        found = super().scores(model, variables)
        values = [np.array(ops.convert_to_numpy(ops.convert_to_tensor(v))) for v in model.weights]
        self.seen.append((values, found))
        return found


def test_gradients_between_the_steps_of_a_fit():
    """Scores are those of the weights of the moment, and the training is not disturbed."""
    criterion = Watched((X, Y))
    pruning = kc.callbacks.Pruning(0.0, criterion=criterion, begin_step=3)
    model, plain = sequential(), sequential()
    fit(model, pruning)
    fit(plain)
    for one, two in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    ((values, found),) = criterion.seen
    assert not np.array_equal(values[0], weights(plain)[0])
    plain.set_weights(values)
    kernels = [layer.kernel for layer in plain.layers]
    for one, two in zip(found, Taylor((X, Y), batch_size=8).scores(plain, kernels), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
