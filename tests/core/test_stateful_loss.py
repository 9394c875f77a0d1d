"""The memory of a loss: variables during `fit`, constants afterwards."""

import copy

import keras
import numpy as np
import pytest
from keras import ops
from keras.src import backend

import keras_reweight as kr
from keras_reweight.core.state import StateCarrier
from keras_reweight.core.stateful_loss import (
    FinalMemory,
    LossMemory,
    StatefulLoss,
    only_shapes_matter,
    stateful_losses,
)


class Mean(StatefulLoss):
    def state_spec(self):
        return {"mean": np.zeros((), "float32")}

    def advance(self, y_true, y_pred, sample_weight):
        self.memory.assign("mean", ops.mean(y_pred))

    def call(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def test_memory_reads_and_writes_the_carrier_under_its_prefix():
    carrier = StateCarrier("test", {"loss0_mean": np.zeros(2), "loss1_mean": np.ones(())})
    memory = LossMemory(carrier, "loss0_", ["mean"])
    memory.assign("mean", np.array([1.0, 2.0], "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(memory["mean"]), [1.0, 2.0])
    assert list(memory.read()) == ["mean"]
    np.testing.assert_array_equal(carrier.read()["loss0_mean"], [1.0, 2.0])


def test_final_memory_is_a_copy():
    memory = FinalMemory({"mean": np.array([1.0, 2.0], "float32")})
    memory.read()["mean"][:] = 0.0
    np.testing.assert_array_equal(ops.convert_to_numpy(memory["mean"]), [1.0, 2.0])


def test_a_copy_forgets():
    loss = Mean(name="mine", reduction="sum")
    loss.memory = FinalMemory({"mean": np.zeros(())})
    twin = copy.deepcopy(loss)
    assert twin.memory is None and twin.name == "mine" and twin.reduction == "sum"
    assert loss.memory is not None


def test_stateful_losses_are_found_in_every_structure():
    first, second = Mean(), kr.losses.SeesawLoss(num_classes=3)
    wrapped = kr.losses.ReweightedLoss(second, kr.weightings.LinUpper())
    assert stateful_losses(first) == [first]
    assert stateful_losses({"a": first, "b": wrapped, "c": "mse"}) == [first, second]
    assert stateful_losses([first, first, None]) == [first]
    assert stateful_losses(keras.losses.MeanSquaredError()) == []


def test_what_a_subclass_must_define():
    with pytest.raises(NotImplementedError, match="state_spec"):
        StatefulLoss().state_spec()
    with pytest.raises(NotImplementedError, match="advance"):
        StatefulLoss().advance(None, None, None)
    assert StatefulLoss().refresh(None) == {}


def test_keras_tells_when_only_shapes_matter():
    seen = []

    def note(x):
        seen.append(only_shapes_matter())
        return x

    note(np.ones(2))
    backend.compute_output_spec(note, keras.KerasTensor((2, 3)))
    assert not seen[0] and seen[-1]
