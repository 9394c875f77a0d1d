"""The AUC margin loss ranks rare positives better than cross-entropy.

Claim: Minimizing the AUC margin loss on batches with a fixed share of positives gives a larger area
under the ROC curve on imbalanced data than binary cross-entropy, on the data as they come or on the
same batches.

Paper: Yuan, Yan, Sonka and Yang, "Large-scale Robust Deep AUC Maximization", ICCV 2021,
arXiv 2012.03173.

Setting: UCI Adult, 10000 negatives and 200 positives for training (2 %), the same share in the test
part. 108-64-32-1 network, Adam 0.001, batches of 128, 20 epochs of 80 steps for every arm; balanced
batches have 50 % positives. PESG: the min-max form with its own optimizer, learning rate 0.1,
divided by ten after half and three quarters of the epochs. Every arm keeps the epoch of the best
AUC on 5000 negatives and 100 positives that are in neither part.

Criterion: The closed form on balanced batches has an AUC at least 0.01 above cross-entropy on the
data as they come.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence._adult import network, rare_positives, scores
from evidence.el2n_noise import roc_auc
from evidence.result import Result
from evidence.training import start
from keras_reweight.callbacks import LossState, PESGSchedule
from keras_reweight.data import BalancedBatches
from keras_reweight.losses import AUCMarginLoss, AUCMinMaxLoss
from keras_reweight.optimizers import PESG

SEEDS = 5
BATCH, STEPS = 128, 1600
AUC = "ROC-AUC"
PLAIN, BALANCED, MARGIN, MINMAX = (
    "cross-entropy",
    "cross-entropy, balanced batches",
    "AUC margin, balanced batches",
    "AUC min-max with PESG, balanced batches",
)


def run(data, seeds, quick) -> Result:
    result = Result()
    epochs = 4 if quick else 20
    steps = STEPS // 20
    for seed in seeds:
        part = rare_positives(
            data.adult, seed, positives=200, negatives=10_000, validation=(100, 5_000)
        )
        for arm in (PLAIN, BALANCED, MARGIN, MINMAX):
            start(seed)
            model = network(part.x.shape[1])
            optimizer, loss, callbacks = keras.optimizers.Adam(1e-3), "binary_crossentropy", []
            if arm == MARGIN:
                loss = AUCMarginLoss()
            if arm == MINMAX:
                optimizer, loss = PESG(0.1), AUCMinMaxLoss()
                callbacks = [LossState(), PESGSchedule([epochs // 2, 3 * epochs // 4])]
            model.compile(optimizer, loss, metrics=[keras.metrics.AUC(2000, name="auc")])
            callbacks.append(
                keras.callbacks.EarlyStopping(
                    "val_auc", patience=epochs, mode="max", restore_best_weights=True
                )
            )
            batches = _in_order(part, steps, epochs, seed)
            if arm != PLAIN:
                batches = BalancedBatches(
                    part.x, part.y, batch_size=BATCH, sampling_rate=0.5, seed=seed
                )
            model.fit(
                batches,
                epochs=epochs,
                steps_per_epoch=steps,
                validation_data=(part.x_validation, part.y_validation),
                validation_batch_size=2048,
                callbacks=callbacks,
                verbose=0,
            )
            result.append(arm, AUC, roc_auc(scores(model, part.x_test), part.y_test == 1))
    gain = result.center(MARGIN, AUC) - result.center(PLAIN, AUC)
    result.at_least(f"{MARGIN} minus {PLAIN}", gain, 0.01)
    return result


def _in_order(part, steps, epochs, seed):
    """Batches as the data come, reshuffled on every pass."""
    generator = np.random.default_rng([seed, 19])
    passes = steps * epochs * BATCH // len(part.x) + 1
    rows = np.concatenate([generator.permutation(len(part.x)) for _ in range(passes)])
    for begin in range(0, steps * epochs * BATCH, BATCH):
        chosen = rows[begin : begin + BATCH]
        yield part.x[chosen], part.y[chosen]
