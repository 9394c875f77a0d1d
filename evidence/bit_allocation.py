"""Layers are not alike: bits where the loss feels them beat the same bits everywhere.

Claim: Ranked by a good score, the right layers keep their bits: rounding the least important ones
hurts much less than rounding the most important ones, and plans from modelled or measured losses
are better than one bit width at the same size.

Paper: Dumitru et al., "Layer-Wise Quantization", arXiv 2406.17415 (LIM, ZD, split); Zhang et al.,
"BAQ: Efficient Bit Allocation Quantization for Large Language Models", arXiv 2506.05664 (closed
form); Dong et al., "HAWQ-V2", arXiv 1911.03852 (hessian).

Setting: CIFAR: convolutions of 16, 24 and 32 filters, batch normalization, a depthwise and a 1x1
convolution of 64, dense layers of 64 and 10, 6400 images, 6 epochs of Adam 0.001. Text: a
transformer over characters (3 blocks of width 64, attention projections one by one), 300 steps on
Tiny Shakespeare. Every matrix is rounded to nearest, one scale and zero point for each output
channel, nothing is trained afterwards. Scores from 256 training images or 64 windows. `3 on 4`: the
4 layers with the lowest (or highest) scores at 3 bits, the 3 others at 8. Plans: a mean of 3 bits
over all weights, choices 2 to 8, against 3 bits everywhere. `knapsack`: from losses at every
choice; `closed form` and `greedy`: from scores at 3 bits, four times less for each bit; `reversed`:
one over these scores. Splits into 2 and 4 bits: LIM (blocks of the transformer) and ZD. Accuracy on
2000 images, perplexity per character on 300 windows.

Criterion: On CIFAR, fisher, relative error and ZD lose less accuracy with the least important
layers at 3 bits than with the most important ones. On both models, knapsack plans from fisher and
from measured losses are better than 3 bits everywhere, and the greedy and the closed-form plan
better than the reversed one; on text, the split by LIM is better than the reversed split. No plan
exceeds its budget.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence._character_transformer import BLOCKS, transformer
from evidence._characters import LENGTH, cross_entropy, encode, mean_loss, windows
from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, start
from keras_compress.bits import allocate_bits, layer_importance
from keras_compress.grids.matrix_layout import to_kernel, to_matrix
from keras_compress.post_training.affine_ranges import affine_range
from keras_compress.quantization.supported import parts
from keras_reweight.core.selection import layers_by_path

SEEDS = 3
BATCH, STEPS, MEAN, CHOICES = 32, 300, 3.0, (2, 3, 4, 5, 6, 8)
ACCURACY, PERPLEXITY, BITS = "test accuracy %", "perplexity", "mean bits"
ACCURATE = ("fisher", "hessian", "measured", "relative_mse")
RANKINGS = (*ACCURATE, "gradient_x_weight", "zd")
CIFAR, TEXT = "CIFAR", "Shakespeare"
UNIFORM = f"{MEAN:.0f} bits everywhere"
REVERSED = "fisher reversed, greedy"


def run(data, seeds, quick) -> Result:
    result = Result()
    excess = 0.0
    ids, num_characters = encode(data.shakespeare)
    for seed in seeds:
        excess = max(excess, _images(result, data.cifar, seed, quick))
        excess = max(excess, _text(result, ids, num_characters, seed, quick))
    for method in ("fisher", "relative_mse", "zd"):
        low, high = (
            result.center(f"{CIFAR}, 3 on 4 {which}, {method}", ACCURACY)
            for which in ("least", "most")
        )
        result.at_least(f"least minus most important layers by {method}, points", low - high, 0.0)
    for name, metric, sign in ((CIFAR, ACCURACY, 1.0), (TEXT, PERPLEXITY, -1.0)):

        def value(arm, name=name, metric=metric):
            return result.center(f"{name}, {arm}", metric)

        for plan, other in (
            ("fisher, knapsack", UNIFORM),
            ("measured, knapsack", UNIFORM),
            ("fisher, greedy", REVERSED),
            ("fisher, closed form", REVERSED),
        ):
            gain = sign * (value(plan) - value(other))
            result.at_least(f"{name}: {plan} better than {other} by", gain, 0.0)
    gain = -(value("LIM, split") - value("LIM reversed, split"))
    result.at_least(f"{TEXT}: LIM better than LIM reversed by", gain, 0.0)
    result.at_most("largest excess of a mean over its budget, in bits", excess, 1e-9)
    return result


def _images(result, split, seed, quick):
    num_train, epochs = (1_280, 2) if quick else (6_400, 6)
    ((x, y),) = take(split, seed, num_train)
    start(seed)
    model = compile_classifier(_network())
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    arms = _Arms(
        result, model, CIFAR, ACCURACY, lambda: accuracy(model, split.x_test, split.y_test)
    )
    arms.uniform()
    losses = _losses(model, (x[:256], y[:256]), ACCURATE)
    for method in RANKINGS:
        if method in ACCURATE:
            scores = {path: table[3] for path, table in losses[method].items()}
        else:
            data = None if method == "zd" else (x[:256], y[:256])
            scores = layer_importance(model, data, method=method)
        order = sorted(scores, key=scores.__getitem__)
        for which, low in (("least", order[:4]), ("most", order[-4:])):
            plan = {path: 3 if path in low else 8 for path in order}
            arms.measure(f"3 on 4 {which}, {method}", plan)
    return arms.plans(losses)


def _text(result, ids, num_characters, seed, quick):
    generator = np.random.default_rng([seed, 29])
    cut, steps = int(0.9 * len(ids)), 40 if quick else STEPS
    x, y = windows(ids, generator.integers(0, cut - LENGTH - 1, steps * BATCH))
    calibration = windows(ids, generator.integers(0, cut - LENGTH - 1, 64))
    test = windows(ids, generator.integers(cut, len(ids) - LENGTH - 1, 300))
    start(seed)
    model = transformer(num_characters)
    model.compile(keras.optimizers.Adam(3e-3), cross_entropy())
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)

    arms = _Arms(result, model, TEXT, PERPLEXITY, lambda: float(np.exp(mean_loss(model, *test))))
    arms.uniform()
    excess = arms.plans(_losses(model, calibration, [m for m in ACCURATE if m != "hessian"]))
    lim = layer_importance(model, calibration[0], method="lim", blocks=list(BLOCKS))
    zd = layer_importance(model, method="zd", layers=list(lim))
    fixed = {path: 4 for path in arms.layers if path not in lim}
    for name, scores in (("LIM", lim), ("ZD", zd)):
        for label, sign in (("", 1.0), (" reversed", -1.0)):
            signed = {path: sign * score for path, score in scores.items()}
            plan = allocate_bits(
                model, signed, mean_bits=MEAN, choices=(2, 4), method="split", fixed=fixed
            )
            arms.measure(f"{name}{label}, split", plan, plan.mean_bits)
            excess = max(excess, plan.mean_bits - MEAN)
    return excess


class _Arms:
    """One model, rounded in many ways."""

    def __init__(self, result, model, name, metric, measure):
        self.result, self.model, self.name = result, model, name
        self.metric, self._measure = metric, measure
        paths = {id(layer): path for path, layer in layers_by_path(model).items()}
        self.layers = {paths[id(part.layer)]: part.matrices for part in parts(model)}
        self._weights = model.get_weights()

    def uniform(self):
        self.measure("float", {})
        for bits in (2, 3, 4, 8):
            self.measure(f"{bits} bits everywhere", dict.fromkeys(self.layers, bits))

    def measure(self, arm, plan, mean_bits=None):
        for path, bits in plan.items():
            for one in self.layers[path]:
                kernel = np.asarray(keras.ops.convert_to_numpy(one.variable.value), "float64")
                matrix = to_matrix(kernel, one.axis)
                values = affine_range(matrix, bits).nearest(matrix)
                one.variable.assign(to_kernel(values, kernel.shape, one.axis))
        self.result.append(f"{self.name}, {arm}", self.metric, self._measure())
        if mean_bits is not None:
            self.result.append(f"{self.name}, {arm}", BITS, mean_bits)
        self.model.set_weights(self._weights)

    def plans(self, losses):
        """Plans of the same mean; returns the largest excess over it."""
        at_3 = {
            method: {path: table[3] for path, table in tables.items()}
            for method, tables in losses.items()
        }
        reversed_ = {path: 1.0 / max(score, 1e-12) for path, score in at_3["fisher"].items()}
        excess = 0.0
        for arm, scores, method in (
            *((f"{name}, knapsack", tables, "knapsack") for name, tables in losses.items()),
            ("measured, greedy", losses["measured"], "greedy"),
            ("fisher, greedy", at_3["fisher"], "greedy"),
            ("fisher, closed form", at_3["fisher"], "closed_form"),
            ("relative_mse, closed form", at_3["relative_mse"], "closed_form"),
            (REVERSED, reversed_, "greedy"),
        ):
            plan = allocate_bits(self.model, scores, mean_bits=MEAN, choices=CHOICES, method=method)
            self.measure(arm, plan, plan.mean_bits)
            excess = max(excess, plan.mean_bits - MEAN)
        return excess


def _losses(model, calibration, methods):
    """Method to path to bits to loss."""
    return {
        method: layer_importance(
            model,
            None if method == "relative_mse" else calibration,
            method=method,
            bits=CHOICES,
            batch_size=64,
        )
        for method in methods
    }


def _network():
    """Seven matrices of very different kinds and sizes."""
    options = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(16, 3, strides=2, **options),
            layers.Conv2D(24, 3, **options),
            layers.Conv2D(32, 3, strides=2, **options),
            layers.BatchNormalization(momentum=0.9),
            layers.DepthwiseConv2D(3, **options),
            layers.Conv2D(64, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(64, "relu"),
            layers.Dense(10),
        ]
    )
