"""The race of weightings against uniform weights that MNIST and CIFAR share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from evidence.data import Split, take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, accuracy, compile_classifier, start
from keras_reweight.callbacks import Reweight
from keras_reweight.weightings import Extremes, LinUpper, Quadratic

WEIGHTINGS = {"LinUpper": LinUpper, "Quadratic": Quadratic, "Extremes": Extremes}
STEPS, LOSS, ACCURACY = "steps to target", "final validation loss", "test accuracy %"
TUNING_SEED = 1000


@dataclass(frozen=True)
class Race:
    """One data set, one model, and what is tried in tuning.

    `num_train` must be a multiple of `batch_size * evaluate_every`: Keras ends an epoch early where
    the data ends inside it.
    """

    build: Callable[[], keras.Model]
    num_train: int
    num_validation: int
    batch_size: int
    num_steps: int
    evaluate_every: int
    target_loss: float
    learning_rates: tuple[float, ...]
    temperatures: tuple[float, ...]

    def run(self, split: Split, seeds) -> Result:
        """Tune each arm with the same number of runs, then race on fresh seeds."""
        result = Result()
        learning_rate = min(
            self.learning_rates, key=lambda rate: self._tuning_loss(split, rate, None)
        )
        arms = {"uniform": None}
        for name, weighting in WEIGHTINGS.items():
            temperature = min(
                self.temperatures,
                key=lambda one: self._tuning_loss(split, learning_rate, weighting(one)),
            )
            arms[f"{name}({temperature})"] = weighting(temperature)
        for arm, weighting in arms.items():
            for seed in seeds:
                losses, right = self._train(split, seed, learning_rate, weighting, test=True)
                result.append(arm, STEPS, self._steps_to_target(losses))
                result.append(arm, LOSS, losses[-1])
                result.append(arm, ACCURACY, right)
        result.notes.append(
            f"Learning rate {learning_rate}, chosen for uniform weights among "
            f"{list(self.learning_rates)}; temperatures chosen among {list(self.temperatures)}. "
            f"A run that misses the target counts {self.num_steps} steps."
        )
        self._judge(result, lin_upper=list(arms)[1])
        return result

    def _judge(self, result, lin_upper):
        result.at_most(
            "LinUpper steps / uniform steps",
            result.center(lin_upper, STEPS) / result.center("uniform", STEPS),
            0.9,
        )
        result.at_least(
            "LinUpper test accuracy minus uniform, in points",
            result.center(lin_upper, ACCURACY) - result.center("uniform", ACCURACY),
            -0.5,
        )

    def _tuning_loss(self, split, learning_rate, weighting):
        """Mean validation loss over the whole run: falls early and ends low."""
        losses, _ = self._train(split, TUNING_SEED, learning_rate, weighting, test=False)
        return float(np.mean(losses))

    def _train(self, split, seed, learning_rate, weighting, *, test):
        start(seed)
        training, validation = take(split, seed, self.num_train, self.num_validation)
        model = compile_classifier(self.build(), learning_rate)
        callbacks = []
        if weighting is not None:
            callbacks.append(Reweight(weighting, warmup_steps=self.num_steps // 20))
        history = model.fit(
            *training,
            batch_size=self.batch_size,
            steps_per_epoch=self.evaluate_every,
            epochs=self.num_steps // self.evaluate_every,
            validation_data=validation,
            validation_batch_size=EVALUATION_BATCH,
            callbacks=callbacks,
            verbose=0,
        )
        right = accuracy(model, split.x_test, split.y_test) if test else float("nan")
        return history.history["val_loss"], right

    def _steps_to_target(self, losses):
        reached = np.flatnonzero(np.asarray(losses) <= self.target_loss)
        evaluations = reached[0] + 1 if len(reached) else len(losses)
        return evaluations * self.evaluate_every
