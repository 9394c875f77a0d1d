import numpy as np

import keras_compress as kc
from tests.compress.qat import steps


def reference_dampened(kernel, gradients, strength):
    """Weights after the steps, and the regularization at the end."""
    weight, scale = steps.Momentum(kernel), steps.Momentum(steps.reference_scale(kernel))

    def away():
        clipped = np.clip(weight.value, -2 * scale.value, scale.value)
        return clipped - scale.value * steps.lsq_codes(weight.value, scale.value)

    for step, gradient in enumerate(gradients["kernel"]):
        now = strength(step) if callable(strength) else strength
        weight.step(gradient + 2.0 * now * away())
        scale.step(gradients["scale"][step])
    return weight.value, now * np.sum(away() ** 2)


def test_weights_are_drawn_to_their_levels():
    strength = kc.schedules.PolynomialDecay(0.0, 0.8, end_step=10)
    model = steps.apply(steps.quantized(), kc.callbacks.OscillationDampening(strength))
    kernel, loss = reference_dampened(steps.KERNEL, steps.GRADIENTS, strength)
    np.testing.assert_allclose(steps.kernel_of(model), kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.last_logs["dampening_loss"], loss, rtol=1e-4)


def test_beyond_the_outer_levels_nothing_draws():
    column = np.array([0.9, -0.8, 0.05, -0.1, 0.1], "float32")
    kernel = column[:, None] * np.ones((1, 3), "float32")
    model = steps.quantized(kernel, kc.quantizers.StatsQuantizer(2))
    nothing = {"kernel": np.zeros((1, 5, 3), "float32")}
    steps.apply(model, kc.callbacks.OscillationDampening(0.5), gradients=nothing)
    levels = 2 * np.abs(column).mean() * np.array([0.75, -0.75, 0.25, -0.25, 0.25])
    wanted = column - steps.RATE * (column - levels)
    wanted[:2] = column[:2]
    np.testing.assert_allclose(steps.kernel_of(model)[:, 1], wanted, rtol=1e-6)
