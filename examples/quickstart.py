"""Train on wrong labels, prune, quantize and patch one small model: the package in two minutes.

Run it with `make demo`, or `python examples/quickstart.py --out quickstart.png` on the backend that
`KERAS_BACKEND` names. Scikit-learn's digits, 20 % of the training labels wrong.
"""

from __future__ import annotations

import argparse
import gzip
import os
import pathlib
import tempfile
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
# More threads make a model of this size slower, on torch by a factor of ten.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_compress as kc
import keras_reweight as kr

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WRONG_SHARE = 0.2
PIXEL_NOISE = 0.3
EPOCHS = 3 if os.environ.get("KERAS_REWEIGHT_SMOKE") else 40


def load_data():
    """Digits scaled to 0..1; the training labels partly replaced by other classes."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype("float32")
    x, x_test, y, y_test = train_test_split(images, labels, test_size=500, random_state=0)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < WRONG_SHARE
    noisy = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    return x, noisy, wrong, x_test, y_test


def corrupted(images, seed):
    """Images with Gaussian pixel noise, the corruption of the signature."""
    noise = np.random.default_rng(seed).normal(0.0, PIXEL_NOISE, images.shape)
    return (images + noise).astype("float32")


def build_model():
    """A multilayer perceptron; the same start for every run."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(256, activation="relu", name="first"),
            keras.layers.Dense(256, activation="relu", name="second"),
            keras.layers.Dense(10, name="logits"),
        ]
    )


def compile_model(model, learning_rate=1e-3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model


class Table:
    """Rows of accuracy, size and time, printed at the end."""

    def __init__(self, x_test, y_test):
        self.tests = [(x_test, y_test), (corrupted(x_test, 9), y_test)]
        self.rows = []

    def add(self, name, model, size, started):
        seconds = time.perf_counter() - started
        accuracies = [model.evaluate(x, y, verbose=0)[1] for x, y in self.tests]
        self.rows.append((name, *accuracies, size, seconds))

    def __str__(self):
        lines = [
            f"{'model':<34} {'accuracy':>9} {'with noise':>11} {'KiB on disk':>12} {'seconds':>8}"
        ]
        for name, accuracy, noisy, size, seconds in self.rows:
            size = "" if size is None else f"{size / 1024:.1f}"
            lines.append(f"{name:<34} {accuracy:>9.3f} {noisy:>11.3f} {size:>12} {seconds:>8.1f}")
        return "\n".join(lines)


def keras_file(model, directory, *, compress=False):
    """Bytes of the saved model without optimizer, optionally of its gzip file."""
    path = pathlib.Path(directory) / "model.keras"
    # A clone of a compiled model is compiled too, and its file holds the optimizer's slots.
    inference = keras.Sequential.from_config(model.get_config())
    inference.set_weights(model.get_weights())
    inference.save(path)
    if compress:
        packed = path.with_suffix(".keras.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    return path.stat().st_size


def main(figure):
    x, y, wrong, x_test, y_test = load_data()
    table = Table(x_test, y_test)
    options = {"epochs": EPOCHS, "batch_size": 64, "verbose": 0}
    validation = {"validation_data": (x_test, y_test)}
    steps_per_epoch = -(-len(x) // 64)
    print(f"backend {keras.backend.backend()}, {len(x)} images, {wrong.mean():.0%} wrong labels")

    with tempfile.TemporaryDirectory() as directory:
        # 1. Plain training believes the wrong labels.
        started = time.perf_counter()
        plain = compile_model(build_model())
        plain_history = plain.fit(x, y, **options, **validation).history
        table.add("plain training", plain, keras_file(plain, directory), started)

        # 2. Weights that follow EL2N scores: the fifth that is hardest to fit counts no more.
        started = time.perf_counter()
        model = compile_model(build_model())
        kr.data.enable_aux_targets(model)
        reweight = kr.callbacks.EL2NReweight(
            len(x), drop_hardest=WRONG_SHARE, warmup_epochs=min(5, EPOCHS - 1), from_logits=True
        )
        targets = kr.data.pack_targets(y, sample_id=np.arange(len(x)))
        history = model.fit(x, targets, callbacks=[reweight], **options, **validation).history
        table.add("+ EL2N reweighting", model, keras_file(model, directory), started)
        kept = reweight.table["weight"] > 0

        # 3. Ninety per cent of the weights go, a few at a time.
        started = time.perf_counter()
        pruned = compile_model(keras.models.clone_model(model))
        pruned.set_weights(model.get_weights())
        schedule = kc.schedules.PolynomialDecay(0.0, 0.9, end_step=steps_per_epoch * EPOCHS // 2)
        pruning = kc.callbacks.MagnitudePruning(schedule, frequency=10)
        pruned.fit(x[kept], y[kept], callbacks=[pruning], **options)
        pruned = kc.strip(pruned)
        size = keras_file(pruned, directory, compress=True)
        table.add(
            f"+ pruned {kc.sparsity_report(pruned).sparsity:.0%} (gzip)", pruned, size, started
        )

        # 4. Four bits for each weight, learned scales.
        started = time.perf_counter()
        aware = compile_model(kc.quantize_aware(model, weights=4), learning_rate=3e-4)
        aware.fit(x[kept], y[kept], **{**options, "epochs": max(1, EPOCHS // 4)})
        packed = pathlib.Path(directory) / "model.packed"
        kc.quantization.save_packed(aware, packed)
        plain_again = compile_model(kc.freeze(aware))
        table.add("+ 4-bit weights (packed)", plain_again, packed.stat().st_size, started)

        # 5. A signature of pixel noise, extracted once, put on and taken off.
        started = time.perf_counter()
        robust = compile_model(keras.models.clone_model(model), learning_rate=3e-4)
        robust.set_weights(model.get_weights())
        for seed in range(max(1, EPOCHS // 2)):
            robust.fit(corrupted(x, seed)[kept], y[kept], **{**options, "epochs": 1})
        signature = kr.WeightSignature.extract(
            clean=model, robust=robust, layers=kr.shallow(2), project=False, name="pixel noise"
        ).compress("int8")
        path = pathlib.Path(directory) / "noise.sig"
        signature.save(path)
        before = kr.weight_digest(model)
        alphas = np.linspace(0.0, 1.25, 6)
        curve = []
        for alpha in alphas:
            with signature.patched(model, alpha=float(alpha)):
                curve.append([model.evaluate(*test, verbose=0)[1] for test in table.tests])
                if alpha == 1.0:
                    table.add("+ noise signature (int8 patch)", model, path.stat().st_size, started)
        restored = kr.weight_digest(model) == before

    print(table)
    print(f"weights after taking the signature off: {'bit-identical' if restored else 'CHANGED'}")
    draw(figure, reweight, wrong, plain_history, history, alphas, np.array(curve))
    print(f"figure: {figure}")


def draw(figure, reweight, wrong, plain_history, history, alphas, curve):
    """Scores of right and wrong labels, accuracy over epochs, and the strength of the patch."""
    fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    scores = reweight.table["el2n"]
    axes[0].hist([scores[~wrong], scores[wrong]], bins=30, label=["right label", "wrong label"])
    axes[0].set(title="EL2N score of training samples", xlabel="EL2N", ylabel="samples")
    axes[0].legend()
    for label, values in (("plain", plain_history), ("EL2N reweighting", history)):
        axes[1].plot(values["val_accuracy"], label=label)
    axes[1].set(title=f"{WRONG_SHARE:.0%} wrong labels", xlabel="epoch", ylabel="test accuracy")
    axes[1].legend()
    axes[2].plot(alphas, curve[:, 0], marker="o", label="clean images")
    axes[2].plot(alphas, curve[:, 1], marker="o", label="noisy images")
    axes[2].set(title="noise signature", xlabel="strength alpha", ylabel="test accuracy")
    axes[2].legend()
    fig.savefig(figure, dpi=120)
    plt.close(fig)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="quickstart.png", help="where the figure goes")
    main(parser.parse_args().out)
