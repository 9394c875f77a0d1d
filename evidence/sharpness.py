"""Flat minima stand wrong labels; so do soft targets, which are free.

Claim: Training with the gradient of a neighbor (SAM, ASAM, a penalty on the gradient's length) or
with agreement with the average of the past weights (MESA) gives a better model under label noise
than plain training of the same length.

Paper: Foret et al., SAM, arXiv 2010.01412; Kwon et al., ASAM, arXiv 2102.11600; Zhao et al.,
arXiv 2202.03599; Du et al., "Sharpness-Aware Training for Free", arXiv 2205.14083.

Setting: MNIST, 6000 images, 20 % of the labels wrong (symmetric). 784-128-10 network, SGD with
momentum 0.9 and a cosine from 0.1, batches of 64, 60 epochs; also 20 epochs of plain training,
which stops before the noise is learned. `label smoothing 0.3` is the control that costs nothing,
`average of weights` (decay 0.995) what MESA's average is worth on its own. Radius of SAM 0.5, of
ASAM 2; gradient-norm penalty 0.25 at radius 0.5; MESA with weight 2, temperature 5, decay 0.995
from epoch 5. Accuracy of the last epoch on 10000 clean test images, and the loss on training
images with their true labels after a step of length 0.5 up their gradient, minus that before it.

Criterion: SAM and MESA are at least three points above plain training of 60 epochs.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from evidence.data import flip_labels, take
from evidence.result import Result
from evidence.training import accuracy, mlp, start
from keras_reweight import gradients, sharpness

SEEDS = 3
BATCH, NUM_TRAIN = 64, 6_000
ACCURACY, RISE = "test accuracy %", "loss 0.5 uphill, minus here"
PLAIN, SHORT, SMOOTH, AVERAGE = (
    "plain",
    "plain, 20 epochs",
    "label smoothing 0.3",
    "average of weights",
)
RULES = {
    "SAM": sharpness.SAM(0.5),
    "ASAM": sharpness.SAM(2.0, adaptive=True),
    "gradient norm": sharpness.GradientNorm(0.25, radius=0.5),
}
MESA = "MESA"
ARMS = (PLAIN, SHORT, SMOOTH, AVERAGE, *RULES, MESA)


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (2_000, 6) if quick else (NUM_TRAIN, 60)
    for seed in seeds:
        ((x, y_true),) = take(data.mnist, seed, num_train)
        y, _ = flip_labels(y_true, 0.2, seed)
        for arm in ARMS:
            model = _train(arm, x, y, epochs, seed)
            right = accuracy(model, data.mnist.x_test, data.mnist.y_test)
            result.append(arm, ACCURACY, right)
            result.append(arm, RISE, _rise(model, x[:1000], y_true[:1000]))
    base = result.center(PLAIN, ACCURACY)
    for arm in ("SAM", MESA):
        gain = result.center(arm, ACCURACY) - base
        result.at_least(f"{arm} minus {PLAIN}, in points", gain, 3.0)
    return result


def _train(arm, x, y, epochs, seed):
    start(seed)
    model = mlp((128,))
    epochs = max(1, epochs // 3) if arm == SHORT else epochs
    steps = epochs * -(-len(x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.1, steps)
    averaged = {"use_ema": True, "ema_momentum": 0.995} if arm == AVERAGE else {}
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, **averaged)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained = model
    if arm == SMOOTH:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
        y = keras.utils.to_categorical(y, 10)
    if arm in RULES:
        trained = sharpness.SharpnessAware(model, RULES[arm])
    if arm == MESA:
        trained = sharpness.MESA(model, weight=2.0, temperature=5.0, decay=0.995)
    trained.compile(optimizer, loss)
    trained.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def _rise(model, x, y):
    """How much the loss rises half a unit up its gradient."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    here, slope, _ = gradients.value_and_grad(model, x, y, loss=loss)
    slope = [ops.convert_to_numpy(part) for part in slope]
    length = np.sqrt(sum((part**2).sum() for part in slope))
    before = model.get_weights()
    for variable, part in zip(model.trainable_variables, slope, strict=True):
        variable.assign(ops.convert_to_numpy(variable) + 0.5 * part / max(length, 1e-12))
    there, _, _ = gradients.value_and_grad(model, x, y, loss=loss)
    model.set_weights(before)
    return float(there) - float(here)
