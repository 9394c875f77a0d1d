import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.masks import add_optimizer_variable, update_optimizer
from keras_reweight.core.state import sync_model
from keras_reweight.core.update_hooks import add_update_hook, remove_update_hook

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = X[:, :1] - X[:, 1:2]


def compiled(optimizer, **arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **arguments)
    return model


def fit(model):
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    return [np.array(weight) for weight in model.get_weights()]


class Sums:
    """Adds up the gradients in variables of the optimizer."""

    def __init__(self, model):
        optimizer = update_optimizer(model)
        self.sums = {
            id(v): add_optimizer_variable(optimizer, np.zeros(v.shape, "float32"), name="sum")
            for v in model.trainable_variables
        }

    def __call__(self, gradients, variables, update):
        for gradient, variable in zip(gradients, variables, strict=True):
            self.sums[id(variable)].assign_add(ops.cast(gradient, "float32"))
        update(gradients)

    def read(self):
        return [ops.convert_to_numpy(ops.convert_to_tensor(v)) for v in self.sums.values()]


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "loss scale"])
def test_a_hook_sees_the_gradient_of_every_step(wrapped):
    inner = keras.optimizers.SGD(0.1)
    optimizer = keras.optimizers.LossScaleOptimizer(inner) if wrapped else inner
    model = compiled(optimizer)
    before = [np.array(weight) for weight in model.get_weights()]
    hook = Sums(model)
    add_update_hook(model, hook)
    after = fit(model)
    sync_model(model)
    for old, new, total in zip(before, after, hook.read(), strict=True):
        assert np.abs(total).max() > 0
        np.testing.assert_allclose(old - 0.1 * total, new, rtol=1e-5, atol=1e-6)


def test_a_hook_may_change_gradients_and_undo_updates():
    model, plain = compiled(keras.optimizers.SGD(0.1)), compiled(keras.optimizers.SGD(0.05))

    def half(gradients, variables, update):
        update([0.5 * gradient for gradient in gradients])

    def keep_bias(gradients, variables, update):
        old = ops.copy(ops.convert_to_tensor(variables[1]))
        update(gradients)
        variables[1].assign(old)

    add_update_hook(model, half)
    np.testing.assert_allclose(fit(model)[0], fit(plain)[0], rtol=1e-6)
    add_update_hook(model, keep_bias)
    bias = np.array(model.get_weights()[1])
    kernel, after = fit(model)
    np.testing.assert_array_equal(bias, after)
    remove_update_hook(model, keep_bias)
    assert (fit(model)[1] != bias).all()


def test_without_hooks_the_optimizer_is_plain_again():
    model = compiled("adam")
    hook = Sums(model)
    add_update_hook(model, hook)
    assert "apply" in vars(model.optimizer)
    remove_update_hook(model, hook)
    assert "apply" not in vars(model.optimizer)
    remove_update_hook(model, hook)
    fit(model)
    assert all((total == 0).all() for total in hook.read())


def test_keras_still_applies_gradients_the_way_this_relies_on():
    optimizer = keras.optimizers.Adam()
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    assert optimizer._trainable_variables == [variable]
    object.__setattr__(optimizer, "apply", lambda *arguments: "replaced")
    assert optimizer.apply([]) == "replaced"
