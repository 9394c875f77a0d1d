"""Learned weights make an ensemble of unequal families better than their mean.

Claim: Where families of models differ in quality, mixing them with weights learned on held-out data
beats the plain mean, and a bad family gets a weight far below its share.

Paper: Salman et al., "AWARE-NET: Adaptive Weighted Averaging for Robust Ensemble Network in
Deepfake Detection", 2025, arXiv 2505.00312. The paper detects deepfakes with three large
architectures; this run mixes three small ones of digits.

Setting: MNIST. Families of two members each: a dense network and a convolutional one, trained on
2000 images for 5 epochs, and a bad one, a dense network trained on 2000 images of which 80 percent
have random labels. 2000 other images to learn the weights with. Arms: each family alone, the plain
mean, weights trained by `fit` (Adam 0.05, 20 epochs), weights of `maximize_likelihood`. Accuracy
and negative log-likelihood on 10000 test images; "held-out" is the latter on the 2000 images.

Criterion: On the 2000 images both ways of learning are at least as likely as the plain mean; on the
test images `maximize_likelihood` has the lower negative log-likelihood and no lower accuracy; the
bad family's weight is below 1/3 in every run.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_reweight as kr
from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import compile_classifier, mlp, start

SEEDS = 3
ACCURACY, LOSS, HELD_OUT = "accuracy %", "negative log-likelihood", "held-out"
FAMILIES = ("dense", "convolutional", "bad")
MEAN, FITTED, LIKELIEST = "plain mean", "fit", "maximize_likelihood"


def build(family: str) -> keras.Model:
    if family != "convolutional":
        return mlp()
    stack = [keras.Input((28, 28, 1))]
    for filters in (8, 16):
        stack.append(layers.Conv2D(filters, 3, strides=2, activation="relu"))
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(NUM_CLASSES)])


def run(data, seeds, quick) -> Result:
    result = Result()
    worst = []
    for seed in seeds:
        parts = take(data.mnist, seed, *[2000] * 3)
        members, families = [], []
        for number, family in enumerate(FAMILIES):
            for copy in range(2):
                x, y = parts[copy]
                if family == "bad":
                    rng = np.random.default_rng([seed, copy])
                    y = np.where(rng.random(len(y)) < 0.8, rng.integers(0, 10, len(y)), y)
                start(seed + 100 * number + 10 * copy)
                member = compile_classifier(build(family))
                member.fit(x, y, batch_size=64, epochs=1 if quick else 5, verbose=0)
                members.append(member)
                families.append(family)
        worst.append(_mix(result, members, families, parts[2], data.mnist, seed, quick))
    for arm in (FITTED, LIKELIEST):
        gain = result.center(MEAN, HELD_OUT) - result.center(arm, HELD_OUT)
        result.at_least(f"{arm}: gain of held-out likelihood", gain, 0.0)
    gain = result.center(MEAN, LOSS) - result.center(LIKELIEST, LOSS)
    result.at_least("gain of test likelihood", gain, 0.0)
    gain = result.center(LIKELIEST, ACCURACY) - result.center(MEAN, ACCURACY)
    result.at_least("gain of test accuracy, in points", gain, 0.0)
    result.at_most("largest weight of the bad family", max(worst), 1 / 3)
    return result


def _mix(result, members, families, held_out, split, seed, quick):
    ensemble = kr.layers.LearnableEnsemble(members, families=families, from_logits=True)
    ensemble.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")

    def measure(arm):
        for images, labels, held in ((*held_out, True), (split.x_test, split.y_test, False)):
            p = ensemble.predict(images, batch_size=1000, verbose=0)
            loss = -np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-7)).mean()
            result.append(arm, HELD_OUT if held else LOSS, loss)
            if not held:
                result.append(arm, ACCURACY, 100.0 * (p.argmax(axis=-1) == labels).mean())

    ensemble(held_out[0][:1])  # makes the weights
    for number, family in enumerate(FAMILIES):
        ensemble.family_logits.assign(np.where(np.arange(3) == number, 50.0, 0.0))
        measure(f"{family} alone")
    ensemble.family_logits.assign(np.zeros(3))
    measure(MEAN)
    keras.utils.set_random_seed(seed)
    ensemble.fit(*held_out, batch_size=256, epochs=2 if quick else 20, verbose=0)
    measure(FITTED)
    ensemble.family_logits.assign(np.zeros(3))
    weights = ensemble.maximize_likelihood(held_out)
    measure(LIKELIEST)
    for family, weight in weights.items():
        result.append(LIKELIEST, f"weight of {family}", weight)
    return weights["bad"]
