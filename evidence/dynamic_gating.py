"""Samples need only some of the channels, and a small head can tell which.

Claim: Heads that predict from the input of a layer which of its channels will fire switch off a
large share of the channels, differently for each sample, at hardly any loss of accuracy.

Paper: Elkerdawy et al., "Fire Together Wire Together", arXiv 2110.08232.

Setting: MNIST, 10240 images, 6 epochs, Adam 0.002 with batches of 64. Four convolutions with batch
normalization (16, 32, 32 and 64 filters, the first, second and fourth of stride two), a global
average and a dense layer. The gated arms wrap all convolutions but the first in
`DynamicChannelGate`; the weight of the loss of the heads is one third, and zero in the second half.
"Mass 0.7" keeps the channels that carry 70 % of the heat of a sample, "uniform 0.5" half of the
channels. Active channels and multiplications are counted on the test images with `dynamic_macs`;
they are not saved by today's kernels.

Criterion: With mass 0.7, at most 60 % of the channels of the gated layers are active on average,
with an accuracy at most two points below that of the dense network.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, start
from keras_compress.dynamic import dynamic_macs, set_gate_weight
from keras_compress.layers import DynamicChannelGate

SEEDS = 3
ACCURACY, ACTIVE, SAVED = "test accuracy %", "active channels %", "MACs saved %"
ARMS = {"dense": None, "mass 0.7": ("mass", 0.7), "uniform 0.5": ("uniform", 0.5)}


def run(data, seeds, quick) -> Result:
    result, split = Result(), data.mnist
    for seed in seeds:
        ((x, y),) = take(split, seed, 1_280 if quick else 10_240)
        epochs = 2 if quick else 6
        for arm, gates in ARMS.items():
            start(seed)
            model = compile_classifier(_network(gates), 0.002)
            callbacks = [] if gates is None else [_CoolDown(epochs // 2)]
            model.fit(x, y, batch_size=64, epochs=epochs, callbacks=callbacks, verbose=0)
            result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))
            if gates is not None:
                report = dynamic_macs(model, split.x_test[:1_000], batch_size=500)
                active = float(np.mean(list(report.active_fraction.values())))
                result.append(arm, ACTIVE, 100.0 * active)
                result.append(arm, SAVED, 100.0 * report.saved)
    result.at_most("active channels with mass 0.7, in %", result.center("mass 0.7", ACTIVE), 60.0)
    result.at_least(
        "mass 0.7 minus dense, in points",
        result.center("mass 0.7", ACCURACY) - result.center("dense", ACCURACY),
        -2.0,
    )
    return result


class _CoolDown(keras.callbacks.Callback):
    """From this epoch on the task alone decides."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        set_gate_weight(self.model, 1.0 / 3.0 if epoch < self.epoch else 0.0)


def _network(gates):
    stack = [keras.Input((28, 28, 1))]
    for index, (filters, stride) in enumerate(((16, 2), (32, 2), (32, 1), (64, 2))):
        block = keras.Sequential(
            [
                layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(),
            ],
            name=f"block_{index}",
        )
        if gates is not None and index:
            kind, share = gates
            block = DynamicChannelGate(block, kind=kind, share=share, weight=1.0 / 3.0)
        stack.append(block)
    return keras.Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dense(10)])
