"""Bugs of callbacks."""

from __future__ import annotations

import keras
from keras import ops

from tests.contract import toy_rows as toys
from tests.contract.bugs.plant import plant
from tests.contract.toys import (
    ToyCallback,
)


@plant(toys.callback, "compiles_once")
class NeedsARetrace(ToyCallback):
    """Keeps its value in a Python float and has the step compiled again for each."""

    factor = 1.0

    def on_epoch_begin(self, epoch, logs=None):
        self.factor = 0.5**epoch
        self.model.make_train_function(force=True)

    def weigh(self, call):
        return super().weigh(call) * self.factor


@plant(toys.callback, "variables_live_in_the_step")
class StateFrozenOnJax(ToyCallback):
    """Its variable belongs to nothing that JAX threads through the step."""

    def on_attach(self, model):
        self.scale = keras.Variable(1.0, trainable=False)

    def weigh(self, call):
        self.scale.assign(self.scale * self.rate)
        return super().weigh(call) * ops.convert_to_tensor(self.scale)

    def on_detach(self, model):
        self.scale = None


@plant(toys.callback, "state_advances")
class StateStandsStill(ToyCallback):
    def weigh(self, call):
        return ops.ones_like(call.losses) * self.rate


@plant(toys.callback, "resumed_equals_uninterrupted")
class ForgetsWhenResumed(ToyCallback):
    """Counts epochs on the host and does not say so in its state."""

    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        state = self.carrier.read()
        self.carrier.write({"scale": state["scale"] / (1.0 + self.epochs)})

    def on_train_end(self, logs=None):
        self.epochs = 0
        super().on_train_end(logs)


@plant(toys.callback, "can_be_used_again")
class CarriesOver(ToyCallback):
    scale = 1.0

    def on_train_end(self, logs=None):
        self.scale = 0.5
        super().on_train_end(logs)

    def weigh(self, call):
        return super().weigh(call) * self.scale


@plant(toys.callback, "leaves_nothing_behind")
class LeavesTraces(ToyCallback):
    def on_attach(self, model):
        object.__setattr__(model, "left_by_a_toy", self)


@plant(toys.callback, "sample_weight")
class DropsSampleWeight(ToyCallback):
    def weigh(self, call):
        weights = super().weigh(call)
        return weights if call.sample_weight is None else weights / call.sample_weight


@plant(toys.callback, "validation_is_left_alone")
class CountsValidation(ToyCallback):
    def on_test_batch_end(self, batch, logs=None):
        self.model  # noqa: B018 - brings the running state back into the variables
        if self._in_fit:
            self.carrier.write({"step": self.carrier.read()["step"] + 1})


@plant(toys.callback, "knob_and_data_change_the_training")
class HasNoEffect(ToyCallback):
    def weigh(self, call):
        super().weigh(call)


@plant(toys.callback, "steps_per_execution")
class CountsExecutions(ToyCallback):
    """Works batch by batch only."""

    def on_train_batch_end(self, batch, logs=None):
        self.model  # noqa: B018 - brings the running state back into the variables
        self.carrier.write({"scale": 0.5 * self.carrier.read()["scale"]})


@plant(toys.callback, "get_state_is_a_copy")
class HandsOutItsState(ToyCallback):
    def get_state(self):
        super().get_state()
        return self._last_state
