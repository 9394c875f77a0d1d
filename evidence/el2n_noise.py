"""EL2N finds wrong labels, and training without them is better.

Claim: The EL2N score of a sample, averaged over the first epochs, tells mislabeled samples from
others, and dropping the share of samples with the highest scores that equals the noise rate gives
a better model than dropping as many at random.

Paper: Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021, arXiv 2107.07075.

Setting: 20 % of the labels are wrong (symmetric noise). MNIST: 6000 images, 784-128-10 network.
CIFAR: 5000 images, three strided convolutions and a linear layer. Adam 0.001, batches of 64, 12
epochs. Arms: all data; a random 20 % with weight zero; `EL2NReweight(drop_hardest=0.2,
warmup_epochs=3)`. Every arm keeps the epoch of the best accuracy on 1000 validation images with
noise of the same kind. The detector is judged by the ROC-AUC of the scores after 5 epochs of plain
training.

Criterion: ROC-AUC of at least 0.95 on MNIST, and on both data sets a test accuracy at least one
point above dropping at random.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import flip_labels, take
from evidence.result import Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_reweight.callbacks import EL2NReweight
from keras_reweight.data import enable_aux_targets, pack_targets

SEEDS = 5
NOISE, BATCH, SCORING_EPOCHS, WARMUP = 0.2, 64, 5, 3
AUC, ACCURACY = "ROC-AUC", "test accuracy %"
PLAIN, RANDOM, EL2N = "all data", "random drop", "EL2N drop"


def run(data, seeds, quick) -> Result:
    result = Result()
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, mlp, 6_000, 12),
        ("CIFAR", data.cifar, cnn, 5_000, 12),
    ):
        num_train, epochs = (2_500, 6) if quick else (num_train, epochs)
        for seed in seeds:
            (x, y), (x_val, y_val) = take(split, seed, num_train, 1000)
            y, wrong = flip_labels(y, NOISE, seed)
            validation = (x_val, flip_labels(y_val, NOISE, seed + 1)[0])
            scores = _scores(build, x, y, seed)
            result.append(f"{name}, EL2N score", AUC, roc_auc(scores, wrong))
            for arm in (PLAIN, RANDOM, EL2N):
                model = _train(build, arm, x, y, validation, epochs, seed)
                right = accuracy(model, split.x_test, split.y_test)
                result.append(f"{name}, {arm}", ACCURACY, right)
    result.at_least("ROC-AUC on MNIST", result.center("MNIST, EL2N score", AUC), 0.95)
    for name in ("MNIST", "CIFAR"):
        gain = result.center(f"{name}, {EL2N}", ACCURACY) - result.center(
            f"{name}, {RANDOM}", ACCURACY
        )
        result.at_least(f"EL2N drop minus random drop on {name}, in points", gain, 1.0)
    return result


def _scores(build, x, y, seed):
    start(seed)
    model = compile_classifier(build())
    enable_aux_targets(model)
    # With a warm-up longer than the run the callback scores and never weights.
    scorer = EL2NReweight(len(x), warmup_epochs=SCORING_EPOCHS + 1, from_logits=True)
    targets = pack_targets(y, sample_id=np.arange(len(x)))
    model.fit(x, targets, batch_size=BATCH, epochs=SCORING_EPOCHS, callbacks=[scorer], verbose=0)
    return scorer.table["el2n"]


def _train(build, arm, x, y, validation, epochs, seed):
    start(seed)
    model = compile_classifier(build())
    targets, weights, callbacks = y, None, []
    if arm == RANDOM:
        dropped = np.random.default_rng([seed, 5]).permutation(len(x))[: round(NOISE * len(x))]
        weights = np.full(len(x), 1.0 / (1.0 - NOISE), "float32")
        weights[dropped] = 0.0
    if arm == EL2N:
        enable_aux_targets(model)
        targets = pack_targets(y, sample_id=np.arange(len(x)))
        callbacks.append(
            EL2NReweight(len(x), drop_hardest=NOISE, warmup_epochs=WARMUP, from_logits=True)
        )
    callbacks.append(
        keras.callbacks.EarlyStopping(
            "val_accuracy", patience=epochs, restore_best_weights=True, mode="max"
        )
    )
    model.fit(
        x,
        targets,
        sample_weight=weights,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=validation,
        validation_batch_size=1000,
        callbacks=callbacks,
        verbose=0,
    )
    return model


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative; ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2.0
    ranks = mean_ranks[inverse]
    num_positive, num_negative = positive.sum(), (~positive).sum()
    smallest = num_positive * (num_positive + 1) / 2.0
    return float((ranks[positive].sum() - smallest) / (num_positive * num_negative))
