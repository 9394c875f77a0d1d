"""Adversarial training on a long tail: weights of classes alone, and with separated features.

Claim: Adversarial training leaves rare classes little robustness. Weights of classes bring some of
it back at the price of the frequent ones; SRAT, deferred weights with features of adversarial
inputs kept apart by class, pays less.

Paper: Wang et al., "Imbalanced Adversarial Training with Reweighting", ICDM 2022, arXiv 2107.13639.

Setting: Five classes, drawn anew for every seed, are frequent, five are rare. MNIST, 500 images of
each frequent class and 50 of each rare one (imbalance 10), or 1000 and 10 (100), radius 0.1,
784-128-64-10 network, 20 epochs; the CIFAR-10 part, 600 and 60, radius 2/255, three convolutions
and a dense layer, 6 epochs, one seed. Adam 0.001, batches of 128, attacks of 5 steps of a quarter
of the radius. Weights by the effective number of samples (0.999), mean one in each batch; deferred
ones from the second half on. SRAT has the strength 0.5 and the temperature 0.1. Measured on 1000
test images, clean and under PGD with 20 steps: mean accuracy of the frequent and of the rare
classes, and of the worst class.

Criterion: On MNIST, for both imbalances, SRAT has an accuracy on rare classes under PGD-20 at least
10 points above unweighted adversarial training, and on frequent classes at least 2 points above
class-balanced weights from the start.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import NUM_CLASSES
from evidence.result import Result
from evidence.training import cnn, mlp, start
from keras_reweight.adversarial import SRAT, AdversarialTraining
from keras_reweight.attacks import PGD
from keras_reweight.weightings import ClassBalanced, WarmUp

SEEDS = 2
BATCH = 128
UNWEIGHTED, BALANCED = "unweighted", "class-balanced"
DEFERRED, SEPARATED = "deferred class-balanced", "SRAT"
ARMS = (UNWEIGHTED, BALANCED, DEFERRED, SEPARATED)
#: Radius, epochs, and images of frequent classes by imbalance.
SETTINGS = {"MNIST": (0.1, 20, {10: 500, 100: 1000}), "CIFAR": (2 / 255, 6, {10: 600})}
FREQUENT, RARE, WORST = "frequent classes", "rare classes", "worst class"
CLEAN, ATTACKED = "clean %", "PGD-20 %"


def run(data, seeds, quick) -> Result:
    result = Result()
    for name, (epsilon, epochs, sizes) in SETTINGS.items():
        split = {"MNIST": data.mnist, "CIFAR": data.cifar}[name]
        # One model for all, so that the attack is compiled once.
        judged = build(name), PGD(epsilon, step_size=epsilon / 8.0, steps=20, seed=11)
        for seed in seeds if name == "MNIST" else seeds[:1]:
            for imbalance, largest in sizes.items():
                x, y, counts = tail(split, seed, largest // 5 if quick else largest, imbalance)
                for arm in ARMS:
                    model = train(arm, name, x, y, counts, 2 if quick else epochs, seed)
                    judged[0].set_weights(model.get_weights())
                    for metric, value in measure(*judged, split, counts).items():
                        result.append(f"{name}, imbalance {imbalance}, {arm}", metric, value)
    for imbalance in SETTINGS["MNIST"][2]:
        _judge(result, imbalance)
    return result


def tail(split, seed, largest, imbalance):
    """Images, labels and counts of classes of two sizes."""
    generator = np.random.default_rng([seed, 17])
    counts = np.repeat([largest, largest // imbalance], NUM_CLASSES // 2)
    counts = generator.permutation(counts)
    rows = [
        generator.permutation(np.flatnonzero(split.y_train == label))[:count]
        for label, count in enumerate(counts)
    ]
    rows = generator.permutation(np.concatenate(rows))
    return split.x_train[rows], split.y_train[rows], counts.tolist()


def build(name):
    return mlp((128, 64)) if name == "MNIST" else cnn(hidden=64)


def train(arm, name, x, y, counts, epochs, seed):
    start(seed)
    epsilon = SETTINGS[name][0]
    model = build(name)
    balanced = ClassBalanced(counts, beta=0.999, normalization="mean_one")
    later = WarmUp(balanced, steps=max(1, -(-len(x) // BATCH) * epochs // 2))
    weighting = {UNWEIGHTED: None, BALANCED: balanced}.get(arm, later)
    trainer = AdversarialTraining(
        model,
        PGD(epsilon, step_size=epsilon / 4.0, steps=5),
        objective=SRAT() if arm == SEPARATED else None,
        weighting=weighting,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.Adam(1e-3), loss)
    trainer.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def measure(model, attack, split, counts):
    x, y = split.x_test[:1000], split.y_test[:1000]
    frequent = np.asarray(counts) == max(counts)
    found = {}
    for metric, inputs in ((CLEAN, x), (ATTACKED, attack(model, x, y, batch_size=500))):
        right = model.predict(inputs, batch_size=500, verbose=0).argmax(axis=1) == y
        classes = 100.0 * np.array([right[y == label].mean() for label in range(NUM_CLASSES)])
        found[f"{FREQUENT}, {metric}"] = classes[frequent].mean()
        found[f"{RARE}, {metric}"] = classes[~frequent].mean()
        found[f"{WORST}, {metric}"] = classes.min()
    return {metric: float(value) for metric, value in found.items()}


def _judge(result, imbalance):
    def of(arm, group):
        return result.center(f"MNIST, imbalance {imbalance}, {arm}", f"{group}, {ATTACKED}")

    for group, other, limit in ((RARE, UNWEIGHTED, 10.0), (FREQUENT, BALANCED, 2.0)):
        gain = of(SEPARATED, group) - of(other, group)
        text = f"imbalance {imbalance}, {group}: SRAT minus {other} under PGD-20, in points"
        result.at_least(text, gain, limit)
