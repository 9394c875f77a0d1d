"""Binary weights with probabilities forget less.

Claim: Layers with a distribution over binary weights that are pulled back to what they were after
the task before keep more of earlier tasks, and the signs of their weights alone predict as well as
the distribution does.

Paper: Li et al., "Statistical mechanics of continual learning: Variational principle and mean-field
potential", Physical Review E 108, 014309, 2023, arXiv 2212.02846.

Setting: Three tasks one after another: MNIST at 14 x 14 pixels, the pixels of each task in another
order, 4096 images; 196-128-128-10 network of `BinaryVariationalDense`, ReLU, no biases; Adam 0.01,
batches of 64, 6 epochs for each task, `consolidate` after each. `kl_weight` 0 is the same training
without the pull. Accuracy on 2000 test images of every task after the last one, mean-field, and of
the binarized model; `dense`: plain layers with Adam 0.001.

Criterion: With `kl_weight` 1e-4 the mean accuracy of the three tasks is at least 5 points better
than without, and the binarized weights lose at most 5 points against the mean-field, after the
first task and after the last.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, start
from keras_compress.continual import BinaryVariationalDense, binarize, consolidate

SEEDS = 3
TASKS, HIDDEN, BATCH, NUM_TEST = 3, (128, 128), 64, 2_000
KL_WEIGHTS = (0.0, 1e-4, 1e-3)
MEAN, FIRST, LAST = "mean accuracy of tasks %", "accuracy of task 1 %", "accuracy of task 3 %"
AFTER_FIRST = "task 1, before the others %"


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (1_024, 2) if quick else (4_096, 6)
    for seed in seeds:
        tasks = _tasks(data.mnist, seed, num_train)
        for kl_weight in KL_WEIGHTS:
            _follow(
                result, f"kl_weight {kl_weight:g}", _variational(kl_weight), tasks, seed, epochs
            )
        _follow(result, "dense", _dense, tasks, seed, epochs, learning_rate=1e-3, binary=False)
    score = {(row.arm, row.metric): row.center("mean") for row in result.rows}
    arm = f"kl_weight {1e-4:g}"
    result.at_least(
        "with the pull minus without, in points",
        score[arm, MEAN] - score["kl_weight 0", MEAN],
        5.0,
    )
    for metric in (AFTER_FIRST, MEAN):
        result.at_least(
            f"binarized minus mean-field, {metric.removesuffix(' %')}, in points",
            score[f"{arm}, binarized", metric] - score[arm, metric],
            -5.0,
        )
    return result


def _tasks(split, seed, num_train):
    """For each task the training images, their labels, the test images and theirs."""
    ((x, y),) = take(split, seed, num_train)
    arrays = [_small(x), _small(split.x_test[:NUM_TEST])]
    found = []
    for task in range(TASKS):
        order = np.random.default_rng([seed, task]).permutation(arrays[0].shape[1])
        found.append((arrays[0][:, order], y, arrays[1][:, order], split.y_test[:NUM_TEST]))
    return found


def _small(images):
    pooled = images.reshape(len(images), 14, 2, 14, 2).mean(axis=(2, 4))
    return pooled.reshape(len(images), -1)


def _variational(kl_weight):
    def build(num_inputs):
        layers = [BinaryVariationalDense(units, "relu", kl_weight=kl_weight) for units in HIDDEN]
        last = BinaryVariationalDense(NUM_CLASSES, kl_weight=kl_weight)
        return keras.Sequential([keras.Input((num_inputs,)), *layers, last])

    return build


def _dense(num_inputs):
    layers = [keras.layers.Dense(units, "relu", use_bias=False) for units in HIDDEN]
    last = keras.layers.Dense(NUM_CLASSES, use_bias=False)
    return keras.Sequential([keras.Input((num_inputs,)), *layers, last])


def _follow(result, arm, build, tasks, seed, epochs, *, learning_rate=0.01, binary=True):
    start(seed)
    model = build(tasks[0][0].shape[1])
    for index, (x, y, *_) in enumerate(tasks):
        # The moments of the task before would carry on what it wanted.
        compile_classifier(model, learning_rate)
        model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        if binary:
            consolidate(model)
        if index == 0:
            _measure(result, arm, model, tasks[:1], binary, (AFTER_FIRST,))
    _measure(result, arm, model, tasks, binary, (FIRST, LAST, MEAN))


def _measure(result, arm, model, tasks, binary, metrics):
    models = {arm: model}
    if binary:
        models[f"{arm}, binarized"] = binarize(model)
    for label, one in models.items():
        scores = [accuracy(one, x, y) for _, _, x, y in tasks]
        values = {AFTER_FIRST: scores[0], FIRST: scores[0], LAST: scores[-1], MEAN: np.mean(scores)}
        for metric in metrics:
            result.append(label, metric, values[metric])
