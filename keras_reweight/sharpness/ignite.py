"""A penalty on how much predictions depend on the weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree

from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.validation import check_number
from keras_reweight.sharpness._global_norm import global_norm, scaled_to


@keras.saving.register_keras_serializable(package="keras_reweight")
class IGNITE(FunctionalStepModel):
    """Wraps a model and keeps the gradient of its mean prediction short.

    For surrogate models whose inputs are optimized afterwards (offline optimization): predictions
    that depend sharply on the weights mislead the search. With `G` the mean over the batch of all
    outputs, `h` its gradient by the weights and `h'` the one at `radius * h / |h|` beyond, the
    gradient of the loss gets `multiplier * rho / radius * (h' - h)`, which is that of
    `multiplier * rho * |h|`. The multiplier follows the constraint `rho * |h| <= limit`: after
    every step it grows by `dual_learning_rate * (rho * |h| - limit)`, not below zero.

    Args:
        model: A built `keras.Model`.
        rho: Float > 0. Defaults to `0.05`.
        radius: Float > 0 of the difference of gradients. Defaults to `0.05`.
        multiplier: Float >= 0 at the start. Defaults to `1e-3`.
        dual_learning_rate: Float >= 0; zero keeps the multiplier (IGNITE-2). Defaults to `1e-3`.
        limit: Float >= 0. Defaults to `1e-3`.
        name: String. Defaults to `"ignite"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards. The logs
        have `sensitivity`, the mean of `rho * |h|`, and `multiplier`.

    Raises:
        TypeError: If `model` is no model or an argument not a number.
        ValueError: If `model` is not built or an argument out of range.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).uniform(size=(32, 2)).astype("float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "tanh")])
    trainer = kr.sharpness.IGNITE(model, rho=0.05, dual_learning_rate=0.01)
    trainer.compile("adam", "mse")
    trainer.fit(x, x.sum(axis=1, keepdims=True), verbose=0)
    ```

    Reference:
        Dao et al., "Incorporating Surrogate Gradient Norm to Improve Offline Optimization
        Techniques", NeurIPS 2024; constants and the step as in its code.

    Deviations:
        The code lets the multiplier become negative.

    Cost:
        Three forward and backward passes a step.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        rho: float = 0.05,
        radius: float = 0.05,
        multiplier: float = 1e-3,
        dual_learning_rate: float = 1e-3,
        limit: float = 1e-3,
        name: str = "ignite",
        **kwargs: Any,
    ):
        check_number("rho", rho, exclusive_minimum=0.0)
        check_number("radius", radius, exclusive_minimum=0.0)
        check_number("multiplier", multiplier, minimum=0.0)
        check_number("dual_learning_rate", dual_learning_rate, minimum=0.0)
        check_number("limit", limit, minimum=0.0)
        super().__init__(model, name=name, **kwargs)
        self.rho = rho
        self.radius = radius
        self.multiplier = multiplier
        self.dual_learning_rate = dual_learning_rate
        self.limit = limit

    def build(self, input_shape=None):
        self._dual = self.state_weight("dual", (), keras.initializers.Constant(self.multiplier))
        trackers = self.state_metrics(["sensitivity", "multiplier"])
        # Past the attribute trackers, which would track them twice.
        object.__setattr__(self, "_trackers", trackers)

    def neutral_step(self, x, y, sample_weight):
        def objective(x, y):
            return self.compiled_loss(x, y, sample_weight)

        def mean_prediction(x):
            y_pred, _ = self.training_pass(x)
            means = [ops.mean(ops.cast(part, "float32")) for part in tree.flatten(y_pred)]
            return sum(means) / len(means)

        variables = self.trainable_variables
        loss, gradients, updates = self.counted(objective).value_and_grad(x, y, commits=True)
        sensitivity = self.step_function(mean_prediction)
        _, here, _ = sensitivity.value_and_grad(x)
        values = [ops.convert_to_tensor(variable) for variable in variables]
        steps = scaled_to(here, self.radius)
        beyond = [value + step for value, step in zip(values, steps, strict=True)]
        _, there, _ = sensitivity.value_and_grad(x, values=beyond)
        self.commit(updates)

        dual = ops.copy(self._dual)
        factor = dual * (self.rho / self.radius)
        total = [
            g + ops.cast(factor, g.dtype) * (b - a)
            for g, a, b in zip(gradients, here, there, strict=True)
        ]
        self.optimizer.apply(total, variables)
        length = self.rho * global_norm(here)
        self._dual.assign(ops.maximum(dual + self.dual_learning_rate * (length - self.limit), 0.0))
        for tracker, value in zip(self._trackers, (length, dual), strict=True):
            tracker.update_state(value)
        self._loss_tracker.update_state(loss, sample_weight=ops.shape(tree.flatten(x)[0])[0])
        return self.get_metrics_result()

    def get_config(self) -> dict:
        own = ("rho", "radius", "multiplier", "dual_learning_rate", "limit")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}
