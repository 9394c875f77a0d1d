"""Removing the flat directions of a layer removes wrong labels learned by heart.

Claim: Of a network that has learned wrong labels by heart, the part of one hidden layer that
carries most of the curvature (of its Kronecker approximation) still classifies, and no longer knows
most of the wrong labels: it gives the right ones for those images. The inputs that the curvature is
measured on must not be those that the network is certain about.

Paper: Merullo et al., "From Memorization to Reasoning in the Spectrum of Loss Curvature", 2025,
arXiv 2510.24256 (language models there).

Setting: 1300 digits of 8 by 8 pixels (scikit-learn) and 6000 images of MNIST, 10 % of the labels
wrong (symmetric), two hidden layers of 256 units, Adam 0.001, batches of 64, 60 epochs. Kronecker
factors of the second hidden layer, with labels sampled from the predictions, on the training images
or on images never seen (the 497 other digits, 6000 others of MNIST, without labels); `rho` is the
share of curvature kept, 0.7 was chosen with another seed. Memorized: share of wrong labels that the
network gives. Beside it, the same layer cut to its largest singular values, which looks at the
weights alone, as many random pairs of directions, and the network trained on right labels only.

Criterion: Digits at rho 0.9 on training images, and MNIST at rho 0.7 on images never seen: at most
a third as many wrong labels as before are given, and the accuracy on test images falls by at most 2
points.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence.data import NUM_CLASSES, flip_labels, take
from evidence.result import Result
from evidence.selective_dampening import digits
from evidence.training import EVALUATION_BATCH, accuracy, compile_classifier, start
from keras_reweight import Patch
from keras_reweight.editing import curvature_edit, kfac_factors

SEEDS = 3
NOISE, BATCH, EPOCHS, NUM_MNIST = 0.1, 64, 60, 6_000
MEMORIZED, TRUE, TEST = "wrong labels given %", "right labels for them %", "test accuracy %"
KEPT = "pairs kept %"
DIGITS, MNIST, SEEN, UNSEEN = "digits", "MNIST", "training images", "images never seen"
SHARES = {DIGITS: (0.99, 0.9, 0.8), MNIST: (0.9, 0.7, 0.6)}
RANKS = (32, 16, 8)
#: Where the criterion looks, and which arm has the random pairs beside it.
DECIDING = {DIGITS: (SEEN, 0.9), MNIST: (UNSEEN, 0.7)}


def run(data, seeds, quick) -> Result:
    result = Result()
    epochs = 20 if quick else EPOCHS
    for seed in seeds:
        split = digits(seed)
        _one_seed(result, DIGITS, split, (split.x_train, split.y_train), split.x_test, epochs, seed)
    for seed in seeds:
        size = 2_000 if quick else NUM_MNIST
        train, (unseen, _) = take(data.mnist, seed, size, size)
        _one_seed(result, MNIST, data.mnist, train, unseen, epochs, seed)
    for name, (inputs, share) in DECIDING.items():
        arm, before = _arm(name, share, inputs), f"{name}, before"
        left = result.center(arm, MEMORIZED) / result.center(before, MEMORIZED)
        result.at_most(f"{arm}: wrong labels given, after / before", left, 1.0 / 3.0)
        lost = result.center(before, TEST) - result.center(arm, TEST)
        result.at_most(f"{arm}: test accuracy lost, in points", lost, 2.0)
    return result


def _arm(name, share, inputs):
    return f"{name}, rho={share}, {inputs}"


def _network(shape):
    hidden = [layers.Dense(256, "relu") for _ in range(2)]
    return keras.Sequential(
        [keras.Input(shape), layers.Flatten(), *hidden, layers.Dense(NUM_CLASSES)]
    )


def _one_seed(result, name, split, train, unseen, epochs, seed):
    x, y = train
    labels, wrong = flip_labels(y, NOISE, seed)

    def trained(labels):
        start(seed)
        model = compile_classifier(_network(x.shape[1:]))
        model.fit(x, labels, batch_size=BATCH, epochs=epochs, verbose=0)
        return model

    def measure(arm, model):
        logits = model.predict(x[wrong], batch_size=EVALUATION_BATCH, verbose=0)
        given = logits.argmax(axis=1)
        result.append(arm, MEMORIZED, 100.0 * np.mean(given == labels[wrong]))
        result.append(arm, TRUE, 100.0 * np.mean(given == y[wrong]))
        result.append(arm, TEST, accuracy(model, split.x_test, split.y_test))

    model = trained(labels)
    measure(f"{name}, before", model)
    layer = model.layers[2]
    kernel = np.asarray(layer.get_weights()[0], "float64")
    others = {}
    for inputs, images in ((SEEN, x), (UNSEEN, unseen)):
        factors = kfac_factors(model, images, layers=layer, batch_size=497, seed=seed)
        (index,) = factors.indices
        _, u_a, _, u_g = factors.spectrum(index)
        for share in SHARES[name]:
            arm = _arm(name, share, inputs)
            patch = curvature_edit(model, factors, keep=share)
            kept = np.abs(u_a.T @ (kernel + patch.delta(index)) @ u_g) > 1e-9
            result.append(arm, KEPT, 100.0 * kept.mean())
            with patch.patched(model):
                measure(arm, model)
            if DECIDING[name] == (inputs, share):
                chosen = np.random.default_rng(seed).permutation(kept.ravel()).reshape(kept.shape)
                others["as many random pairs"] = u_a @ (u_a.T @ kernel @ u_g * chosen) @ u_g.T
    left, values, right = np.linalg.svd(kernel)
    for rank in RANKS:
        cut = (left[:, :rank] * values[:rank]) @ right[:rank]
        others[f"largest {rank} singular values"] = cut
    for other, matrix in others.items():
        patch = Patch.from_deltas(model, [(layer.kernel, matrix - kernel)], name="other")
        with patch.patched(model):
            measure(f"{name}, {other}", model)
    measure(f"{name}, trained on right labels only", trained(y))
