"""Kinds of models, and whose constructor they have."""

import keras
import pytest

from keras_reweight.core.model_kind import has_own_constructor, is_functional


class Own(keras.Model):
    pass


class Built(keras.Model):
    def __init__(self):
        inputs = keras.Input((2,))
        super().__init__(inputs, keras.layers.Dense(1)(inputs))


class Stack(keras.Sequential):
    def __init__(self, units):
        super().__init__([keras.Input((2,)), keras.layers.Dense(units)])


def functional(kind):
    inputs = keras.Input((2,))
    return kind(inputs, keras.layers.Dense(1)(inputs))


@pytest.mark.parametrize(
    "make, kind, own",
    [
        (lambda: functional(keras.Model), True, False),
        (lambda: functional(Own), True, False),
        (Built, True, True),
        (lambda: keras.Sequential([keras.Input((2,))]), False, False),
        (lambda: Stack(2), False, True),
    ],
)
def test_kinds(make, kind, own):
    model = make()
    assert is_functional(model) is kind
    assert has_own_constructor(model) is own


def test_a_subclassed_model_is_not_functional():
    class Plain(keras.Model):
        pass

    assert not is_functional(Plain())
