"""Tune how a small model is weighted, pruned and quantized, with one KerasTuner search.

Each trial trains one network that is quantized from the start, under a weighting of its samples and
a growing sparsity. Accuracy alone would always choose the largest model, so the search minimizes
the error in percent plus a price for each kilobyte of the compressed file. Run it with

    pip install -e ".[jax,tune,examples]"
    python examples/tune.py

on the backend that `KERAS_BACKEND` names. With JAX and PyTorch, TensorFlow need not be installed;
with TensorFlow, KerasTuner also needs `tensorboard`, which the extra `tune` brings.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")
# More threads make a model of this size slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import keras_tuner as kt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_compress as kc
import keras_reweight as kr

SMOKE = bool(os.environ.get("KERAS_REWEIGHT_SMOKE"))
EPOCHS, TRIALS = (2, 1) if SMOKE else (30, 8)
BATCH = 32
PERCENT_PER_KILOBYTE = 0.5


def load_data():
    """Digits scaled to 0..1: training, validation (for the search) and test images and labels."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype("float32")
    x, x_test, y, y_test = train_test_split(images, labels, test_size=400, random_state=0)
    x, x_val, y, y_val = train_test_split(x, y, test_size=400, random_state=0)
    return (x, y), (x_val, y_val), (x_test, y_test)


def compressed_size(model):
    """Kilobytes of the packed file of a quantization-aware model, zeros squeezed out by gzip."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.safetensors"
        kc.quantization.save_packed(model, path)
        return len(gzip.compress(path.read_bytes(), mtime=0)) / 1000


class CompressedClassifier(kt.HyperModel):
    """What KerasTuner needs to know: how to build the model of a trial, and how to train it."""

    def build(self, hp):
        # All three are declared here, so that the first trial draws them too.
        hp.Float("temperature", 0.2, 5.0, sampling="log")
        hp.Float("sparsity", 0.5, 0.95)
        bits = hp.Choice("bits", [2, 3, 4, 8])
        model = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(10),
            ]
        )
        # LSQ has a level at zero: weights that pruning holds at zero stay zero when quantized.
        model = kc.quantize_aware(model, weights=bits)
        model.compile(
            keras.optimizers.Adam(0.002),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    def fit(self, hp, model, x, y, *, validation_data, callbacks=(), **kwargs):
        steps = EPOCHS * -(-len(x) // BATCH)
        growing = kc.schedules.PolynomialDecay(
            0.0, hp.get("sparsity"), begin_step=steps // 10, end_step=steps // 2
        )
        ours = [
            kr.callbacks.Reweight(kr.weightings.LinUpper(hp.get("temperature")), warmup_steps=20),
            kc.callbacks.MagnitudePruning(growing, begin_step=steps // 10, frequency=20),
        ]
        # Ours first: those of the tuner save the weights at the end of each epoch.
        history = model.fit(
            x,
            y,
            batch_size=BATCH,
            epochs=EPOCHS,
            validation_data=validation_data,
            callbacks=[*ours, *callbacks],
            **kwargs,
        )
        # A number, not the name of a metric: then the tuner keeps the last epoch, which has the
        # full sparsity, and not the best one, which may lie before the pruning.
        error = 100.0 * (1.0 - history.history["val_accuracy"][-1])
        return error + PERCENT_PER_KILOBYTE * compressed_size(model)


def main():
    training, validation, test = load_data()
    with tempfile.TemporaryDirectory() as directory:
        tuner = kt.RandomSearch(
            CompressedClassifier(), max_trials=TRIALS, seed=0, directory=directory, overwrite=True
        )
        tuner.search(*training, validation_data=validation, verbose=0)
        trials = tuner.oracle.get_best_trials(TRIALS)
        (best,) = tuner.get_best_models(1)
    print(f"{'score':>6}  temperature  sparsity  bits")
    for trial in trials:
        hp = trial.hyperparameters
        print(
            f"{trial.score:6.2f}  {hp.get('temperature'):11.2f}  {hp.get('sparsity'):8.2f}  "
            f"{hp.get('bits'):4d}"
        )
    wanted = trials[0].hyperparameters
    plain = kc.freeze(best)
    kernels = [array for array in plain.get_weights() if array.ndim == 2]
    sparsity = np.mean(np.concatenate([array.ravel() for array in kernels]) == 0)
    # What the tuner gives back is what was trained: pruned, and scored the same.
    assert sparsity >= wanted.get("sparsity") - 0.001
    _, accuracy = best.evaluate(*validation, verbose=0)
    size = compressed_size(best)
    score = 100.0 * (1.0 - accuracy) + PERCENT_PER_KILOBYTE * size
    assert abs(score - trials[0].score) < 0.01, (score, trials[0].score)
    _, accuracy = best.evaluate(*test, verbose=0)
    full = sum(array.nbytes for array in plain.get_weights()) / 1000
    print(
        f"best model: test accuracy {accuracy:.3f}, {sparsity:.1%} zeros, "
        f"{wanted.get('bits')} bits, {size:.1f} kB compressed (float weights: {full:.1f} kB)"
    )


if __name__ == "__main__":
    main()
