"""Weight aligning takes back the bias of a class-incremental classifier towards its last classes.

Claim: After five classes were learned and then five others, with few examples of the first ones
kept, the classifier's columns of the last classes are longer and it prefers them; scaling those
columns to the mean length of the others brings old classes back without any data, on top of
distillation, too.

Paper: Zhao et al., "Maintaining Discrimination and Fairness in Class Incremental Learning", CVPR
2020, arXiv 1911.07053.

Setting: MNIST, 784-128-10 network whose classifier has no bias, SGD 0.1, batches of 64. 3000 images
of the digits 0 to 4 for 10 epochs; then five columns are added, and 3000 images of 5 to 9 and 5
kept images of each earlier digit train for 10 epochs. Arms of the second step: plain
cross-entropy; with distillation of the old model (half of the loss, temperature 2); both of these
with weights of the classifier held non-negative, as in the paper; all digits at once, 20 epochs, as
the upper end. Each
is measured before and after `align_weights` with its default `only_shrink=True`, and the plain one
with `only_shrink=False`. Accuracy on the test images of the old, the new and all digits.

Criterion: For the plain arm the ratio of mean norms (old by new) is below one; aligning raises the
accuracy on old classes by at least 2 points and does not lower that on all; the same with
distillation.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

import keras_reweight as kr
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, start

SEEDS = 3
OLD, NEW, ALL, RATIO = "old classes %", "new classes %", "all classes %", "old by new norm"
NUM_OLD, KEPT, TEMPERATURE = 5, 5, 2.0
RATE, BATCH = 0.1, 64
PLAIN, DISTILLED = "plain", "distillation"
CLIPPED, PAPER = "non-negative weights", "distillation, non-negative weights"


def build(classes: int, constraint=None) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dense(classes, use_bias=False, kernel_constraint=constraint, name="head"),
        ]
    )


def distilling(y_true, logits):
    """Cross-entropy and, as much again, the divergence from the old model's logits."""
    hard = keras.losses.sparse_categorical_crossentropy(
        ops.cast(y_true[:, 0], "int32"), logits, from_logits=True
    )
    soft = ops.softmax(y_true[:, 1:] / TEMPERATURE)
    divergence = -ops.sum(soft * ops.log_softmax(logits[:, :NUM_OLD] / TEMPERATURE), axis=-1)
    return 0.5 * hard + 0.5 * divergence


def run(data, seeds, quick) -> Result:
    result = Result()
    epochs, size = (2, 1000) if quick else (10, 3000)
    for seed in seeds:
        _one_seed(result, data.mnist, seed, epochs, size)
    result.at_most("plain: ratio of the norms before", result.center(PLAIN, RATIO), 0.999)
    for arm in (PLAIN, DISTILLED):
        aligned = f"{arm}, aligned"
        gain = result.center(aligned, OLD) - result.center(arm, OLD)
        result.at_least(f"{arm}: gain on old classes, in points", gain, 2.0)
        gain = result.center(aligned, ALL) - result.center(arm, ALL)
        result.at_least(f"{arm}: gain on all classes, in points", gain, 0.0)
    return result


def _one_seed(result, split, seed, epochs, size):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(split.y_train))
    old = rows[split.y_train[rows] < NUM_OLD][:size]
    new = rows[split.y_train[rows] >= NUM_OLD][:size]
    kept = np.concatenate([old[split.y_train[old] == digit][:KEPT] for digit in range(NUM_OLD)])
    start(seed)
    first = _fit(build(NUM_OLD), split.x_train[old], split.y_train[old], epochs)
    step = np.concatenate([new, kept])
    x, y = split.x_train[step], split.y_train[step]
    arms = {
        PLAIN: (None, y, _crossentropy()),
        DISTILLED: (None, _with_logits(first, x, y), distilling),
        CLIPPED: ("non_neg", y, _crossentropy()),
        PAPER: ("non_neg", _with_logits(first, x, y), distilling),
    }
    for arm, (constraint, targets, loss) in arms.items():
        start(seed)
        model = _grown(first, constraint)
        _fit(model, x, targets, epochs, loss)
        _measure(result, arm, model, split)
        _measure_aligned(result, f"{arm}, aligned", model, split)
        if arm == PLAIN:
            _measure_aligned(result, f"{arm}, aligned either way", model, split, only_shrink=False)
    both = np.concatenate([old, new])
    start(seed)
    joint = _fit(build(10), split.x_train[both], split.y_train[both], 2 * epochs)
    _measure(result, "all digits at once", joint, split)
    _measure_aligned(result, "all digits at once, aligned", joint, split)


def _crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _fit(model, x, y, epochs, loss=None):
    model.compile(keras.optimizers.SGD(RATE), loss or _crossentropy())
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def _with_logits(model, x, y):
    logits = model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)
    return np.concatenate([y[:, None].astype("float32"), logits], axis=1)


def _grown(first, constraint):
    """The old model with fresh columns for the new classes."""
    model = build(10, constraint)
    for old, new in zip(first.layers[:-1], model.layers[:-1], strict=True):
        new.set_weights(old.get_weights())
    kernel = model.get_layer("head").get_weights()[0]
    kernel[:, :NUM_OLD] = first.get_layer("head").get_weights()[0]
    model.get_layer("head").set_weights([kernel])
    return model


def _measure_aligned(result, arm, model, split, **options):
    with kr.editing.align_weights(model, range(NUM_OLD), **options).patched(model):
        _measure(result, arm, model, split)


def _measure(result, arm, model, split):
    found = model.predict(split.x_test, batch_size=EVALUATION_BATCH, verbose=0).argmax(axis=-1)
    right, is_old = found == split.y_test, split.y_test < NUM_OLD
    result.append(arm, OLD, 100.0 * right[is_old].mean())
    result.append(arm, NEW, 100.0 * right[~is_old].mean())
    result.append(arm, ALL, 100.0 * right.mean())
    result.append(arm, RATIO, kr.editing.alignment_ratio(model, range(NUM_OLD)))
