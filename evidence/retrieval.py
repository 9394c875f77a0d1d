"""Multi-Similarity learns better embeddings than Circle, batch by batch.

Claim: Weighting the pairs of a batch by their similarity relative to the other pairs
(Multi-Similarity) gives embeddings in which the nearest neighbour more often has the same label
than those of Keras' Circle loss, and of a contrastive or triplet loss.

Paper: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning",
CVPR 2019, arXiv 1904.06627.

Setting: MNIST, 2000 training images as the gallery, 2000 test images as queries. 784-64-3 network
with unit-norm outputs, Adam 0.001, batches of 8 classes with 10 images each, 25 epochs of 25
batches. Recall@1: share of queries whose nearest gallery image has their label.

Criterion: Recall@1 of Multi-Similarity is at least five points above that of Circle.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import start
from keras_reweight.data import ClassBalancedBatches
from keras_reweight.losses import ContrastiveLoss, MultiSimilarityLoss, NPairLoss, TripletLoss

SEEDS = 5
RECALL = "recall@1 %"
BEST, CIRCLE = "Multi-Similarity", "Circle (Keras)"
ARMS = {
    CIRCLE: keras.losses.Circle,
    "contrastive": ContrastiveLoss,
    "triplet, hardest": TripletLoss,
    "triplet, semi-hard": lambda: TripletLoss(triplets="semi_hard"),
    "N-pair": NPairLoss,
    "Multi-Similarity without mining": lambda: MultiSimilarityLoss(mining=False),
    BEST: MultiSimilarityLoss,
}


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        ((x, y),) = take(data.mnist, seed, 2000)
        x_test, y_test = data.mnist.x_test[:2000], data.mnist.y_test[:2000]
        for arm, make in ARMS.items():
            start(seed)
            model = _network()
            model.compile(keras.optimizers.Adam(1e-3), make())
            batches = ClassBalancedBatches(
                x, y, classes_per_batch=8, samples_per_class=10, seed=seed
            )
            model.fit(batches, epochs=3 if quick else 25, verbose=0)
            gallery = model.predict(x, batch_size=1000, verbose=0)
            queries = model.predict(x_test, batch_size=1000, verbose=0)
            found = y[(queries @ gallery.T).argmax(axis=1)]
            result.append(arm, RECALL, 100 * float(np.mean(found == y_test)))
    gain = result.center(BEST, RECALL) - result.center(CIRCLE, RECALL)
    result.at_least(f"{BEST} minus {CIRCLE}, in points", gain, 5.0)
    return result


def _network():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(3),
            keras.layers.UnitNormalization(),
        ]
    )
