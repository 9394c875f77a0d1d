import keras
import pytest

from keras_compress.dynamic import set_gate_weight
from keras_compress.layers import DynamicChannelGate


def test_nested_gates_are_found_and_may_be_chosen():
    gates = [DynamicChannelGate(keras.layers.Dense(3), name=name) for name in ("one", "two")]
    inner = keras.Sequential([keras.Input((3,)), gates[0]], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, gates[1]])
    set_gate_weight(model, 0.5)
    set_gate_weight(model, 0.25, layers="inner/one")
    assert [float(keras.ops.convert_to_numpy(g.loss_weight.value)) for g in gates] == [0.25, 0.5]
    with pytest.raises(ValueError, match="layers"):
        set_gate_weight(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), 0.5)
