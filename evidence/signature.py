"""A weight signature makes a clean model robust to noise by patching its first layers.

Claim: The part of a noise-trained model's weight change that is orthogonal to clean training,
added to the first few layers of a clean model, brings robustness at a small cost in clean accuracy;
it is many times smaller than a model, survives 8 bits, and comes off again without a trace.

Paper: Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
ICML 2023, arXiv 2302.12480.

Setting: MNIST, Gaussian noise of standard deviation 0.6 (0.4 costs a clean model only 6 to 7
points, so that there is little to gain). Four convolutions and two dense layers
without normalization, SGD 0.02 with momentum 0.9, batches of 64. 2 epochs on 6000 clean images
give the pretrained model; from it, 3 epochs on 12000 other images, clean for the clean model, noisy
for the robust one. `k`: layers patched, counted from the input. `alpha`: strength. File: the saved
signature at 8 bits, header included, against 4 bytes for each weight of the model.

Criterion: With k=2 and alpha=1, accuracy on noise at least 5 points above the clean model, on clean
images at most 2.5 points below; 8 bits within 0.5 points of float; file at most 1/13 of the
weights; the digest of all weights after the patch is the one before.
"""

from __future__ import annotations

import os
import tempfile

import keras
from keras import layers

from evidence.data import NUM_CLASSES, add_noise, take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, start
from keras_reweight import WeightSignature, WeightSnapshot, shallow, weight_digest

SEEDS = 3
SIGMA, BATCH = 0.6, 64
NOISY, CLEAN = "noisy accuracy %", "clean accuracy %"
DEPTHS = (1, 2, 3, 4, 5)
STRENGTHS = (0.25, 0.5, 0.75, 1.25)
SIZE = "file, share of weights %"


def build() -> keras.Model:
    def conv(filters, strides):
        return layers.Conv2D(filters, 3, strides=strides, padding="same", activation="relu")

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            conv(8, 2),
            conv(16, 1),
            conv(32, 2),
            conv(32, 1),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(NUM_CLASSES),
        ]
    )


def run(data, seeds, quick) -> Result:
    result = Result()
    sizes = (2_000, 4_000) if quick else (6_000, 12_000)
    restored = [_one_seed(result, data.mnist, sizes, seed) for seed in seeds]
    patched, compressed = "clean model + signature k=2", "clean model + signature k=2, int8"
    result.at_least(
        "noisy accuracy, patched minus clean model, in points",
        result.center(patched, NOISY) - result.center("clean model", NOISY),
        5.0,
    )
    result.at_most(
        "loss of clean accuracy, in points",
        result.center("clean model", CLEAN) - result.center(patched, CLEAN),
        2.5,
    )
    result.at_most(
        "8 bits against float, noisy accuracy, in points",
        abs(result.center(compressed, NOISY) - result.center(patched, NOISY)),
        0.5,
    )
    result.at_most("file, percent of the weights", result.center(compressed, SIZE), 100.0 / 13.0)
    result.at_least("share of runs whose digest was restored", sum(restored) / len(restored), 1.0)
    return result


def _one_seed(result, split, sizes, seed):
    (x_first, y_first), (x, y) = take(split, seed, *sizes)
    x_noisy = add_noise(x, SIGMA, seed)
    tests = {CLEAN: split.x_test, NOISY: add_noise(split.x_test, SIGMA, seed + 1)}

    def trained(x, y, epochs, weights=None):
        start(seed)
        model = build()
        if weights is not None:
            model.set_weights(weights)
        model.compile(
            keras.optimizers.SGD(0.02, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        return model

    def measure(arm, model):
        for metric, images in tests.items():
            values = model.evaluate(
                images, split.y_test, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True
            )
            result.append(arm, metric, 100.0 * values["accuracy"])

    first = trained(x_first, y_first, 2)
    pretrained = WeightSnapshot(first)
    clean = trained(x, y, 3, first.get_weights())
    robust = trained(x_noisy, y, 3, first.get_weights())
    measure("clean model", clean)
    measure("robust model", robust)
    before = weight_digest(clean)

    def extract(depth, **options):
        return WeightSignature.extract(pretrained, clean, robust, layers=shallow(depth), **options)

    for depth in DEPTHS:
        with extract(depth).patched(clean):
            measure(f"clean model + signature k={depth}", clean)
    signature = extract(2)
    for alpha in STRENGTHS:
        with signature.patched(clean, alpha=alpha):
            measure(f"clean model + signature k=2, alpha={alpha}", clean)
    with extract(2, project=False).patched(clean):
        measure("clean model + plain difference k=2", clean)
    small = signature.compress("int8")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "noise.safetensors")
        small.save(path)
        size = os.path.getsize(path)
        small = WeightSignature.load(path)
    with small.patched(clean):
        measure("clean model + signature k=2, int8", clean)
    result.append(
        "clean model + signature k=2, int8", SIZE, 100.0 * size / (4 * clean.count_params())
    )
    return weight_digest(clean) == before
