"""Bugs of layers, quantizers, schedules, functions and parts."""

from __future__ import annotations

import numpy as np
from keras import ops

from tests.contract import toy_rows as toys
from tests.contract.bugs.plant import plant
from tests.contract.toys import (
    ToyLayer,
    ToyPart,
    ToyQuantizer,
    ToySchedule,
    documented,
    toy_norm,
)


@plant(toys.layer, "value_equals_reference")
class WrongLayer(ToyLayer):
    def call(self, inputs):
        return super().call(inputs) + 1e-3


@plant(toys.layer, "shapes_and_dtypes")
class WrongShape(ToyLayer):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)


@plant(toys.layer, "shapes_and_dtypes")
class AlwaysFloat32(ToyLayer):
    def call(self, inputs):
        return ops.cast(super().call(inputs), "float32")


@plant(toys.layer, "construction_makes_no_weights")
class BuildsTooEarly(ToyLayer):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(factor, **kwargs)
        self.extra = self.add_weight(name="extra", shape=())


@plant(toys.layer, "trains_and_saves")
@documented("factor")
class LosesItsWeights(ToyLayer):
    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale", shape=(input_shape[-1],), initializer="random_uniform"
        )

    def save_own_variables(self, store):
        """Saves nothing."""

    def load_own_variables(self, store):
        """Loads nothing."""


@plant(toys.quantizer, "codes_give_the_output")
class CodesOutOfRange(ToyQuantizer):
    def nearest_code(self, x, scale):
        return ops.round(2.0 * x / scale)


@plant(toys.quantizer, "all_zeros_initialize")
class DividesByZero(ToyQuantizer):
    def compute_scale(self, x):
        return ops.max(ops.abs(x), axis=self.granularity.reduced, keepdims=True) / 3.0


@plant(toys.schedule, "compiled_equals_host", crashes=True)
class RetracesForEveryStep(ToySchedule):
    """Wants a Python number, so each step would be a compilation of its own."""

    def __call__(self, step):
        return ops.full((), super().__call__(int(step)), dtype="float32")


@plant(toys.schedule, "value_equals_reference")
class OffByOne(ToySchedule):
    def __call__(self, step):
        return super().__call__(step + 1)


@plant(toys.function, "same_call_same_result")
def changes_its_input(x, *, order=2.0):
    found = toy_norm(x, order=order)
    if isinstance(x, np.ndarray):
        x[0] = 0.0
    return found


@plant(toys.function, "value_equals_reference")
def wrong_norm(x, *, order=2.0):
    return toy_norm(x, order=order) + 1e-3


@plant(toys.function, "bad_arguments")
def acts_before_it_checks(x, *, order=2.0):
    x[0] = 0.0
    return toy_norm(x, order=order)


@plant(toys.function, "compiled_equals_eager", crashes=True)
def works_on_the_host(x, *, order=2.0):
    array = ops.convert_to_numpy(x)
    return ops.convert_to_tensor(np.linalg.norm(array, order).astype("float32"))


@plant(toys.part, "value_equals_reference")
class WrongPart(ToyPart):
    def __call__(self, values):
        return np.maximum(values, self.limit)
