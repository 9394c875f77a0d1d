"""Neighbors of each task make the minimum flatter and the tasks no worse.

Claim: Two tasks trained by the gradients at neighbors that SAMO finds from two evaluations a task
reach a flatter point, at no cost in accuracy, also with gradient surgery.

Paper: Ban, Subramani and Ji, "SAMO: A Lightweight Sharpness-Aware Approach for Multi-Task
Optimization with Joint Global-Local Perturbation", ICCV 2025, arXiv 2507.07883.

Setting: MNIST, 3000 images, tasks: the digit and whether it is odd, 20 % of the labels of each
wrong, drawn independently. 784-128 shared, two heads; SGD with momentum 0.9 and a cosine from 0.05,
batches of 64, 30 epochs. Losses are added up (linear) or projected (PCGrad). Radius 0.05, half of
the direction guessed; also without guessing (SAM on the mean loss) and with radius 0.5. Mean
accuracy of both tasks on 10000 clean test images, and by how much the mean loss on 1000 images of
the training, with their wrong labels, rises after a step of length 0.05 up its gradient.

Criterion: With radius 0.05, linear and PCGrad alike: at most 0.2 points of accuracy less than
without SAMO, and a smaller rise.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from evidence.data import flip_labels, take
from evidence.result import Result
from evidence.training import start
from keras_reweight import gradients, tasks

SEEDS = 3
BATCH, RADIUS = 64, 0.05
ACCURACY, RISE = "mean test accuracy %", "loss 0.05 uphill, minus here"
LINEAR, SURGERY = "linear", "PCGrad"
ARMS = {
    LINEAR: None,
    f"{LINEAR} + SAMO": tasks.SAMO(RADIUS),
    f"{LINEAR} + SAMO, nothing guessed": tasks.SAMO(RADIUS, beta=0.0),
    f"{LINEAR} + SAMO, radius 0.5": tasks.SAMO(0.5),
    SURGERY: None,
    f"{SURGERY} + SAMO": tasks.SAMO(RADIUS),
}


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (1_000, 3) if quick else (3_000, 30)
    for seed in seeds:
        ((x, digits),) = take(data.mnist, seed, num_train)
        targets = _noisy(digits, seed)
        test = data.mnist.x_test, _targets(data.mnist.y_test)
        for arm in ARMS:
            model = _train(arm, x, targets, epochs, seed)
            result.append(arm, ACCURACY, _accuracy(model, *test))
            part = {key: labels[:1000] for key, labels in targets.items()}
            result.append(arm, RISE, _rise(model, x[:1000], part))
    for base in (LINEAR, SURGERY):
        arm = f"{base} + SAMO"
        gain = result.center(arm, ACCURACY) - result.center(base, ACCURACY)
        result.at_least(f"{arm} minus {base}, in points", gain, -0.2)
        ratio = result.center(arm, RISE) / result.center(base, RISE)
        result.at_most(f"rise of {arm} / that of {base}", ratio, 1.0)
    return result


def _targets(digits):
    return {"digit": digits.astype("int32"), "odd": (digits % 2).astype("int32")}


def _noisy(digits, seed):
    odd = digits % 2
    wrong = np.random.default_rng([seed, 5]).random(len(odd)) < 0.2
    return {
        "digit": flip_labels(digits, 0.2, seed)[0],
        "odd": np.where(wrong, 1 - odd, odd).astype("int32"),
    }


def _losses():
    return {
        key: keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for key in ("digit", "odd")
    }


def _train(arm, x, targets, epochs, seed):
    start(seed)
    inputs = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(inputs)
    features = keras.layers.Dense(128, "relu", name="shared")(flat)
    heads = {"digit": 10, "odd": 2}
    model = keras.Model(
        inputs, {key: keras.layers.Dense(n, name=key)(features) for key, n in heads.items()}
    )
    balancer = tasks.PCGrad() if arm.startswith(SURGERY) else tasks.FixedWeights()
    trainer = tasks.LossBalancing(model, balancer, shared=["shared"], perturb=ARMS[arm])
    rate = keras.optimizers.schedules.CosineDecay(0.05, epochs * -(-len(x) // BATCH))
    trainer.compile(keras.optimizers.SGD(rate, momentum=0.9), _losses())
    trainer.fit(x, targets, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def _accuracy(model, x, targets):
    found = model.predict(x, batch_size=1000, verbose=0)
    right = [np.mean(found[key].argmax(axis=1) == labels) for key, labels in targets.items()]
    return 100.0 * float(np.mean(right))


def _rise(model, x, targets):
    """How much the mean loss rises up its gradient."""
    here, slope, _ = gradients.value_and_grad(model, x, targets, loss=_losses())
    slope = [ops.convert_to_numpy(part) for part in slope]
    length = np.sqrt(sum((part**2).sum() for part in slope))
    before = model.get_weights()
    for variable, part in zip(model.trainable_variables, slope, strict=True):
        variable.assign(ops.convert_to_numpy(variable) + RADIUS * part / max(length, 1e-12))
    there, _, _ = gradients.value_and_grad(model, x, targets, loss=_losses())
    model.set_weights(before)
    return 0.5 * (float(there) - float(here))
