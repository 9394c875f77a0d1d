"""Companded weights are bounded, leave zero, and classify as well as plain ones.

Claim: Computing with `a arctan(v / b)` in place of free weights restricts their size and pushes
them away from zero, without a loss of accuracy.

Paper: Cakaj, Mehnert and Yang, "Weight Compander: A Simple Weight Reparameterization for
Regularization", IJCNN 2023, arXiv 2306.16993. The paper trains large networks; this run looks at
the weights of a small one.

Setting: MNIST, 3000 images (few, so that there is something to regularize), 784-256-128-10 network,
Adam 0.001, batches of 64, 15 epochs. Arms: plain; plain with weight decay 0.01; `CompandedDense`
with a = b = 1, learned for each layer; constant a = 0.5 and b = 0.25. Shares and bounds over all
kernels; the folded model is the one that is looked at.

Criterion: For the learned arm, no weight is larger than its bound `a pi / 2`, the accuracy is at
most 1 point below plain, the share of weights smaller than 0.01 is lower than plain's, and the
folded model's logits differ by at most 1e-5 of the largest.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

import keras_reweight as kr
from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import accuracy, start

SEEDS = 3
ACCURACY, SMALL, LARGEST = "accuracy %", "weights below 0.01 %", "largest weight"
PLAIN, DECAYED = "plain", "plain, weight decay 0.01"
LEARNED, CONSTANT = "companded, learned", "companded, a=0.5, b=0.25"


def build(arm: str) -> keras.Model:
    def dense(units, activation=None):
        if arm == LEARNED:
            return kr.layers.CompandedDense(units, activation=activation)
        if arm == CONSTANT:
            return kr.layers.CompandedDense(
                units, amplitude=0.5, width=0.25, learned=False, activation=activation
            )
        return layers.Dense(units, activation)

    stack = [dense(256, "relu"), dense(128, "relu"), dense(NUM_CLASSES)]
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *stack])


def run(data, seeds, quick) -> Result:
    result = Result()
    outside, folded = [], []
    for seed in seeds:
        ((x, y),) = take(data.mnist, seed, 1000 if quick else 3000)
        for arm in (PLAIN, DECAYED, LEARNED, CONSTANT):
            start(seed)
            model = build(arm)
            decay = 0.01 if arm == DECAYED else None
            model.compile(
                keras.optimizers.Adam(1e-3, weight_decay=decay),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )
            model.fit(x, y, batch_size=64, epochs=2 if quick else 15, verbose=0)
            result.append(arm, ACCURACY, accuracy(model, data.mnist.x_test, data.mnist.y_test))
            if arm == LEARNED:
                outside.append(_outside(model))
                folded.append(_folding_error(model, data.mnist.x_test[:200]))
                for number, layer in enumerate(model.layers[1:], start=1):
                    for name, value in zip("ab", layer.companding(), strict=True):
                        result.append(arm, f"{name} of layer {number}", value)
            plain = model if arm in (PLAIN, DECAYED) else kr.layers.fold_kernels(model)
            kernels = [ops.convert_to_numpy(layer.kernel).ravel() for layer in plain.layers[1:]]
            weights = np.abs(np.concatenate(kernels))
            result.append(arm, SMALL, 100.0 * float((weights < 0.01).mean()))
            result.append(arm, LARGEST, float(weights.max()))
    result.at_most("weights outside the bound", max(outside), 0)
    result.at_most(
        "accuracy, plain minus companded, in points",
        result.center(PLAIN, ACCURACY) - result.center(LEARNED, ACCURACY),
        1.0,
    )
    result.at_most(
        "share of small weights by that of plain",
        result.center(LEARNED, SMALL) / result.center(PLAIN, SMALL),
        0.999,
    )
    result.at_most("folded, largest relative difference", max(folded), 1e-5)
    return result


def _outside(model):
    """Weights that are larger than the bound of their layer (by more than rounding)."""
    count = 0
    for layer in model.layers[1:]:
        bound = layer.companding()[0] * np.pi / 2 * (1.0 + 1e-6)
        count += int((np.abs(ops.convert_to_numpy(layer.effective_kernel())) > bound).sum())
    return count


def _folding_error(model, images):
    expected = model.predict(images, verbose=0)
    found = kr.layers.fold_kernels(model).predict(images, verbose=0)
    return float(np.abs(found - expected).max() / np.abs(expected).max())
