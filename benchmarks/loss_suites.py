"""Losses and weightings against the plain loss of the same task: what is measured, by task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import keras_reweight as kr

BATCH, INPUTS, CLASSES, LENGTH = 128, 784, 10, 16


@dataclass(frozen=True)
class Arm:
    """A loss and the callbacks it comes with; both are made anew for every training."""

    loss: Callable[[], Any]
    callbacks: Callable[[], list] = list
    optimizer: Callable[[], Any] = keras.optimizers.Adam


@dataclass(frozen=True)
class Suite:
    """One task: data, the size of the model's output, and arms, the plain one first."""

    head: tuple[int, ...]
    targets: Callable[[np.random.Generator, int], np.ndarray]
    arms: Mapping[str, Arm]
    unit_norm: bool = False

    @property
    def plain(self) -> str:
        return next(iter(self.arms))

    def training(self, name: str, steps_per_epoch: int) -> Callable[..., None]:
        """A function of `(epochs, *first_callbacks)` that trains one arm."""
        keras.utils.set_random_seed(0)
        generator = np.random.default_rng(0)
        count = BATCH * steps_per_epoch
        x = generator.random((count, INPUTS), dtype="float32")
        y = self.targets(generator, count)
        arm = self.arms[name]
        model = self._model()
        model.compile(arm.optimizer(), arm.loss())

        def fit(epochs, *first):
            model.fit(
                x,
                y,
                batch_size=BATCH,
                epochs=epochs,
                shuffle=False,
                callbacks=[*first, *arm.callbacks()],
                verbose=0,
            )

        return fit

    def _model(self):
        layers = [keras.Input((INPUTS,))]
        layers += [keras.layers.Dense(units, "relu") for units in (256, 128)]
        layers.append(keras.layers.Dense(int(np.prod(self.head))))
        if len(self.head) > 1:
            layers.append(keras.layers.Reshape(self.head))
        if self.unit_norm:
            layers.append(keras.layers.UnitNormalization())
        return keras.Sequential(layers)


def _class_ids(generator, count):
    return generator.integers(0, CLASSES, count).astype("int32")


def _zeros_and_ones(generator, count):
    return (generator.random(count) < 0.3).astype("int32")


def _tokens(generator, count):
    return generator.integers(0, CLASSES, (count, LENGTH)).astype("int32")


def _cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


_COUNTS = [1000, 600, 360, 215, 130, 77, 46, 28, 17, 10]


def _weighted(make, granularity="sample"):
    return Arm(lambda: kr.losses.ReweightedLoss(_cross_entropy(), make(), granularity=granularity))


def _stateful(make):
    return Arm(make, lambda: [kr.callbacks.LossState()])


def suites() -> dict[str, Suite]:
    """All tasks."""
    return {
        "classification": Suite((CLASSES,), _class_ids, _classification()),
        "two classes": Suite((1,), _zeros_and_ones, _two_classes()),
        "embeddings": Suite((32,), _class_ids, _embeddings(), unit_norm=True),
        "tokens": Suite((LENGTH, CLASSES), _tokens, _of_tokens()),
    }


def _classification():
    weightings, losses = kr.weightings, kr.losses
    return {
        "cross-entropy": Arm(_cross_entropy),
        "LinUpper": _weighted(lambda: weightings.LinUpper(0.4)),
        "KLDRO": _weighted(lambda: weightings.KLDRO(1.0)),
        "CVaR": _weighted(lambda: weightings.CVaR(0.3)),
        "ChiSquareDRO": _weighted(lambda: weightings.ChiSquareDRO(1.0)),
        "ClassBalanced": _weighted(lambda: weightings.ClassBalanced(_COUNTS)),
        "Focal": _weighted(lambda: weightings.Focal(2.0, from_logits=True)),
        "CompSumLoss": Arm(lambda: losses.CompSumLoss(1.7, from_logits=True)),
        "LDAMLoss": Arm(lambda: losses.LDAMLoss(_COUNTS)),
        "BalancedSoftmaxLoss": Arm(lambda: losses.BalancedSoftmaxLoss(_COUNTS)),
        "SeesawLoss": _stateful(lambda: losses.SeesawLoss(num_classes=CLASSES)),
        "LADELoss": Arm(lambda: losses.LADELoss(_COUNTS)),
        "StableMaxCrossentropy": Arm(losses.StableMaxCrossentropy),
    }


def _two_classes():
    losses = kr.losses
    return {
        "binary cross-entropy": Arm(lambda: keras.losses.BinaryCrossentropy(from_logits=True)),
        "AUCMarginLoss": Arm(lambda: losses.AUCMarginLoss(from_logits=True)),
        "AnyLoss f1": Arm(lambda: losses.AnyLoss("f1", from_logits=True)),
        "EnsLoss": _stateful(losses.EnsLoss),
    }


def _embeddings():
    losses = kr.losses
    return {
        "Circle (Keras)": Arm(keras.losses.Circle),
        "MultiSimilarityLoss": Arm(losses.MultiSimilarityLoss),
        "ContrastiveLoss": Arm(losses.ContrastiveLoss),
        "TripletLoss": Arm(losses.TripletLoss),
        "NPairLoss": Arm(losses.NPairLoss),
    }


def _of_tokens():
    weightings = kr.weightings
    return {
        "cross-entropy": Arm(_cross_entropy),
        "LinUpper, sequences": _weighted(lambda: weightings.LinUpper(0.4)),
        "LinUpper, tokens": _weighted(lambda: weightings.LinUpper(0.4), "token"),
        "SatImp": _weighted(lambda: weightings.SatImp(), "token"),
    }
