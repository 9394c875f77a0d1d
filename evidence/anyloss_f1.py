"""A metric of the confusion matrix can be trained directly.

Claim: With a steep sigmoid in place of the threshold (AnyLoss), a network trained on F1 or on
balanced accuracy is better in that metric at the usual threshold than one trained on cross-entropy,
where positives are rare.

Paper: Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
KDD 2024, arXiv 2405.14745.

Setting: UCI Adult, 8000 negatives and 400 positives for training (5 %), the same share in the test
part. 108-64-32-1 network, Adam 0.001, batches of 256, 20 epochs, threshold 0.5. Amplifiers 73 (the
paper's) and 10.

Criterion: AnyLoss of balanced accuracy (amplifier 10) is at least 0.03 better in balanced accuracy
than cross-entropy, AnyLoss of F1 (amplifier 10) at least 0.02 better in F1.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence._adult import network, rare_positives, scores
from evidence.result import Result
from evidence.training import start
from keras_reweight.losses import AnyLoss

SEEDS = 5
F1, BALANCED = "F1", "balanced accuracy"
PLAIN = "cross-entropy"
ARMS = {
    PLAIN: lambda: "binary_crossentropy",
    "AnyLoss F1, 73": lambda: AnyLoss("f1", amplifier=73.0),
    "AnyLoss F1, 10": lambda: AnyLoss("f1", amplifier=10.0),
    "AnyLoss balanced accuracy, 73": lambda: AnyLoss("balanced_accuracy", amplifier=73.0),
    "AnyLoss balanced accuracy, 10": lambda: AnyLoss("balanced_accuracy", amplifier=10.0),
}


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        part = rare_positives(data.adult, seed, positives=400, negatives=8_000)
        for arm, make in ARMS.items():
            start(seed)
            model = network(part.x.shape[1])
            model.compile(keras.optimizers.Adam(1e-3), make())
            epochs = 3 if quick else 20
            model.fit(part.x, part.y, batch_size=256, epochs=epochs, verbose=0)
            f1, balanced = _metrics(scores(model, part.x_test) >= 0.5, part.y_test == 1)
            result.append(arm, F1, f1)
            result.append(arm, BALANCED, balanced)
    for metric, arm, limit in (
        (BALANCED, "AnyLoss balanced accuracy, 10", 0.03),
        (F1, "AnyLoss F1, 10", 0.02),
    ):
        gain = result.center(arm, metric) - result.center(PLAIN, metric)
        result.at_least(f"{arm} minus {PLAIN} in {metric}", gain, limit)
    return result


def _metrics(predicted, positive):
    hits, misses = np.sum(predicted & positive), np.sum(~predicted & positive)
    false, right = np.sum(predicted & ~positive), np.sum(~predicted & ~positive)
    f1 = 2 * hits / max(2 * hits + misses + false, 1)
    return f1, 0.5 * (hits / (hits + misses) + right / (right + false))
