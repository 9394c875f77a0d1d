import keras
import pytest
from keras import layers

from keras_reweight.core.channels import ChannelMap
from tests.compress.structured.pruned import cheap_initial_values

__all__ = ["cheap_initial_values"]


def test_every_call_is_written_down_with_its_channels():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="inside")], name="inner")
    x = keras.Input((3,))
    y = layers.Dense(4, name="first")(x)
    y = inner(inner(y))
    channels = ChannelMap(keras.Model(x, layers.Dense(2, name="head")(y)))
    steps = channels.trace.passes
    names = [step.call.operation.name for step in steps]
    assert names == ["first", "inside", "inside", "head"]
    for step in steps[1:]:
        (taken,) = step.inputs
        assert taken.axis == 1 and taken.atoms.size == 4
        assert (channels.group_of[taken.atoms] == 0).all()
        assert channels.channel_of[taken.atoms].tolist() == [0, 1, 2, 3]
    (group,) = channels.groups
    assert channels.group("first") is group and group.producers == ("first", "inner/inside")
    assert str(channels).splitlines()[-1] == "head: stays, output of the model"


def test_errors_name_the_caller_and_its_advice():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    own = Own()
    own.built = True
    with pytest.raises(ValueError, match=r"subclassed Own.*keras.Model\(inputs, outputs\), or not"):
        ChannelMap(own, advice=", or not.")
    with pytest.raises(ValueError, match="who: .model. .* not built"):
        ChannelMap(keras.Sequential([layers.Dense(2)]), caller="who")
    channels = ChannelMap(keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dense(1)]))
    with pytest.raises(ValueError, match=r"No channel group 'missing'. Groups: \['dense"):
        channels.group("missing")
