"""Class frequencies in the loss help rare classes.

Claim: Where classes have very different numbers of samples, class-balanced weights, LDAM with
deferred reweighting, balanced softmax, logit adjustment (in the loss or after training) and Seesaw
give a better mean recall over the classes than plain cross-entropy, mostly by the rare ones.

Paper: Zhang et al., "Deep Long-Tailed Learning: A Survey", TPAMI 2023, arXiv 2110.04596, with the
losses' own papers; the survey's order is that of ImageNet-LT.

Setting: MNIST with 600 samples of the most and 6 of the least frequent class, exponentially between
(imbalance 100); which class is how frequent is drawn anew for every seed. 784-128-10 network, Adam
0.001, batches of 64, 30 epochs. LDAM has a cosine head. Deferred weights begin at 0.8 of the
epochs. Measured on all 10000 test images: recall averaged over the ten classes, and over the three
rarest. The post-hoc arm adjusts the predictions of the cross-entropy arm.

Criterion: Balanced softmax, logit adjustment and its post-hoc form gain at least four points of
mean recall on cross-entropy; class-balanced weights, deferred weights and Seesaw at least two;
LDAM loses at most half a point.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import NUM_CLASSES
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, mlp, start
from keras_reweight.callbacks import DeferredReweighting, LossState, Reweight
from keras_reweight.layers import LogitAdjustment, NormedDense
from keras_reweight.losses import (
    BalancedSoftmaxLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    SeesawLoss,
    SoftmaxEqualizationLoss,
)
from keras_reweight.weightings import ClassBalanced, Focal, InverseFrequency

SEEDS = 5
LARGEST, IMBALANCE, BATCH, EPOCHS = 600, 100, 64, 30
ALL, RARE = "mean recall %", "recall of the 3 rarest %"
PLAIN = "cross-entropy"


def run(data, seeds, quick) -> Result:
    result = Result()
    epochs = 4 if quick else EPOCHS
    for seed in seeds:
        x, y, counts = long_tail(data.mnist, seed)
        for arm, make in arms(counts).items():
            start(seed)
            model, loss, callbacks = make()
            model.compile(keras.optimizers.Adam(1e-3), loss)
            model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)
            logits = model.predict(data.mnist.x_test, batch_size=EVALUATION_BATCH, verbose=0)
            add_recalls(result, arm, logits, data.mnist.y_test, counts)
            if arm == PLAIN:
                adjusted = keras.ops.convert_to_numpy(LogitAdjustment(counts)(logits))
                add_recalls(
                    result, "post-hoc logit adjustment", adjusted, data.mnist.y_test, counts
                )
    _judge(result)
    return result


def arms(counts):
    """Model, loss and callbacks of each arm."""

    def cross_entropy():
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def cosine():
        body = mlp().layers[:-1]
        return keras.Sequential([keras.Input((28, 28, 1)), *body, NormedDense(NUM_CLASSES)])

    def weighted(weighting):
        return lambda: (mlp(), cross_entropy(), [Reweight(weighting)])

    def deferred():
        return DeferredReweighting(ClassBalanced(counts, beta=0.9999), start=0.8)

    return {
        PLAIN: lambda: (mlp(), cross_entropy(), []),
        "inverse frequency": weighted(InverseFrequency(counts)),
        "class-balanced 0.999": weighted(ClassBalanced(counts, beta=0.999)),
        "focal 1": weighted(Focal(1.0, from_logits=True)),
        "cross-entropy, deferred weights": lambda: (mlp(), cross_entropy(), [deferred()]),
        "LDAM": lambda: (cosine(), LDAMLoss(counts), []),
        "LDAM, deferred weights": lambda: (cosine(), LDAMLoss(counts), [deferred()]),
        "softmax equalization": lambda: (
            mlp(),
            SoftmaxEqualizationLoss(counts, threshold=0.03),
            [LossState()],
        ),
        "Seesaw": lambda: (mlp(), SeesawLoss(num_classes=NUM_CLASSES), [LossState()]),
        "balanced softmax": lambda: (mlp(), BalancedSoftmaxLoss(counts), []),
        "logit adjustment": lambda: (mlp(), LogitAdjustedLoss(counts), []),
    }


def long_tail(split, seed):
    """Images, labels and counts of a long-tailed part of the training images."""
    generator = np.random.default_rng([seed, 9])
    shares = IMBALANCE ** (-np.arange(NUM_CLASSES) / (NUM_CLASSES - 1))
    counts = np.round(LARGEST * shares).astype(int)[generator.permutation(NUM_CLASSES)]
    rows = [
        generator.permutation(np.flatnonzero(split.y_train == label))[:count]
        for label, count in enumerate(counts)
    ]
    rows = generator.permutation(np.concatenate(rows))
    return split.x_train[rows], split.y_train[rows], counts.tolist()


def add_recalls(result, arm, logits, labels, counts):
    recalls = np.array([(logits[labels == c].argmax(-1) == c).mean() for c in range(NUM_CLASSES)])
    result.append(arm, ALL, 100 * recalls.mean())
    result.append(arm, RARE, 100 * recalls[np.argsort(counts)[:3]].mean())


def _judge(result):
    limits = {
        "balanced softmax": 4.0,
        "logit adjustment": 4.0,
        "post-hoc logit adjustment": 4.0,
        "class-balanced 0.999": 2.0,
        "cross-entropy, deferred weights": 2.0,
        "LDAM, deferred weights": 2.0,
        "Seesaw": 2.0,
        "LDAM": -0.5,
    }
    for arm, limit in limits.items():
        gain = result.center(arm, ALL) - result.center(PLAIN, ALL)
        result.at_least(f"{arm} minus {PLAIN}, in points", gain, limit)
