"""Selective dampening forgets a class in two passes of gradients.

Claim: Shrinking the weights that one class needs many times as much as all of the data makes a
model forget the class without any training, at a small cost for the other classes; training images
of the class can no longer be told from images never seen.

Paper: Foster, Schoepf and Brintrup, "Fast Machine Unlearning Without Retraining Through Selective
Synaptic Dampening", AAAI 2024, arXiv 2308.07707; Foster, Schoepf and Brintrup, "Loss-Free Machine
Unlearning", arXiv 2402.19308 (label-free).

Setting: 1300 digits of 8 by 8 pixels (scikit-learn), 30 epochs, and 6000 images of MNIST, 10
epochs; one hidden layer of 128 units, Adam 0.001, batches of 64. The class to forget is 3. Lambda
is 1; importance from squared gradients of batches of 64 (as the published code), of single samples
and label-free. Alpha is 10 for batches of digits, all others were chosen with another seed. Beside
it: the same network trained again without the class, and two more epochs on the other classes.
Membership: a logistic regression on entropies, fitted to other training images and to test images,
is asked about the training images of the class; the network trained again shows what to aim for.

Criterion: Digits with batches and alpha 10, and MNIST label-free: at most 10 % of the test images
of the class are still recognized, the accuracy on the others falls by at most 3 points, and at most
5 points more of the training images of the class are taken for members than by the network trained
again. After each patch comes off, the digest of the weights is the one before.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence.data import NUM_CLASSES, Split, take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, accuracy, compile_classifier, start
from keras_reweight import weight_digest
from keras_reweight.editing import fisher_importance, membership_inference, selective_dampening
from keras_reweight.scores import prediction_scores

SEEDS = 3
CLASS, BATCH, NUM_DIGITS, NUM_MNIST = 3, 64, 1_300, 6_000
FORGET, RETAIN = "accuracy on the class %", "accuracy on the others %"
MEMBERS, CHANGED = "class taken for members %", "weights changed %"
BEFORE, AGAIN, TUNED = "before", "trained again without", "two epochs on the others"
DIGITS, MNIST = "digits", "MNIST"
EPOCHS = {DIGITS: 30, MNIST: 10}
#: Kind of importance and alpha, by data set.
DAMPENED = {
    DIGITS: (("batch", 10.0), ("sample", 3.0), ("label_free", 10.0)),
    MNIST: (("batch", 10.0), ("batch", 7.0), ("sample", 1.5), ("label_free", 5.0)),
}
DECIDING = {DIGITS: ("batch", 10.0), MNIST: ("label_free", 5.0)}


def run(data, seeds, quick) -> Result:
    result = Result()
    restored = []
    for seed in seeds:
        split = digits(seed)
        restored.append(_one_seed(result, DIGITS, split, split.x_train, split.y_train, seed))
    for seed in seeds:
        ((x, y),) = take(data.mnist, seed, 2_000 if quick else NUM_MNIST)
        restored.append(_one_seed(result, MNIST, data.mnist, x, y, seed))
    for name in (DIGITS, MNIST):
        arm = _arm(name, *DECIDING[name])
        result.at_most(f"{arm}: class still recognized, %", result.center(arm, FORGET), 10.0)
        lost = result.center(f"{name}, {BEFORE}", RETAIN) - result.center(arm, RETAIN)
        result.at_most(f"{arm}: accuracy lost on the others, in points", lost, 3.0)
        more = result.center(arm, MEMBERS) - result.center(f"{name}, {AGAIN}", MEMBERS)
        result.at_most(f"{arm}: {MEMBERS}, minus trained again", more, 5.0)
    result.at_least("share of runs whose digest was restored", np.mean(restored), 1.0)
    return result


def _arm(name, kind, alpha):
    return f"{name}, {kind.replace('_', '-')}, alpha={alpha:g}"


def digits(seed: int) -> Split:
    """Images of scikit-learn, split at random."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images / 16.0).astype("float32")[..., None]
    labels = found.target.astype("int32")
    order = np.random.default_rng([seed, 8]).permutation(len(images))
    train, test = order[:NUM_DIGITS], order[NUM_DIGITS:]
    return Split(images[train], labels[train], images[test], labels[test], "scikit-learn")


def _network(shape):
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dense(NUM_CLASSES),
        ]
    )


def _one_seed(result, name, split, x, y, seed):
    kept = y != CLASS
    target = (x[~kept], y[~kept])

    def trained(x, y):
        start(seed)
        model = compile_classifier(_network(x.shape[1:]))
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS[name], verbose=0)
        return model

    def entropy(model, *part):
        scores = prediction_scores(
            model, part, ("entropy",), from_logits=True, batch_size=EVALUATION_BATCH
        )
        return scores["entropy"]

    def measure(arm, model):
        here = split.y_test == CLASS
        for metric, rows in ((FORGET, here), (RETAIN, ~here)):
            right = accuracy(model, split.x_test[rows], split.y_test[rows])
            result.append(arm, metric, right)
        attack = membership_inference(
            entropy(model, *target),
            members=entropy(model, x[kept], y[kept]),
            non_members=entropy(model, split.x_test, split.y_test),
        )
        result.append(arm, MEMBERS, 100.0 * attack["members"])

    model = trained(x, y)
    measure(f"{name}, {BEFORE}", model)
    before = weight_digest(model)
    for kind, alpha in DAMPENED[name]:
        forget, full = (
            fisher_importance(model, part, kind=kind, batch_size=BATCH) for part in (target, (x, y))
        )
        patch = selective_dampening(model, forget, full=full, alpha=alpha)
        arm = _arm(name, kind, alpha)
        changed = sum(np.count_nonzero(patch.delta(index)) for index in patch.indices)
        result.append(arm, CHANGED, 100.0 * changed / model.count_params())
        with patch.patched(model):
            measure(arm, model)
    after = weight_digest(model)
    measure(f"{name}, {AGAIN}", trained(x[kept], y[kept]))
    model.fit(x[kept], y[kept], batch_size=BATCH, epochs=2, verbose=0)
    measure(f"{name}, {TUNED}", model)
    return after == before
