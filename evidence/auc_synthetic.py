"""The AUC margin loss ranks rare positives better where labels are noisy.

Claim: Minimizing the AUC margin loss on batches with a fixed share of positives gives a larger area
under the ROC curve than binary cross-entropy, on the data as they come or on the same batches.

Paper: Yuan, Yan, Sonka and Yang, "Large-scale Robust Deep AUC Maximization", ICCV 2021,
arXiv 2012.03173.

Setting: scikit-learn's `make_classification`: 20 features, 6 of them informative, 1.5 % positives,
class separation 0.7, 0.5 % of the labels at random; 8000 samples for training, 4000 for the test.
20-64-1 network, Adam 0.001, batches of 128, 20 epochs of 62 steps for every arm, weights of the
last step; balanced batches have 50 % positives.

Criterion: The AUC margin loss on balanced batches has an AUC at least 0.01 above cross-entropy on
the data as they come.
"""

from __future__ import annotations

import keras
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from evidence.el2n_noise import roc_auc
from evidence.result import Result
from evidence.training import start
from keras_reweight.data import BalancedBatches
from keras_reweight.losses import AUCMarginLoss

SEEDS = 5
BATCH = 128
AUC = "ROC-AUC"
PLAIN, BALANCED, MARGIN = (
    "cross-entropy",
    "cross-entropy, balanced batches",
    "AUC margin, balanced batches",
)


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        x, y = make_classification(
            12_000,
            20,
            n_informative=6,
            weights=[0.985],
            class_sep=0.7,
            flip_y=0.005,
            random_state=seed,
        )
        x, x_test, y, y_test = train_test_split(
            x.astype("float32"), y, test_size=4_000, stratify=y, random_state=seed
        )
        for arm in (PLAIN, BALANCED, MARGIN):
            start(seed)
            model = keras.Sequential(
                [
                    keras.Input((20,)),
                    keras.layers.Dense(64, "relu"),
                    keras.layers.Dense(1, "sigmoid"),
                ]
            )
            loss = AUCMarginLoss() if arm == MARGIN else "binary_crossentropy"
            model.compile(keras.optimizers.Adam(1e-3), loss)
            epochs = 3 if quick else 20
            if arm == PLAIN:
                model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
            else:
                batches = BalancedBatches(x, y, batch_size=BATCH, sampling_rate=0.5, seed=seed)
                steps = len(x) // BATCH
                model.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=0)
            scores = model.predict(x_test, batch_size=1000, verbose=0)[:, 0]
            result.append(arm, AUC, roc_auc(scores, y_test == 1))
    gain = result.center(MARGIN, AUC) - result.center(PLAIN, AUC)
    result.at_least(f"{MARGIN} minus {PLAIN}", gain, 0.01)
    return result
