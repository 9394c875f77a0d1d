"""Losses that bound what a sample can cost stand wrong labels; worst-case weights do not.

Claim: With symmetric label noise, the generalized cross-entropy (comp-sum losses of order 1.5 and
1.7) and weights from EL2N scores give a better model at the end of training than cross-entropy.
KL-DRO weights, which look at the largest losses, make it worse.

Paper: Mao, Mohri and Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and Applications",
ICML 2023, arXiv 2304.07288; Zhang and Sabuncu, arXiv 1805.07836 (generalized cross-entropy); Paul,
Ganguli and Dziugaite, arXiv 2107.07075 (EL2N).

Setting: MNIST, 6000 images, 20 % and 40 % of the labels wrong (symmetric). 784-256-10 network, Adam
0.001, batches of 64, 20 epochs, no early stopping and no validation data: the accuracy of the last
epoch on 10000 clean test images. EL2N drops the share of samples that is wrong after 3 epochs.

Criterion: At both rates the comp-sum loss of order 1.7 and the EL2N weights are at least two points
better than cross-entropy, and as a negative control KL-DRO is not better than cross-entropy.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import flip_labels, take
from evidence.result import Result
from evidence.training import accuracy, mlp, start
from keras_reweight.callbacks import EL2NReweight, Reweight
from keras_reweight.data import enable_aux_targets, pack_targets
from keras_reweight.losses import CompSumLoss
from keras_reweight.weightings import KLDRO

SEEDS = 5
BATCH, EPOCHS, NUM_TRAIN, WARMUP = 64, 20, 6_000, 3
ACCURACY = "test accuracy %"
PLAIN, ORDER, DRO, EL2N = "cross-entropy", "comp-sum 1.7", "KL-DRO", "EL2N drop"
KERAS_GCE = "Keras GCE 0.7"


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (2_000, 5) if quick else (NUM_TRAIN, EPOCHS)
    for rate in (0.2, 0.4):
        for seed in seeds:
            ((x, y),) = take(data.mnist, seed, num_train)
            y, _ = flip_labels(y, rate, seed)
            for arm in (PLAIN, "comp-sum 1.5", ORDER, "comp-sum 2 (MAE)", KERAS_GCE, DRO, EL2N):
                model = _train(arm, x, y, rate, epochs, seed)
                right = accuracy(model, data.mnist.x_test, data.mnist.y_test)
                result.append(f"{rate:.0%}, {arm}", ACCURACY, right)
        base = result.center(f"{rate:.0%}, {PLAIN}", ACCURACY)
        for arm in (ORDER, EL2N):
            gain = result.center(f"{rate:.0%}, {arm}", ACCURACY) - base
            result.at_least(f"{arm} minus {PLAIN} at {rate:.0%}, in points", gain, 2.0)
        loss = result.center(f"{rate:.0%}, {DRO}", ACCURACY) - base
        result.at_most(f"{DRO} minus {PLAIN} at {rate:.0%}, in points", loss, 0.0)
    return result


def _train(arm, x, y, rate, epochs, seed):
    start(seed)
    model = mlp((256,))
    targets, callbacks = y, []
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if arm.startswith("comp-sum"):
        loss = CompSumLoss(float(arm.split()[1]), from_logits=True)
    if arm == KERAS_GCE:
        model.add(keras.layers.Softmax())
        loss = keras.losses.CategoricalGeneralizedCrossEntropy(q=0.7)
    if arm == DRO:
        callbacks = [Reweight(KLDRO(1.0))]
    model.compile(keras.optimizers.Adam(1e-3), loss)
    if arm == EL2N:
        enable_aux_targets(model)
        targets = pack_targets(y, sample_id=np.arange(len(x)))
        callbacks = [
            EL2NReweight(len(x), drop_hardest=rate, warmup_epochs=WARMUP, from_logits=True)
        ]
    model.fit(x, targets, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)
    return model
