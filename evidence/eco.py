"""Training 4-bit and fp8 weights without float master weights.

Claim: Weights can be on their grid after every step, with no float copy behind them, if the
rounding error goes into the momentum (ECO). Rounding to nearest and dropping the error stops the
training; carried, it goes on. At 4 bits and from random weights, rounding at random is needed to
come close to float training; at fp8 ECO alone does. What has to be kept for a weight shrinks by the
master copy.

Paper: "ECO: Quantized Training without Full-Precision Master Weights", 2026, arXiv 2601.22101. Its
models have up to 2.1 billion weights, on an FP8 grid from the start, at 4 bits in fine-tuning.

Setting: MNIST: 784-128-10 network, 6400 images, 4 epochs. CIFAR: three strided convolutions and a
linear layer, 6400 images, 6 epochs. Batches of 64, random weights; Adam with a rate that decays
from 0.001 to a tenth (cosine), on MNIST also SGD with momentum 0.9 from 0.05. Grids: symmetric
4-bit codes and e4m3, one scale for each output channel by its largest weight; all kernels, biases
in float. `master weights`: `quantize_aware` at 4 bits with learned steps, which trains float
weights behind the grid; measured as frozen. Stored bytes: codes and scales, float biases, slots of
the optimizer, and the master weights where there are any. Held bytes are those of the variables in
Keras, which has no type for codes that trains.

Criterion: On MNIST with Adam at 4 bits, ECO is at least 20 points better than dropping the error
when rounding to nearest, and at most 2 points worse than float when rounding at random. On CIFAR
with e4m3, ECO with rounding to nearest is at most 2 points worse than float. All kernels are on the
grid. At 4 bits the stored bytes are at most 0.75 of those with master weights.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, cnn, mlp, start
from keras_compress.optimizers import ErrorCompensating
from keras_compress.optimizers.error_compensating import FLOAT8
from keras_compress.quantization import freeze, quantize_aware

SEEDS = 3
BATCH, BITS = 64, 4
ACCURACY, STORED, HELD = "test accuracy %", "stored kB", "held kB"
ARMS = {
    "dropped, nearest": {"compensate": False},
    "ECO, nearest": {},
    "dropped, at random": {"compensate": False, "stochastic": True},
    "ECO, at random": {"stochastic": True},
}


def run(data, seeds, quick) -> Result:
    result = Result()
    off_grid = 0.0
    for seed in seeds:
        for runs in (_mnist(data, seed, quick), _cifar(data, seed, quick)):
            off_grid = max(off_grid, runs.compare(result, seed))
    score = {row.arm: row.center("mean") for row in result.rows if row.metric == ACCURACY}
    stored = {row.arm: row.center("mean") for row in result.rows if row.metric == STORED}
    result.at_least(
        "ECO minus dropped error on MNIST, 4 bits, nearest, in points",
        score["MNIST, Adam, 4 bits, ECO, nearest"] - score["MNIST, Adam, 4 bits, dropped, nearest"],
        20.0,
    )
    for text, arm, baseline in (
        ("MNIST, 4 bits, at random", "MNIST, Adam, 4 bits, ECO, at random", "MNIST, Adam, float"),
        ("CIFAR, e4m3, nearest", "CIFAR, Adam, e4m3, ECO, nearest", "CIFAR, Adam, float"),
    ):
        result.at_least(f"ECO minus float on {text}, in points", score[arm] - score[baseline], -2.0)
    for name in ("MNIST", "CIFAR"):
        result.at_most(
            f"stored bytes of ECO divided by those with master weights on {name}",
            stored[f"{name}, Adam, 4 bits, ECO, at random"]
            / stored[f"{name}, Adam, master weights"],
            0.75,
        )
    result.at_most("largest distance of a code from its level", off_grid, 1e-3)
    return result


def _mnist(data, seed, quick):
    num_train, epochs = (2_560, 2) if quick else (6_400, 4)
    return _Runs("MNIST", data.mnist, mlp, seed, num_train, epochs, ("Adam", "SGD"), (BITS,))


def _cifar(data, seed, quick):
    num_train, epochs = (2_560, 2) if quick else (6_400, 6)
    return _Runs("CIFAR", data.cifar, cnn, seed, num_train, epochs, ("Adam",), (BITS, FLOAT8))


class _Runs:
    """All arms of one data set and seed, from the same weights."""

    def __init__(self, name, split, build, seed, num_train, epochs, kinds, grids):
        ((self.x, self.y),) = take(split, seed, num_train)
        self.name, self.split, self.build, self.seed = name, split, build, seed
        self.epochs, self.kinds, self.grids = epochs, kinds, grids
        self.num_steps = epochs * -(-num_train // BATCH)

    def compare(self, result, seed):
        """Adds the rows; returns the largest distance from the grid."""
        start(seed)
        weights = self.build().get_weights()
        off_grid = 0.0
        for kind in self.kinds:
            slots = 2 if kind == "Adam" else 1
            arm = f"{self.name}, {kind}"
            model = self._train(result, f"{arm}, float", weights, self._optimizer(kind))
            result.append(f"{arm}, float", STORED, _stored(model, slots))
            self._train(
                result, f"{arm}, master weights", weights, self._optimizer(kind), quantized=True
            )
            size = _stored(model, slots, bits=BITS, master=True)
            result.append(f"{arm}, master weights", STORED, size)
            for grid in self.grids:
                for label, options in ARMS.items():
                    title = f"{arm}, {f'{grid} bits' if grid == BITS else 'e4m3'}, {label}"
                    inner = self._optimizer(kind)
                    optimizer = ErrorCompensating(inner, grid, seed=seed, **options)
                    model = self._train(result, title, weights, optimizer)
                    size = _stored(model, slots, bits=8 if grid == FLOAT8 else grid)
                    result.append(title, STORED, size)
                    found = max(_off_grid(layer, grid) for layer in _with_kernels(model))
                    off_grid = max(off_grid, found)
        return off_grid

    def _optimizer(self, kind):
        if kind == "Adam":
            return keras.optimizers.Adam(_decay(1e-3, self.num_steps))
        return keras.optimizers.SGD(_decay(0.05, self.num_steps), momentum=0.9)

    def _train(self, result, arm, weights, optimizer, quantized=False):
        start(self.seed)
        model = self.build()
        model.set_weights(weights)
        if quantized:
            model = quantize_aware(model, weights=BITS)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(self.x, self.y, batch_size=BATCH, epochs=self.epochs, verbose=0)
        plain = freeze(model) if quantized else model
        result.append(arm, ACCURACY, accuracy(plain, self.split.x_test, self.split.y_test))
        result.append(arm, HELD, _bytes(model.variables, optimizer.variables) / 1e3)
        return model


def _decay(rate, steps):
    return keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.1)


def _with_kernels(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


def _off_grid(layer, grid):
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True)
    if grid == FLOAT8:
        scaled = kernel / (largest / 448.0)
        levels = keras.ops.cast(keras.ops.cast(scaled, "float8_e4m3fn"), "float32")
        levels = keras.ops.convert_to_numpy(levels)
        return float((np.abs(scaled - levels) / np.maximum(np.abs(levels), 2.0**-9)).max())
    codes = kernel / (largest / (2 ** (grid - 1) - 1))
    return float(np.abs(codes - np.round(codes)).max())


def _bytes(*groups):
    return sum(keras.ops.convert_to_numpy(one.value).nbytes for group in groups for one in group)


def _stored(model, slots, *, bits=32, master=False):
    """kB of what a training must keep: weights as stored and the slots of the optimizer."""
    total = 0.0
    for layer in _with_kernels(model):
        size, channels = int(np.prod(layer.kernel.shape)), layer.kernel.shape[-1]
        total += bits / 8 * size + (4 * channels if bits < 32 else 0)
        total += 4 * size * (slots + master) + 4 * layer.bias.shape[0] * (1 + slots)
    return total / 1e3
