"""Where to prune matters more the more is pruned.

Claim: Layer sparsities from a ranking across layers (global, LAMP), from shapes (ERK) or from
measured distortion (RD) keep more accuracy than the same sparsity everywhere, and the more so the
sparser the model; the heavy tails of spectra are a data-free guide; SAP finds a sparsity by itself.

Paper: Gupta et al., arXiv 2209.14624 (global, minimum a layer); Lee et al., arXiv 2010.07611
(LAMP); Evci et al., arXiv 1911.11134 (ERK); Xu et al., arXiv 2308.10438 (RD); Hu et al.,
arXiv 2506.06280 (FARMS, AlphaPruning); Diao et al., arXiv 2302.05601 (SAP).

Setting: MNIST: 784-128-128-10 network, 5120 images. CIFAR: three strided convolutions and a dense
layer of 128, 156000 weights, 4480 images. Adam 0.001, batches of 64; 5 and 10 epochs dense, then
every arm prunes once by magnitude and is fine-tuned for 2 epochs under `KeepSparsity`. RD measures
20 levels of each kernel on 128 training images. The squared error is that of the logits of 512 test
images, before fine-tuning. SAP (per output unit, gamma 1.2) and the lottery (a fifth of all
survivors a round) rewind to the first weights; a round is 3 epochs of 2560 MNIST images. The
lottery is taken at its last round that is not sparser than the last one of SAP. Spectra are those
of normal random matrices 200 x 200 to 200 x 1600.

Criterion: On both data sets, RD at 90 % has at most 0.8 of the squared error of uniform, and is at
least half a point better after fine-tuning; AlphaPruning at 90 % is at least as accurate as uniform
on CIFAR; SAP is at least as accurate as the lottery, at an equal or higher sparsity; alphas of
random matrices spread by at most 0.1 with FARMS and at least 1 without; sparsities are within 0.001
of their target.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.pruning import zero_share
from evidence.result import Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress import pruning as kp
from keras_compress.callbacks import KeepSparsity
from keras_compress.retraining import iterative_prune

SEEDS = 2
BATCH = 64
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98)
ACCURACY, BEFORE = "test accuracy %", "before fine-tuning %"
ERROR, ZEROS = "squared error of logits", "zeros in kernels %"
ROUNDS = 14


def run(data, seeds, quick) -> Result:
    result = Result()
    levels = (0.9,) if quick else LEVELS
    worst = 0.0
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, lambda: mlp((128, 128)), 5_120, 5),
        ("CIFAR", data.cifar, lambda: cnn(hidden=128), 4_480, 10),
    ):
        num_train, epochs = (1_280, 1) if quick else (num_train, epochs)
        for seed in seeds:
            found = _levels(result, name, split, build, num_train, epochs, seed, levels)
            worst = max(worst, found)
    for seed in seeds:
        _automatic(result, data.mnist, seed, quick)
        _spectra(result, seed)
    _judge(result, worst)
    return result


def _allocations(x):
    return {
        "uniform": kp.UniformAllocation(min_keep=0.0),
        "global": kp.GlobalAllocation(min_keep=0.0),
        "global with a minimum": kp.GlobalAllocation(min_keep=0.001),
        "LAMP": kp.LAMPAllocation(min_keep=0.0),
        "ERK": kp.ERKAllocation(min_keep=0.0),
        "RD": kp.RateDistortionAllocation(x, levels=20, min_keep=0.0),
        "alpha": kp.AlphaAllocation(0.2),
    }


def _levels(result, name, split, build, num_train, epochs, seed, levels):
    """Every allocation at every sparsity; returns the worst distance from a target."""
    ((x, y),) = take(split, seed, num_train)

    def fit(model, epochs, *callbacks):
        compile_classifier(model)
        model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=list(callbacks), verbose=0)

    start(seed)
    model = build()
    fit(model, epochs)
    weights = model.get_weights()
    logits = model.predict(split.x_test[:512], batch_size=512, verbose=0)
    fit(model, 2)
    result.append(f"{name}, dense", ACCURACY, accuracy(model, split.x_test, split.y_test))
    worst = 0.0
    for sparsity in levels:
        for kind, allocation in _allocations(x[:128]).items():
            if kind == "alpha" and sparsity != 0.9:
                continue
            arm = f"{name}, {100 * sparsity:.0f} % {kind}"
            keras.utils.set_random_seed(seed)
            model.set_weights(weights)
            kp.prune_weights(model, sparsity, allocation=allocation)
            found = model.predict(split.x_test[:512], batch_size=512, verbose=0)
            right = found.argmax(axis=-1) == split.y_test[:512]
            result.append(arm, BEFORE, 100.0 * right.mean())
            result.append(arm, ERROR, np.mean((found - logits) ** 2))
            fit(model, 2, KeepSparsity())
            result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))
            worst = max(worst, abs(zero_share(model) - sparsity))
    return worst


def _automatic(result, split, seed, quick):
    """SAP against tickets of the lottery, both rewound to the first weights."""
    ((x, y),) = take(split, seed, 640 if quick else 2_560)
    test = split.x_test[:2000], split.y_test[:2000]

    def fit(model, callbacks):
        model.fit(x, y, batch_size=BATCH, epochs=1 if quick else 3, callbacks=callbacks, verbose=0)
        return {"accuracy": accuracy(model, *test)}

    def rounds_of(amount, allocation, stop=None):
        start(seed)
        model = compile_classifier(mlp((64, 64)))
        return iterative_prune(
            model, fit, rounds=3 if quick else ROUNDS, amount=amount, allocation=allocation,
            stop=stop,
        )  # fmt: skip

    sap = rounds_of(kp.SAP(gamma=1.2, scope="neuron"), None)[-1]
    lottery = rounds_of(
        0.2,
        kp.GlobalAllocation(min_keep=0.0),
        lambda rounds: 1.0 - 0.8 * (1.0 - rounds[-1].sparsity) > sap.sparsity,
    )[-1]
    for arm, last in (("MNIST, SAP", sap), ("MNIST, lottery", lottery)):
        result.append(arm, ACCURACY, last.metrics["accuracy"])
        result.append(arm, ZEROS, 100.0 * last.sparsity)


def _spectra(result, seed):
    rng = np.random.default_rng([seed, 7])
    inputs = keras.Input((200,))
    layers = [keras.layers.Dense(width) for width in (200, 400, 800, 1600)]
    model = keras.Model(inputs, [layer(inputs) for layer in layers])
    for layer in layers:
        layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    for method, arm in (("farms", "FARMS"), ("hill", "plain spectra")):
        alphas = list(kp.layer_alphas(model, method=method).values())
        result.append(f"random matrices, {arm}", "spread of alpha", np.ptp(alphas))


def _judge(result, worst):
    for name in ("MNIST", "CIFAR"):
        uniform, rd = (f"{name}, 90 % {kind}" for kind in ("uniform", "RD"))
        result.at_most(
            f"squared error of RD over that of uniform at 90 % on {name}",
            result.center(rd, ERROR) / result.center(uniform, ERROR),
            0.8,
        )
        result.at_least(
            f"RD minus uniform at 90 % on {name}, in points",
            result.center(rd, ACCURACY) - result.center(uniform, ACCURACY),
            0.5,
        )
    result.at_least(
        "AlphaPruning minus uniform at 90 % on CIFAR, in points",
        result.center("CIFAR, 90 % alpha", ACCURACY)
        - result.center("CIFAR, 90 % uniform", ACCURACY),
        0.0,
    )
    for text, metric in (
        ("SAP minus lottery, in points", ACCURACY),
        ("zeros of SAP minus those of the lottery, in points", ZEROS),
    ):
        difference = result.center("MNIST, SAP", metric) - result.center("MNIST, lottery", metric)
        result.at_least(text, difference, 0.0)
    spread = "spread of alpha"
    result.at_most("spread with FARMS", result.center("random matrices, FARMS", spread), 0.1)
    plain = result.center("random matrices, plain spectra", spread)
    result.at_least("spread without FARMS", plain, 1.0)
    result.at_most("largest distance of a sparsity from its target", worst, 1e-3)
