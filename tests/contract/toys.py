"""Correct toy methods of every kind, which pass the contract, for bugs to be planted in."""

from __future__ import annotations

import inspect

import keras
import numpy as np
from keras import ops

import keras_compress as kc
import keras_reweight as kr
from keras_reweight.core.labels import labels_like
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_built, check_integer, check_number

register = keras.saving.register_keras_serializable(package="toys")

DOCSTRING = """One line.

    When to use it.

    Args:
        {argument}: Float > 0, what it does.
        name: String, name of the object.

    Returns:
        Float32 tensor of shape `(batch,)`.

    Raises:
        TypeError: If `{argument}` is not a number.
        ValueError: If `{argument}` is not positive.

    Example:

    ```python
    import keras_reweight as kr

    assert kr.__version__
    ```

    Reference:
        None; a toy.
    """


NAME = "        name: String, name of the object.\n"
RATE = "        learning_rate: Float > 0, or a schedule.\n"


def documented(argument):
    """Give a class the docstring of a toy and register it."""

    def decorate(target):
        names = inspect.signature(target).parameters
        text = DOCSTRING if "name" in names else DOCSTRING.replace(NAME, "")
        text = text.replace(NAME, NAME + RATE) if "learning_rate" in names else text
        target.__doc__ = text.format(argument=argument)
        return register(target)

    return decorate


@documented("sharpness")
class ToyWeighting(kr.weightings.Weighting):
    normalization = "sum_one"

    def __init__(self, sharpness=1.0):
        check_number("sharpness", sharpness, exclusive_minimum=0.0)
        self.sharpness = sharpness

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        raw = ops.where(valid, 1.0 / (1.0 + self.sharpness * losses), ops.zeros_like(losses))
        total = ops.sum(raw)
        return raw / ops.where(total > 0.0, total, 1.0)

    def get_config(self):
        return {"sharpness": self.sharpness}


@documented("power")
class ToyLoss(keras.losses.Loss):
    def __init__(self, power=2.0, *, name="toy_loss", **kwargs):
        check_number("power", power, minimum=1.0)
        super().__init__(name=name, **kwargs)
        self.power = power

    def call(self, y_true, y_pred):
        y_true = labels_like(y_true, y_pred)
        return ops.mean(ops.power(1.0 + ops.square(y_true - y_pred), self.power / 2.0), axis=-1)

    def get_config(self):
        return {**super().get_config(), "power": self.power}


@documented("power")
class ToyBatchLoss(kr.losses.BatchLoss):
    def __init__(self, power=2.0, *, name="toy_batch_loss", **kwargs):
        check_number("power", power, minimum=1.0)
        super().__init__(name=name, **kwargs)
        self.power = power

    def batch_loss(self, y_true, y_pred, sample_weight):
        y_true = labels_like(y_true, y_pred)
        error = ops.mean(ops.square(y_true - y_pred), axis=-1)
        total = ops.sum(sample_weight)
        mean = ops.sum(sample_weight * error) / ops.where(total > 0.0, total, 1.0)
        return ops.power(1.0 + mean, self.power)

    def get_config(self):
        return {**super().get_config(), "power": self.power}


@documented("rate")
class ToyCallback(TrainingCallback):
    def __init__(self, rate=0.5, *, name=None):
        check_number("rate", rate, exclusive_minimum=0.0)
        super().__init__(name=name)
        self.rate = rate

    def state_spec(self):
        return {"step": np.zeros((), "int32"), "scale": np.ones((), "float32")}

    def weigh(self, call):
        state = self.carrier
        scale = state.value("scale")
        if call.index == call.count - 1:
            state["step"].assign(state.value("step") + 1)
            state["scale"].assign(scale * self.rate)
        return ops.ones_like(call.losses) * scale

    def get_config(self):
        return {"rate": self.rate, **super().get_config()}


@documented("factor")
class ToyLayer(keras.layers.Layer):
    def __init__(self, factor=1.0, **kwargs):
        check_number("factor", factor, exclusive_minimum=0.0)
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")

    def call(self, inputs):
        return self.factor * ops.cast(self.scale, inputs.dtype) * inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@register
class ToyQuantizer(kc.quantizers.Quantizer):
    __doc__ = DOCSTRING.format(argument="bits").replace(
        NAME,
        "        axis: Integer, which dimension.\n        group_size: Integer, group size.\n",
    )

    def compute_scale(self, x):
        largest = ops.max(ops.abs(x), axis=self.granularity.reduced, keepdims=True)
        return ops.maximum(largest, 1e-8) / self.code_range[1]

    def nearest_code(self, x, scale):
        return ops.round(x / scale)


@documented("end_step")
class ToySchedule(kr.schedules.Schedule):
    def __init__(self, end_step=4):
        check_integer("end_step", end_step, minimum=1)
        self.end_step = end_step

    def __call__(self, step):
        if ops.is_tensor(step):
            return ops.minimum(ops.cast(step, "float32") / self.end_step, 1.0)
        return min(step / self.end_step, 1.0)

    def get_config(self):
        return {"end_step": self.end_step}


@documented("momentum")
class ToyOptimizer(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.1, *, momentum=0.9, name="toy_optimizer", **kwargs):
        if not callable(learning_rate):
            check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        check_number("momentum", momentum, exclusive_minimum=0.0, exclusive_maximum=1.0)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.means = self.add_optimizer_variables(variables, "mean")

    def step_number(self):
        return ops.cast(self.iterations, "float32") + 1.0

    def update_step(self, gradient, variable, learning_rate):
        mean = self.means[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(mean, self.momentum * mean + (1.0 - self.momentum) * gradient)
        unbiased = mean / (1.0 - ops.power(self.momentum, self.step_number()))
        self.assign(variable, variable - ops.cast(learning_rate, variable.dtype) * unbiased)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


def toy_norm(x, *, order=2.0):
    check_number("order", order, minimum=1.0)
    x = ops.convert_to_tensor(x, dtype="float32")
    return ops.power(ops.sum(ops.power(ops.abs(x), order)), 1.0 / order)


toy_norm.__doc__ = DOCSTRING.format(argument="order").replace(
    NAME, "        x: Float tensor of shape `(batch,)`.\n"
)


def toy_scale(model, factor):
    check_built(model, "toy_scale")
    check_number("factor", factor, exclusive_minimum=0.0)
    for variable in model.weights:
        variable.assign(variable * factor)


@documented("limit")
class ToyPart:
    def __init__(self, limit=1.0):
        check_number("limit", limit, exclusive_minimum=0.0)
        self.limit = limit

    def __call__(self, values):
        return np.minimum(values, self.limit)

    def get_config(self):
        return {"limit": self.limit}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
