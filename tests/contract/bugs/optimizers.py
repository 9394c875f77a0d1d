"""Bugs of optimizers."""

from __future__ import annotations

import keras
from keras import ops

from tests.contract import toy_rows as toys
from tests.contract.bugs.plant import plant
from tests.contract.toys import ToyOptimizer, documented


@plant(toys.optimizer, "docstring_sections")
class UndocumentedOptimizer(ToyOptimizer):
    pass


@plant(toys.optimizer, "signature_style")
class TakesThreePositions(ToyOptimizer):
    def __init__(self, learning_rate=0.1, momentum=0.9, nesterov=False, name="toy", **kwargs):
        super().__init__(learning_rate, momentum=momentum, name=name, **kwargs)


@plant(toys.optimizer, "construction_only_stores_arguments")
class StoresAnotherMomentum(ToyOptimizer):
    def __init__(self, learning_rate=0.1, *, momentum=0.9, name="toy", **kwargs):
        super().__init__(learning_rate, momentum=momentum**2, name=name, **kwargs)


@plant(toys.optimizer, "registered_for_saving")
class OptimizerNotRegistered(ToyOptimizer):
    pass


@plant(toys.optimizer, "config_is_complete")
class ConfigLosesTheMomentum(ToyOptimizer):
    def get_config(self):
        return keras.optimizers.Optimizer.get_config(self)


@plant(toys.optimizer, "config_round_trip")
class LosesTheRateOnTheWay(ToyOptimizer):
    @classmethod
    def from_config(cls, config):
        return cls(momentum=config["momentum"])


@plant(toys.optimizer, "deepcopy")
class CopyOfTheDefaults(ToyOptimizer):
    def __deepcopy__(self, memo):
        return type(self)()


@plant(toys.optimizer, "knob_changes_config")
class ConfigOfTheDefaults(ToyOptimizer):
    def get_config(self):
        return {**super().get_config(), "momentum": 0.9}


@plant(toys.optimizer, "bad_arguments")
class TakesAnyMomentum(ToyOptimizer):
    def __init__(self, learning_rate=0.1, *, momentum=0.9, name="toy", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        self.momentum = momentum


@plant(toys.optimizer, "foreign_arguments")
class TakesNaN(ToyOptimizer):
    def __init__(self, learning_rate=0.1, *, momentum=0.9, name="toy", **kwargs):
        is_nan = momentum != momentum
        super().__init__(learning_rate, momentum=0.5 if is_nan else momentum, name=name, **kwargs)


@plant(toys.optimizer, "learning_rate")
@documented("momentum")
class RateIsFrozen(ToyOptimizer):
    """Takes the rate it was constructed with, whatever Keras makes of it later."""

    def __init__(self, learning_rate=0.1, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.rate = learning_rate

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate if callable(self.rate) else self.rate)


@plant(toys.optimizer, "learning_rate")
@documented("momentum")
class ScheduleIsEvaluatedOnce(ToyOptimizer):
    def __init__(self, learning_rate=0.1, **kwargs):
        if callable(learning_rate):
            learning_rate = float(ops.convert_to_numpy(learning_rate(0)))
        super().__init__(learning_rate, **kwargs)


@plant(toys.optimizer, "slots_come_with_build")
class MakesASlotTooEarly(ToyOptimizer):
    def __init__(self, learning_rate=0.1, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.extra = self.add_variable((), name="extra")


@plant(toys.optimizer, "slots_come_with_build")
class BuildsAnew(ToyOptimizer):
    def build(self, variables):
        keras.optimizers.Optimizer.build(self, variables)
        self.means = self.add_optimizer_variables(variables, "mean")


@plant(toys.optimizer, "steps_equal_reference")
class WrongSteps(ToyOptimizer):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, 1.001 * learning_rate)


@plant(toys.optimizer, "compiled_equals_eager", crashes=True)
class BranchesOnTheStep(ToyOptimizer):
    def update_step(self, gradient, variable, learning_rate):
        if int(self.iterations) >= 0:
            super().update_step(gradient, variable, learning_rate)


@plant(toys.optimizer, "compiled_equals_eager")
class CountsInPython(ToyOptimizer):
    """Tracing counts, the compiled steps do not."""

    calls = 0

    def step_number(self):
        self.calls += 1
        return 1.0 + self.calls // len(self.means)


@plant(toys.optimizer, "resumed_equals_uninterrupted")
@documented("momentum")
class ForgetsItsSlots(ToyOptimizer):
    def load_own_variables(self, store):
        super().load_own_variables(store)
        for mean in self.means:
            mean.assign(ops.zeros(mean.shape))


@plant(toys.optimizer, "gradient_accumulation")
class CountsEveryBatch(ToyOptimizer):
    """Keras' own counter, which also advances in steps that only accumulate."""

    def step_number(self):
        return ops.cast(self.variables[0], "float32") + 1.0


@plant(toys.optimizer, "mixed_precision")
class StepsInHalfPrecision(ToyOptimizer):
    def update_step(self, gradient, variable, learning_rate):
        half = ops.cast(gradient, keras.config.dtype_policy().compute_dtype)
        super().update_step(half * half / half, variable, learning_rate)


@plant(toys.optimizer, "knob_and_data_change_the_training")
class IgnoresTheMomentum(ToyOptimizer):
    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, variable - learning_rate * gradient)


@plant(toys.optimizer, "zero_gradients")
class DividesByTheNorm(ToyOptimizer):
    def update_step(self, gradient, variable, learning_rate):
        norm = ops.sqrt(ops.sum(ops.square(gradient)))
        super().update_step(gradient / norm, variable, learning_rate)
