"""Bugs of weightings, and of what every class has: config, copies, arguments."""

from __future__ import annotations

import threading

import keras
from keras import ops

from tests.contract import toy_rows as toys
from tests.contract.bugs.plant import plant
from tests.contract.toys import (
    ToyWeighting,
)


@plant(toys.weighting, "value_equals_reference")
class WrongFormula(ToyWeighting):
    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return super().weights(ops.square(losses), valid)


def _weights(change):
    """A toy weighting whose weights are changed afterwards."""

    class Changed(ToyWeighting):
        def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
            return change(self, super().weights(losses, valid), losses, valid)

    return Changed


@plant(toys.weighting, "invariants_hold")
class NotNormalized(_weights(lambda self, weights, losses, valid: 1.01 * weights)):
    pass


@plant(toys.weighting, "invariants_hold")
class Negative(
    _weights(lambda self, weights, losses, valid: 4.0 * weights - 3.0 * ops.mean(weights))
):
    pass


@plant(toys.weighting, "invariants_hold")
class DependsOnTheOrder(
    _weights(lambda self, weights, losses, valid: 0.5 * (weights + ops.roll(weights, 1)))
):
    pass


@plant(toys.weighting, "one_hot_labels")
class BalancesIdsOnly(ToyWeighting):
    """Of one-hot labels it takes the first entry for the id."""

    reads = ("y_true",)

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        ids = ops.reshape(ops.cast(y_true, "float32"), (losses.shape[0], -1))[:, 0]
        return super().weights(losses * (1.0 + ids), valid)


@plant(toys.weighting, "mask")
class SeesPadding(
    _weights(lambda self, weights, losses, valid: weights * losses.shape[0] / ops.sum(losses))
):
    pass


@plant(toys.weighting, "compiled_equals_eager", crashes=True)
class BranchesOnATensor(
    _weights(lambda self, weights, losses, valid: weights if losses[0] > 0 else 0.5 * weights)
):
    pass


@plant(toys.weighting, "edges")
class DividesByTheSpread(
    _weights(lambda self, weights, losses, valid: weights + 0.0 / ops.std(losses))
):
    pass


@plant(toys.weighting, "gradient_equals_reference")
class LosesTheGradient(ToyWeighting):
    stop_gradient = False

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return super().weights(ops.stop_gradient(losses), valid)


@plant(toys.weighting, "knob_and_data_change_the_weights")
class IgnoresItsArgument(ToyWeighting):
    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        self = ToyWeighting(1.0)
        return self.weights(losses, valid)


@plant(toys.weighting, "config_is_complete")
class ConfigLosesAnArgument(ToyWeighting):
    def get_config(self):
        return {}


@plant(toys.weighting, "config_round_trip")
class ConfigChangesOnTheWay(ToyWeighting):
    @classmethod
    def from_config(cls, config):
        return cls(config["sharpness"] + 1.0)


@plant(toys.weighting, "registered_for_saving")
class NotRegistered(ToyWeighting):
    pass


@plant(toys.weighting, "construction_only_stores_arguments")
class StoresSomethingElse(ToyWeighting):
    def __init__(self, sharpness=1.0):
        super().__init__(sharpness)
        self.sharpness = 2.0 * sharpness


@plant(toys.weighting, "construction_makes_no_variables")
class MakesAVariable(ToyWeighting):
    def __init__(self, sharpness=1.0):
        super().__init__(sharpness)
        self.seed = keras.random.SeedGenerator(0)


@plant(toys.weighting, "deepcopy", crashes=True)
class CannotBeCopied(ToyWeighting):
    def __init__(self, sharpness=1.0):
        super().__init__(sharpness)
        self.lock = threading.Lock()


@plant(toys.weighting, "bad_arguments")
class AcceptsAnything(ToyWeighting):
    def __init__(self, sharpness=1.0):
        self.sharpness = sharpness


@plant(toys.weighting, "bad_arguments")
class DoesNotSayWhich(ToyWeighting):
    def __init__(self, sharpness=1.0):
        if not isinstance(sharpness, float) or sharpness <= 0.0:
            raise ValueError("bad argument")
        self.sharpness = sharpness


@plant(toys.weighting, "foreign_arguments")
class AcceptsNaN(ToyWeighting):
    def __init__(self, sharpness=1.0):
        if isinstance(sharpness, float) and sharpness <= 0.0:
            raise ValueError(f"`sharpness` must be positive, got {sharpness!r}.")
        self.sharpness = sharpness


@plant(toys.weighting, "signature_style")
class TooManyArguments(ToyWeighting):
    def __init__(self, sharpness=1.0, a=0, b=0, c=0, d=0, e=0, f=0, g=0):
        super().__init__(sharpness)


@plant(toys.weighting, "schedules_reach_the_compiled_step", schedulable=("sharpness",))
class ScheduleIsFrozen(ToyWeighting):
    def __init__(self, sharpness=1.0):
        super().__init__(sharpness(0) if callable(sharpness) else sharpness)
