"""Keras' bookkeeping of losses, as far as `take_losses` relies on it."""

import keras
from keras import ops

from keras_reweight.core.layer_losses import take_losses


class Adds(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = keras.layers.ActivityRegularization(l2=1.0)

    def call(self, x):
        self.add_loss(ops.sum(x))
        return self.inner(x)


def test_losses_are_taken_off_the_books():
    layer = Adds()
    x = ops.ones((2, 3))
    layer(x)
    assert len(layer.losses) == 2
    with keras.StatelessScope([], collect_losses=True) as scope:
        layer(x)
        losses = take_losses(layer, scope)
        assert not scope.losses
    assert sorted(float(ops.convert_to_numpy(loss)) for loss in losses) == [3.0, 6.0]
    assert layer.losses == [] and not layer._loss_ids and not layer.inner._loss_ids
