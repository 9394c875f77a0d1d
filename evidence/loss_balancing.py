"""Losses of other scales and directions: what balancers do for the small one.

Claim: Where one of two losses is a hundred times larger, methods that look at gradients or at the
noise of a task bring the small loss far down at little cost for the large one.

Paper: Yu et al., PCGrad, arXiv 2001.06782; Sener and Koltun, MGDA, arXiv 1810.04650; Liu et al.,
CAGrad, arXiv 2110.14048; Quinton and Rey, UPGrad, arXiv 2406.16232; Chen et al., GradNorm, arXiv
1711.02257; Kendall et al., arXiv 1705.07115; Liu et al. (DWA), arXiv 1803.10704; Phan et al.
(RECAP), arXiv 2510.21978.

Setting: MNIST, 4000 images, one shared layer of 64 units, two heads: the class of the left half of
a pair of images laid side by side (cross-entropy), and the brightness of each quarter, as
regression multiplied so that its squared error begins 100 times larger. Adam 0.001, batches of 64,
12 epochs. Accuracy of the class and share of the variance of the brightness that is not explained,
on 2000 test pairs. `fixed 0.01` is the weight that equals the scales, found by hand.

Criterion: PCGrad, MGDA and uncertainty weights each make at most 0.7 times as many errors in the
class as equal weights.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import start
from keras_reweight import tasks

SEEDS = 3
BATCH, EPOCHS = 64, 12
ERRORS, REST = "errors in the class %", "unexplained brightness %"
EQUAL, BY_HAND = "equal weights", "fixed 0.01"
BALANCERS = {
    EQUAL: lambda: tasks.FixedWeights(),
    BY_HAND: lambda: tasks.FixedWeights([1.0, 0.01]),
    "uncertainty": lambda: tasks.UncertaintyWeights(),
    "DWA": lambda: tasks.DynamicWeightAverage(),
    "RECAP": lambda: tasks.RECAP(),
    "GradNorm": lambda: tasks.GradNorm(),
    "PCGrad": lambda: tasks.PCGrad(),
    "MGDA": lambda: tasks.MGDA(),
    "CAGrad": lambda: tasks.CAGrad(),
    "UPGrad": lambda: tasks.UPGrad(),
    "gradient influence": lambda: tasks.GradientInfluence(1e-3, minimum=0.1),
}


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (1_000, 2) if quick else (4_000, EPOCHS)
    for seed in seeds:
        train = _pairs(*take(data.mnist, seed, 2 * num_train)[0])
        test = _pairs(data.mnist.x_test[:4000], data.mnist.y_test[:4000])
        scale = np.sqrt(100.0 * np.log(10.0) / np.mean(train[1]["brightness"] ** 2))
        for _, targets in (train, test):
            targets["brightness"] = targets["brightness"] * scale
        for arm, balancer in BALANCERS.items():
            model = _train(balancer(), *train, epochs, seed)
            for metric, value in _measure(model, *test).items():
                result.append(arm, metric, value)
    for arm in ("PCGrad", "MGDA", "uncertainty"):
        ratio = result.center(arm, ERRORS) / result.center(EQUAL, ERRORS)
        result.at_most(f"errors of {arm} / those of {EQUAL}", ratio, 0.7)
    return result


def _pairs(x, y):
    """Two images side by side; the class of the left one, the brightness of four quarters."""
    x = x[..., 0].reshape(len(x) // 2, 2, 28, 28)
    joined = np.concatenate([x[:, 0], x[:, 1]], axis=2)
    quarters = joined.reshape(len(joined), 2, 14, 2, 28).mean(axis=(2, 4)).reshape(-1, 4)
    inputs = joined.reshape(len(joined), -1).astype("float32")
    return inputs, {"label": y[::2], "brightness": quarters.astype("float32")}


def _train(balancer, x, targets, epochs, seed):
    start(seed)
    inputs = keras.Input((x.shape[1],))
    features = keras.layers.Dense(64, "relu", name="shared")(inputs)
    heads = {
        "label": keras.layers.Dense(10, name="label")(features),
        "brightness": keras.layers.Dense(4, name="brightness")(features),
    }
    model = keras.Model(inputs, heads)
    trainer = tasks.LossBalancing(model, balancer, shared=["shared"] if balancer.needs else None)
    cross = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.Adam(1e-3), {"label": cross, "brightness": "mse"})
    trainer.fit(x, targets, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def _measure(model, x, targets):
    found = model.predict(x, batch_size=1000, verbose=0)
    wrong = np.mean(found["label"].argmax(axis=1) != targets["label"])
    wanted = targets["brightness"]
    rest = np.mean((found["brightness"] - wanted) ** 2) / np.var(wanted, axis=0).mean()
    return {ERRORS: 100.0 * float(wrong), REST: 100.0 * float(rest)}
