"""Convolutions with a spatial density train at least as well as plain ones, and fold into them.

Claim: Multiplying the taps of a convolution by a density that falls from the middle costs nothing
after training and does not hurt; the authors report large gains, this run says what is seen.

Paper: Cammarasana and Patane, "Optimal Weighted Convolution for Classification and Denosing", arXiv
2505.24558.

Setting: 5000 CIFAR-10 and 4000 MNIST images, three convolutions of size 5 (16, 32, 64 filters,
stride 2) and a dense layer, Adam 0.001, batches of 64, 8 epochs on CIFAR, 3 on MNIST. Arms: plain
convolutions with Keras' start; plain ones with the start of the authors; `WeightedConv2D` with
density (0.2, 0.8), and with density (0.2, 0.8) trained. Folded: the plain model from
`fold_kernels`. New process: the model is saved, and another process loads it and predicts.

Criterion: On both data sets `WeightedConv2D` is at most 1 point below the plain convolution; the
folded model's logits differ by at most 1e-5 of the largest; the new process gives the same logits
to 1e-6 of the largest.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from keras import layers

import keras_reweight as kr
from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, start

SEEDS = 3
DENSITY = (0.2, 0.8)
PLAIN, SAME_START = "plain", "plain, start of the authors"
WEIGHTED, TRAINED = "density (0.2, 0.8)", "density trained"
_ROOT = pathlib.Path(__file__).resolve().parents[1]
_RELOAD = """
import sys
import keras, numpy as np
import keras_reweight
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def build(arm: str, shape: tuple[int, ...]) -> keras.Model:
    def conv(filters):
        options = {"strides": 2, "padding": "same", "activation": "relu"}
        if arm in (WEIGHTED, TRAINED):
            return kr.layers.WeightedConv2D(
                filters, 5, density=DENSITY, trainable_density=arm == TRAINED, **options
            )
        if arm == SAME_START:
            options["kernel_initializer"] = keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            )
        return layers.Conv2D(filters, 5, **options)

    stack = [keras.Input(shape), *[conv(filters) for filters in (16, 32, 64)]]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(NUM_CLASSES)])


def run(data, seeds, quick) -> Result:
    result = Result()
    folded, reloaded = [], []
    for seed in seeds:
        (mnist,) = take(data.mnist, seed, 1000 if quick else 4000)
        cifar = take(data.cifar, seed, 1000 if quick else 5000)[0]
        sets = {
            "MNIST accuracy %": (mnist, data.mnist, 1 if quick else 3),
            "CIFAR accuracy %": (cifar, data.cifar, 1 if quick else 8),
        }
        for metric, (train, split, epochs) in sets.items():
            for arm in (PLAIN, SAME_START, WEIGHTED, TRAINED):
                start(seed)
                model = compile_classifier(build(arm, train[0].shape[1:]))
                model.fit(*train, batch_size=64, epochs=epochs, verbose=0)
                result.append(arm, metric, accuracy(model, split.x_test, split.y_test))
                if arm == TRAINED:
                    for place, layer in enumerate(model.layers[:3], start=1):
                        border, inner = keras.ops.convert_to_numpy(layer.density_weights)
                        where = f"{metric.split()[0]}, layer {place}"
                        result.append(arm, f"{where}: border", border)
                        result.append(arm, f"{where}: inner", inner)
                    images = split.x_test[:200]
                    folded.append(_folding_error(model, images))
                    if seed == seeds[0]:
                        reloaded.append(_reloading_error(model, images))
    for metric in ("MNIST accuracy %", "CIFAR accuracy %"):
        result.at_most(
            f"{metric}: plain minus weighted, in points",
            result.center(PLAIN, metric) - result.center(WEIGHTED, metric),
            1.0,
        )
    result.at_most("folded, largest relative difference", max(folded), 1e-5)
    result.at_most("loaded by a new process, the same", max(reloaded), 1e-6)
    return result


def _logits(model, images):
    return model.predict(images, batch_size=len(images), verbose=0)


def _difference(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _folding_error(model, images):
    return _difference(_logits(kr.layers.fold_kernels(model), images), _logits(model, images))


def _reloading_error(model, images):
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, name) for name in ("m.keras", "x.npy", "logits.npy")]
        model.save(paths[0])
        np.save(paths[1], images)
        subprocess.run([sys.executable, "-c", _RELOAD, *paths], cwd=_ROOT, check=True)
        return _difference(np.load(paths[2], allow_pickle=False), _logits(model, images))
