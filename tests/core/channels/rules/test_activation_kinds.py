import keras
import pytest

from keras_reweight.core.channels.rules.activation_kinds import is_elementwise

MIXING = {"glu", "log_softmax", "softmax", "sparsemax"}


@pytest.mark.parametrize("name", sorted(set(dir(keras.activations)) - {"deserialize", "get"}))
def test_every_activation_of_keras_is_known(name):
    function = getattr(keras.activations, name)
    if callable(function) and name != "serialize":
        assert is_elementwise(function) == (name not in MIXING)


def test_layers_as_activations():
    assert is_elementwise(None) and is_elementwise(keras.layers.ReLU())
    assert is_elementwise(keras.layers.Activation("gelu")) and is_elementwise(keras.ops.relu)
    assert not is_elementwise(keras.layers.Softmax()) and not is_elementwise(lambda x: x)
