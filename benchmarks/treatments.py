"""What is measured: one model, trained plainly and with each method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_compress.callbacks import (
    KeepSparsity,
    MagnitudePruning,
    PQIndexMonitor,
    Pruning,
    SparseTraining,
    TempBalance,
)
from keras_compress.optimizers import ErrorCompensating
from keras_compress.pruning import Movement, NMPattern, UniformAllocation, prune_magnitude
from keras_compress.quantization import quantize_aware
from keras_reweight.callbacks import EL2NReweight, Reweight
from keras_reweight.data import enable_aux_targets, pack_targets
from keras_reweight.weightings import LinUpper

BATCH, INPUTS, CLASSES = 128, 784, 10
PLAIN = "plain fit"


@dataclass(frozen=True)
class Problem:
    """Random data and the size of the model that is trained on them."""

    steps_per_epoch: int
    hidden: tuple[int, ...] = (256, 128)

    @property
    def num_samples(self) -> int:
        return self.steps_per_epoch * BATCH

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.random((self.num_samples, INPUTS), dtype="float32")
        return x, rng.integers(0, CLASSES, self.num_samples).astype("int32")

    def model(self) -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((INPUTS,)),
                *[keras.layers.Dense(units, "relu") for units in self.hidden],
                keras.layers.Dense(CLASSES),
            ]
        )


@dataclass(frozen=True)
class ConvolutionProblem(Problem):
    """The same data as images, and a network of convolutions."""

    filters: tuple[int, ...] = (8, 16)

    def model(self) -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((INPUTS,)),
                keras.layers.Reshape((28, 28, 1)),
                *[
                    keras.layers.Conv2D(count, 3, strides=2, padding="same", activation="relu")
                    for count in self.filters
                ],
                keras.layers.Flatten(),
                keras.layers.Dense(CLASSES),
            ]
        )


@dataclass
class Training:
    """A compiled model and what `fit` gets."""

    model: keras.Model
    x: np.ndarray
    y: object
    callbacks: list

    def fit(self, epochs: int, *first: keras.callbacks.Callback) -> None:
        self.model.fit(
            self.x,
            self.y,
            batch_size=BATCH,
            epochs=epochs,
            callbacks=[*first, *self.callbacks],
            verbose=0,
        )


def _training(
    problem, *callbacks, change: Callable | None = None, with_ids=False, optimizer="adam"
) -> Training:
    keras.utils.set_random_seed(0)
    x, y = problem.data()
    model = problem.model()
    if change is not None:
        model = change(model, x)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if with_ids:
        enable_aux_targets(model)
        y = pack_targets(y, sample_id=np.arange(len(x)))
    return Training(model, x, y, list(callbacks))


def _quantized(**options):
    return lambda model, x: quantize_aware(model, weights=4, **options)


_QUANTIZED: dict[str, Callable[[Problem], Training]] = {
    "quantize_aware w4 LSQ": lambda problem: _training(problem, change=_quantized()),
    "quantize_aware w4 StatsQ": lambda problem: _training(
        problem, change=_quantized(method="stats")
    ),
    "quantize_aware w4a8 LSQ": lambda problem: _training(
        problem,
        change=lambda model, x: quantize_aware(
            model, weights=4, activations=8, calibration_data=x[:BATCH]
        ),
    ),
}


def _compensating(**options):
    return ErrorCompensating(keras.optimizers.Adam(), 4, **options)


QUANTIZATION: dict[str, Callable[[Problem], Training]] = {
    PLAIN: _training,
    **_QUANTIZED,
    "ErrorCompensating": lambda problem: _training(problem, optimizer=_compensating()),
    "ErrorCompensating, at random": lambda problem: _training(
        problem, optimizer=_compensating(stochastic=True)
    ),
}

# One-shot at the first step: all later steps lie between mask updates.
TREATMENTS: dict[str, Callable[[Problem], Training]] = {
    PLAIN: _training,
    "Reweight": lambda problem: _training(problem, Reweight(LinUpper(0.4))),
    "EL2NReweight": lambda problem: _training(
        problem,
        EL2NReweight(problem.num_samples, drop_hardest=0.2, from_logits=True),
        with_ids=True,
    ),
    "MagnitudePruning": lambda problem: _training(problem, MagnitudePruning(0.9)),
    **_QUANTIZED,
}


def _pruned(model, x):
    prune_magnitude(model, 0.9)
    return model


#: Updates that never come while it is measured.
_NEVER = 10**6

# Between two updates of masks or factors; the first ones come before the epochs that count.
PRUNING: dict[str, Callable[[Problem], Training]] = {
    PLAIN: _training,
    "MagnitudePruning": lambda problem: _training(problem, MagnitudePruning(0.9)),
    "Pruning, 2 of 4": lambda problem: _training(
        problem, Pruning(0.5, pattern=NMPattern(2, 4), allocation=UniformAllocation())
    ),
    "Pruning, movement": lambda problem: _training(
        problem,
        Pruning(0.9, criterion=Movement(), allocation=UniformAllocation(), begin_step=_NEVER),
    ),
    "KeepSparsity": lambda problem: _training(problem, KeepSparsity(), change=_pruned),
    "SparseTraining, SET": lambda problem: _training(
        problem, SparseTraining(0.9, frequency=_NEVER)
    ),
    "SparseTraining, RigL": lambda problem: _training(
        problem, SparseTraining(0.9, method="rigl", frequency=_NEVER)
    ),
    "TempBalance": lambda problem: _training(problem, TempBalance(every=_NEVER, skip_ends=False)),
    "PQIndexMonitor": lambda problem: _training(problem, PQIndexMonitor()),
}
