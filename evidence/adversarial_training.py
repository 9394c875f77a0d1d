"""Adversarial training with and without weights of samples, under attacks it was not trained on.

Claim: Training on adversarial inputs makes a network robust where plain training leaves nothing.
Weights of samples (GAIRAT, MAIL, WEAT, KL-DRO, KL-DRO times class weights) move robustness between
samples and attacks; at this scale they are not expected to beat unweighted training on average.

Paper: Madry et al., arXiv 1706.06083; Zhang et al. (TRADES), arXiv 1901.08573; Wang et al. (MART),
ICLR 2020; Zhang et al. (GAIRAT), arXiv 2010.01736; Liu et al. (MAIL), NeurIPS 2021; Mirza et al.
(WEAT), arXiv 2407.06315; Sow et al. (KL-DRO), arXiv 2308.00311.

Setting: MNIST, 3000 images, radius 0.1, two convolutions and a dense layer, Adam 0.001, 10 epochs;
the CIFAR-10 part, 5000 images, radius 4/255, three convolutions, 8 epochs, one seed. Batches of
128. Attacks of the training: 5 steps of a quarter of the radius. Weights from a third of the
training on where the paper delays them (GAIRAT, MAIL). 1000 test images: clean, PGD with 20 steps
(the attack of the training, longer), and the margin of the logits with 20 steps and two restarts,
which looks through saturated or rescaled logits. Worst class: the lowest accuracy of a class under
PGD. At this rate of Adam MART stays at one class on CIFAR; a smaller rate avoids that.

Criterion: On MNIST every arm of adversarial training has a PGD-20 accuracy at least 40 points above
plain training, and every weighted arm at most 7 points below the unweighted one of its objective.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence.data import take
from evidence.result import Result
from evidence.training import cnn, start
from keras_reweight import adversarial, attacks, weightings

SEEDS = 2
BATCH = 128
CLEAN, PGD, MARGIN, WORST = "clean %", "PGD-20 %", "margin, 2 restarts %", "worst class, PGD-20 %"
PLAIN, MADRY, TRADES, MART = "plain", "Madry", "TRADES", "MART"
#: Weighted arm: the unweighted one of its objective.
WEIGHTED = {
    "Madry + GAIRAT": MADRY,
    "Madry + MAIL": MADRY,
    "Madry + KL-DRO": MADRY,
    "Madry + KL-DRO x class": MADRY,
    "TRADES + WEAT": TRADES,
}
ARMS = (PLAIN, MADRY, TRADES, MART, *WEIGHTED)
SETTINGS = {"MNIST": (0.1, 3_000, 10), "CIFAR": (4 / 255, 5_000, 8)}


def run(data, seeds, quick) -> Result:
    result = Result()
    for name, (epsilon, num_train, epochs) in SETTINGS.items():
        split = {"MNIST": data.mnist, "CIFAR": data.cifar}[name]
        num_train, epochs = (1_000, 2) if quick else (num_train, epochs)
        for seed in seeds if name == "MNIST" else seeds[:1]:
            ((x, y),) = take(split, seed, num_train)
            for arm in ARMS:
                model = _train(arm, name, x, y, epsilon, epochs, seed)
                for metric, value in _measure(model, split, epsilon).items():
                    result.append(f"{name}, {arm}", metric, value)
    base = result.center(f"MNIST, {PLAIN}", PGD)
    for arm in ARMS[1:]:
        gain = result.center(f"MNIST, {arm}", PGD) - base
        result.at_least(f"{arm} minus {PLAIN} under PGD-20, in points", gain, 40.0)
    for arm, unweighted in WEIGHTED.items():
        loss = result.center(f"MNIST, {unweighted}", PGD) - result.center(f"MNIST, {arm}", PGD)
        result.at_most(f"{unweighted} minus {arm} under PGD-20, in points", loss, 7.0)
    return result


def _build(name):
    if name == "CIFAR":
        return cnn(hidden=64)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(10),
        ]
    )


def _train(arm, name, x, y, epsilon, epochs, seed):
    start(seed)
    model = _build(name)
    trained = model if arm == PLAIN else _trainer(arm, model, y, epsilon, len(x), epochs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.Adam(1e-3), loss)
    trained.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def _trainer(arm, model, y, epsilon, num_train, epochs):
    steps = {"step_size": epsilon / 4.0, "steps": 5}
    attack = attacks.PGD(epsilon, **steps)
    diverging = attacks.PGD(epsilon, loss="kl", start="gaussian", **steps)
    delay = -(-num_train // BATCH) * max(1, epochs // 3)
    counts = np.bincount(y, minlength=10)
    dro = weightings.KLDRO(1.0)

    def delayed(weighting):
        return weightings.WarmUp(weighting, steps=delay)

    arms = {
        MADRY: (attack, None, None),
        TRADES: (diverging, adversarial.TRADES(6.0), None),
        MART: (attack, adversarial.MART(5.0), None),
        "Madry + GAIRAT": (attack, None, delayed(adversarial.GeometryAware(5))),
        "Madry + MAIL": (attack, None, delayed(weightings.ProbabilityMargin())),
        "Madry + KL-DRO": (attack, None, dro),
        "Madry + KL-DRO x class": (
            attack,
            None,
            weightings.Product([dro, weightings.ClassBalanced([int(c) for c in counts])]),
        ),
        "TRADES + WEAT": (
            diverging,
            adversarial.TRADES(6.0, weight_clean=True),
            weightings.Energy(),
        ),
    }
    attack, objective, weighting = arms[arm]
    reads = "clean" if isinstance(weighting, weightings.Energy) else "adversarial"
    return adversarial.AdversarialTraining(
        model, attack, objective=objective, weighting=weighting, weighting_reads=reads
    )


def _measure(model, split, epsilon):
    x, y = split.x_test[:1000], split.y_test[:1000]
    steps = {"step_size": epsilon / 8.0, "steps": 20}

    def right(inputs):
        return model.predict(inputs, batch_size=500, verbose=0).argmax(axis=1) == y

    under_pgd = right(attacks.PGD(epsilon, seed=11, **steps)(model, x, y, batch_size=500))
    margin = attacks.PGD(epsilon, loss="margin", restarts=2, seed=12, **steps)
    found = {
        CLEAN: right(x).mean(),
        PGD: under_pgd.mean(),
        MARGIN: right(margin(model, x, y, batch_size=500)).mean(),
        WORST: min(under_pgd[y == label].mean() for label in range(10)),
    }
    return {metric: 100.0 * float(value) for metric, value in found.items()}
