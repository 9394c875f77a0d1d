"""Weight signatures against four corruptions of two data sets.

Claim: The signature of a corruption, added to the first layers of a clean model, brings robustness
to it at a small cost in clean accuracy; it can be scaled, two work at once, it is many times
smaller than a model, and it works on models that were trained on, and to some degree on those of
another data set.

Paper: Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
ICML 2023, arXiv 2302.12480.

Setting: MNIST, and a part of CIFAR-10 as gray images of 28 by 28 pixels, so that signatures of one
fit models of the other. Corruptions: Gaussian noise, blur, low contrast, and a square of gray that
covers a part of the image. One network of four convolutions and two dense layers, without
normalization, 20 outputs of which each data set trains and is judged by ten, SGD 0.02 with momentum
0.9, batches of 64. 2 epochs on 3000 clean images of each data set give the common pretrained model;
from it, for each data set, 5 epochs on 5000 other images, clean or with one corruption. Signatures
are those of the first two convolutions, projected, alpha 1, if nothing else is said. `plain`:
robust minus clean. `trained on`: the clean model after another epoch on 2000 images it had not
seen, patched with the signature of before. `other data set`: the signature taken from the other
data set. `two at once`: those of noise and contrast, alpha 0.7 each. File: the saved signature at 8
bits, header included, against 4 bytes for each weight of the model.

Criterion: On each data set, averaged over the corruptions, patching closes at least a quarter of
the gap between clean and robust models on corrupted images (plain: half) and costs at most 2.5
points on clean ones. Models that were trained on gain at least half of that. Files are at least 13
times smaller than the weights, at most 0.5 points worse than in float. Two at once gain on both
corruptions. Signatures of the other data set gain on average. All digests are those from before
the patch.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from scipy import ndimage

from evidence.data import NUM_CLASSES, add_noise, take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, start
from keras_reweight import WeightSignature, WeightSnapshot, patched, shallow, weight_digest
from keras_reweight.core.optimizer_reset import OptimizerStart

SEEDS = 3
BATCH, DEPTH, NUM_TESTS = 64, 2, 2000
CORRUPTED, CLEAN, SIZE = "corrupted accuracy %", "clean accuracy %", "file, share of weights %"
STRENGTHS = (0.5, 1.5)
SETS = ("MNIST", "CIFAR")


def noise(images, seed):
    return add_noise(images, 0.5, seed)


def blur(images, seed):
    return ndimage.gaussian_filter(images, (0.0, 1.5, 1.5, 0.0)).astype("float32")


def contrast(images, seed):
    return (0.5 + 0.15 * (images - 0.5)).astype("float32")


def occlusion(images, seed):
    found = images.copy()
    corners = np.random.default_rng([seed, 7]).integers(0, 28 - 14, (len(images), 2))
    for image, (row, column) in zip(found, corners, strict=True):
        image[row : row + 14, column : column + 14] = 0.5
    return found


CORRUPTIONS = {"noise": noise, "blur": blur, "contrast": contrast, "occlusion": occlusion}


@dataclass(frozen=True)
class Images:
    """One data set in the form that the network takes; labels are its own ten of the twenty."""

    first: tuple[np.ndarray, np.ndarray]
    second: tuple[np.ndarray, np.ndarray]
    later: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def build() -> keras.Model:
    def conv(filters, strides):
        return layers.Conv2D(filters, 3, strides=strides, padding="same", activation="relu")

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            conv(16, 2),
            conv(16, 1),
            conv(32, 2),
            conv(32, 1),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(2 * NUM_CLASSES),
        ]
    )


def run(data, seeds, quick) -> Result:
    result = Result()
    sizes = (1_000, 1_500, 500) if quick else (3_000, 5_000, 2_000)
    restored = [_Seed(result, data, sizes, seed).run() for seed in seeds]
    for name in SETS:

        def gain(suffix, metric=CORRUPTED, name=name, before="clean model"):
            pairs = [
                result.center(f"{name}, {c}, {suffix}", metric)
                - result.center(f"{name}, {c}, {before}", metric)
                for c in CORRUPTIONS
            ]
            return float(np.mean(pairs))

        gap = gain("robust model")
        text = f"{name}: share of the gap of {gap:.3g} points that is closed"
        result.at_least(text, gain("signature") / gap, 0.25)
        result.at_least(f"{text} by the plain difference", gain("plain") / gap, 0.5)
        result.at_most(f"{name}: cost on clean images", -gain("signature", CLEAN), 2.5)
        later = gain("trained on, signature", before="trained on")
        text = f"{name}: gain of models that were trained on, in points"
        result.at_least(text, later, 0.5 * gain("signature"))
        small = -gain("signature, int8", before="signature")
        result.at_most(f"{name}: loss by 8 bits", small, 0.5)
        result.at_least(f"{name}: gain by the other data set", gain("other data set"), 0.0)
        for corruption in ("noise", "contrast"):
            arm = f"{name}, {corruption}"
            both = result.center(f"{arm}, two at once", CORRUPTED)
            both -= result.center(f"{arm}, clean model", CORRUPTED)
            result.at_least(f"{arm}: gain of two at once", both, 0.0)
    files = [row.center("mean") for row in result.rows if row.metric == SIZE]
    result.at_most("largest file, percent of the weights", max(files), 100.0 / 13.0)
    result.at_least("share of runs whose digests were restored", float(np.mean(restored)), 1.0)
    return result


class _Seed:
    """One common start, and what follows from it."""

    def __init__(self, result, data, sizes, seed):
        self.result, self.seed, self.tests = result, seed, {}
        start(seed)
        self.model = build()
        self.model.compile(
            keras.optimizers.SGD(0.02, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self.optimizer = OptimizerStart(self.model)
        self.images = {
            name: _images(split, offset, seed, sizes)
            for name, split, offset in zip(
                SETS, (data.mnist, data.cifar), (0, NUM_CLASSES), strict=True
            )
        }

    def run(self) -> bool:
        pretrained = self.train([images.first for images in self.images.values()], epochs=2)
        clean, later, robust = {}, {}, {}
        for name, images in self.images.items():
            clean[name] = self.train([images.second], pretrained)
            later[name] = self.train([images.later], clean[name], epochs=1)
            for key, corrupt in CORRUPTIONS.items():
                x, y = images.second
                robust[name, key] = self.train([(corrupt(x, self.seed), y)], pretrained)
        self.signatures = {
            place: self.extract(pretrained, clean[place[0]], weights)
            for place, weights in robust.items()
        }
        restored = True
        for name in SETS:
            for key in CORRUPTIONS:
                self.use(robust[name, key])
                self.measure(name, key, "robust model")
                self.use(later[name])
                self.measure(name, key, "trained on")
                with self.signatures[name, key].patched(self.model):
                    self.measure(name, key, "trained on, signature")
                self.use(clean[name])
                before = weight_digest(self.model)
                self.patches(name, key, pretrained, clean[name], robust[name, key])
                restored = restored and weight_digest(self.model) == before
            for key in ("noise", "contrast"):
                two = {k: self.signatures[name, k] for k in ("noise", "contrast")}
                with patched(self.model, two, 0.7):
                    self.measure(name, key, "two at once")
        return restored

    def patches(self, name, key, pretrained, clean, robust):
        """Everything that is put on the clean model."""
        self.measure(name, key, "clean model")
        signature = self.signatures[name, key]
        with signature.patched(self.model):
            self.measure(name, key, "signature")
        for alpha in STRENGTHS:
            with signature.patched(self.model, alpha):
                self.measure(name, key, f"signature, alpha={alpha}")
        with self.extract(None, clean, robust).patched(self.model):
            self.measure(name, key, "plain")
        with self.extract(pretrained, clean, robust, depth=5).patched(self.model):
            self.measure(name, key, "signature of all but the head")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "signature.safetensors")
            signature.compress("int8").save(path)
            share = 100.0 * os.path.getsize(path) / (4 * self.model.count_params())
            with WeightSignature.load(path).patched(self.model):
                self.measure(name, key, "signature, int8")
        self.result.append(f"{name}, {key}, signature, int8", SIZE, share)
        other = SETS[1 - SETS.index(name)]
        with self.signatures[other, key].patched(self.model):
            self.measure(name, key, "other data set")

    def extract(self, pretrained, clean, robust, depth=DEPTH):
        """The model stands in for nothing but the names of its layers."""
        self.use(robust)
        signature = WeightSignature.extract(pretrained, clean, self.model, layers=shallow(depth))
        self.use(clean)
        return signature

    def use(self, weights):
        weights.restore(self.model)

    def train(self, parts, weights=None, epochs=5) -> WeightSnapshot:
        if weights is not None:
            self.use(weights)
        self.optimizer.restore()
        keras.utils.set_random_seed(self.seed)
        x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        return WeightSnapshot(self.model)

    def measure(self, name, key, arm):
        """Among the ten outputs of the data set: a faint digit is no reason to see an airplane."""
        x, y = self.images[name].test
        first = NUM_CLASSES * SETS.index(name)
        for metric, images in ((CORRUPTED, self.corrupted(name, key)), (CLEAN, x)):
            logits = self.model.predict(images, batch_size=EVALUATION_BATCH, verbose=0)
            found = logits[:, first : first + NUM_CLASSES].argmax(axis=-1) + first
            accuracy = 100.0 * float(np.mean(found == y))
            self.result.append(f"{name}, {key}, {arm}", metric, accuracy)

    def corrupted(self, name, key):
        if (name, key) not in self.tests:
            x, _ = self.images[name].test
            self.tests[name, key] = CORRUPTIONS[key](x, self.seed + 1)
        return self.tests[name, key]


def _images(split, offset, seed, sizes) -> Images:
    parts = [*take(split, seed, *sizes), (split.x_test[:NUM_TESTS], split.y_test[:NUM_TESTS])]
    return Images(*((_gray(x), y + offset) for x, y in parts))


def _gray(images):
    """One channel, 28 by 28 pixels from the middle."""
    border = (images.shape[1] - 28) // 2
    images = images.mean(axis=-1, keepdims=True)
    return np.ascontiguousarray(images[:, border : border + 28, border : border + 28])
