"""What the comparisons of quantization-aware training with other packages share."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np

from benchmarks.quantize_peers import MOVING_RANGES, OURS, PLAIN, QUANTIZED, run_process
from evidence.data import Split, take
from evidence.result import Check, Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress.quantization import quantize_aware

BATCH, EPOCHS, LEARNING_RATE = 64, 2, 3e-4
ACCURACY, MILLISECONDS, RATIO = "test accuracy %", "ms a step", "ratio to plain training"
FLOAT, RANGES = "float", "ours, moving ranges"


def compare(
    result: Result,
    peer: str,
    data,
    seeds,
    quick: bool,
    arms: Sequence[str],
    *,
    with_ranges: bool = False,
) -> bool:
    """Accuracies of all arms, ours and theirs; `False`, with a check, if the peer is not there.

    `with_ranges` adds ours with the method of tfmot, moving ranges instead of learned steps.
    """
    for seed in seeds:
        tasks = [_Trained(task, seed) for task in _tasks(data, quick)]
        try:
            with tempfile.TemporaryDirectory() as directory:
                jobs = [task.job(pathlib.Path(directory), arms) for task in tasks]
                rows = run_process(peer, "train", *map(str, jobs))
        except RuntimeError as error:
            result.checks.append(Check(f"the peer is not there: {error}", False))
            return False
        for row in rows:
            result.append(f"{row['name']}, {row['arm']}, {peer}", ACCURACY, row["accuracy"])
        for task in tasks:
            for arm in arms:
                result.append(f"{task.name}, {arm}, ours", ACCURACY, task.quantized(arm))
                if with_ranges:
                    value = task.quantized(arm, MOVING_RANGES)
                    result.append(f"{task.name}, {arm}, {RANGES}", ACCURACY, value)
            result.append(f"{task.name}, {FLOAT}", ACCURACY, task.fit(task.copy()))
    return True


def time_steps(result: Result, peer: str, quick: bool) -> None:
    """Milliseconds and ratios; checks that quantization costs us no more than them.

    Compared are the steps themselves, and the ratios to plain training: a peer may run on another
    Keras, whose plain steps take another time.
    """
    found: dict[str, dict[str, dict]] = {}
    # In turns, so that a busy minute of the machine does not meet one of them alone.
    for _ in range(1 if quick else 2):
        for kind in (OURS, peer):
            for row in run_process(kind, "time", "--rounds", "5" if quick else "13"):
                times = found.setdefault(row.pop("architecture"), {}).setdefault(kind, {})
                for way, values in row.items():
                    times.setdefault(way, []).extend(values)
    for architecture, kinds in found.items():
        ratios = {}
        for kind, times in kinds.items():
            for way, values in times.items():
                arm = f"time, {architecture}, {kind}, {way}"
                result.add(arm, MILLISECONDS, [np.median(values)])
                if way != PLAIN:
                    ratios[kind, way] = float(np.median(np.array(values) / times[PLAIN]))
                    result.add(arm, RATIO, [ratios[kind, way]])
        steps = [float(np.median(kinds[kind][QUANTIZED])) for kind in (OURS, peer)]
        text = f"our quantized step over theirs, {architecture}"
        result.at_most(text, steps[0] / steps[1], 1.0)
        ours, theirs = ratios[OURS, QUANTIZED], ratios[peer, QUANTIZED]
        text = f"quantized over plain step, ours over theirs, {architecture}"
        result.at_most(text, ours / theirs, 1.0)


def _tasks(data, quick) -> list[tuple[str, Split, str, Callable, int, int]]:
    mnist, cifar = (2_560, 2_560) if quick else (10_240, 6_400)
    return [
        ("MNIST", data.mnist, "mlp", lambda: mlp((128, 128)), mnist, 2 if quick else 4),
        ("CIFAR", data.cifar, "cnn", lambda: cnn(hidden=128), cifar, 2 if quick else 8),
    ]


class _Trained:
    """A float model, its data, and the batches of what follows."""

    def __init__(self, task, seed):
        self.name, self.split, self.architecture, self.build, num_train, epochs = task
        self.seed = seed
        start(seed)
        ((self.x, self.y),) = take(self.split, seed, num_train)
        model = compile_classifier(self.build())
        model.fit(self.x, self.y, batch_size=BATCH, epochs=epochs, verbose=0)
        self.weights = model.get_weights()
        self.integers = _integer_bits(model, self.x[:512])
        rng = np.random.default_rng([seed, 7])
        self.order = np.concatenate([rng.permutation(num_train) for _ in range(EPOCHS)])

    def copy(self):
        model = self.build()
        model.set_weights(self.weights)
        return model

    def quantized(self, arm, names=("int", "int")):
        """Accuracy of ours."""
        start(self.seed)
        bits, _, activations = arm.removeprefix("w").partition("a")
        options = {"weights": names[0] + bits}
        if activations:
            options["activations"] = names[1] + activations
            options["calibration_data"] = self.x[:512]
        return self.fit(quantize_aware(self.copy(), **options))

    def fit(self, model):
        compile_classifier(model, LEARNING_RATE)
        x, y = self.x[self.order], self.y[self.order]
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
        return accuracy(model, self.split.x_test, self.split.y_test)

    def job(self, directory, arms):
        """A file with all the peer must know."""
        path = directory / f"{self.name}.npz"
        np.savez(
            path,
            name=self.name,
            x=self.x,
            y=self.y,
            x_test=self.split.x_test,
            y_test=self.split.y_test,
            order=self.order,
            architecture=self.architecture,
            num_weights=len(self.weights),
            arms=np.array(arms),
            integers=self.integers,
            learning_rate=LEARNING_RATE,
            batch=BATCH,
            **{f"weight{index}": array for index, array in enumerate(self.weights)},
        )
        return path


def _integer_bits(model, x):
    """For fixed-point activations: bits before the point that hold the outputs of each ReLU."""
    hidden = [layer.output for layer in model.layers if layer.weights][:-1]
    outputs = keras.Model(model.inputs, hidden).predict(x, verbose=0)
    return np.array([int(np.ceil(np.log2(max(float(out.max()), 1.0)))) for out in outputs])
