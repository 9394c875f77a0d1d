import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.dynamic import dynamic_macs
from keras_compress.layers import DynamicChannelGate

X = np.random.default_rng(0).normal(size=(10, 6, 6, 2)).astype("float32")


def gated():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.layers.Conv2D(3, 1), keras.layers.Conv2D(8, 3), keras.layers.ReLU()], name="inner"
    )
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            DynamicChannelGate(inner, name="gate"),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )


def test_only_the_layer_that_makes_the_channels_saves():
    model = gated()
    gate = model.layers[0]
    gate.head.kernel.assign(np.random.default_rng(1).normal(size=(2, 8)))
    gate.head.bias.assign([1.0, -9.0, -9.0, 0.0, 0.0, 9.0, -9.0, 0.0])
    logits = ops.convert_to_numpy(gate.channel_logits(X))
    active = ((logits > 0) | (logits == logits.max(axis=1, keepdims=True))).mean()
    report = dynamic_macs(model, X, batch_size=4)
    first, second, last, head = 36 * 2 * 3, 16 * 9 * 3 * 8, 16 * 8 * 5, 2 * 8
    assert report.dense == first + second + last and report.heads == head
    assert report.active_fraction == {"gate": pytest.approx(active)}
    assert report.dynamic == pytest.approx(first + active * second + last + head)
    assert report.saved == pytest.approx(1 - report.dynamic / report.dense)
    assert "gate" in str(report) and gate.observer is None


def test_nothing_to_count():
    with pytest.raises(ValueError, match="no samples|empty|data"):
        dynamic_macs(gated(), X[:0])
