"""Weights from a network that learns, on noisy data alone, which losses to believe."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.gradients import commit_updates
from keras_reweight.core.sample_weights import times, weight_per_sample
from keras_reweight.core.validation import check_boolean, check_choice, check_integer, check_number
from keras_reweight.functional._group_statistics import sample_statistics
from keras_reweight.meta._adam import adam_step, store_moments
from keras_reweight.meta._batches import number_of_samples, part
from keras_reweight.meta._predictions import check_outputs, labels_and_probabilities
from keras_reweight.meta._rescaler import LossRescaler
from keras_reweight.meta._window import Window, advanced_window, window_features


@keras.saving.register_keras_serializable(package="keras_reweight")
class STORM(FunctionalStepModel):
    """Meta loss rescaling: a small network weights every loss, and learns it without clean data.

    For classification with wrong labels where nobody knows a clean subset, and for finding the
    wrong labels (`sample_weights`). Better accuracy is no promise; for that alone try a robust loss
    first. The model needs Dropout: without it losses have no spread, and there is less to tell.

    Each sample passes `1 + num_passes` times with Dropout. From 19 statistics of its losses and
    confidences, relative to other samples (`kr.functional.loss_statistics`), the rescaler `w`
    makes a weight in `(0, 1)`. It learns by looking one step ahead, on two halves of a batch:

    `theta' = theta - step(grad mean_i w_i l_i(theta))` over the first half,
    `L_meta = mean_j w_j l_j(theta')` over the second, statistics taken at `theta'`.

    `L_meta` is differentiated with respect to the rescaler exactly, through `theta'` and through
    `w_j`; as `d L_meta / d w_i` is `<grad l_i(theta), D grad L_meta(theta')>` up to a factor, with
    the derivative `D` of the step, this takes one forward-mode pass and no second-order one. Then
    the compiled optimizer takes its step on the mean of `w_i l_i` over the batch, with
    regularization losses. `sample_weight` multiplies the losses in all of these.

    `compile` takes two more arguments: `inner_optimizer`, `"sgd"` or `"adam"`, is the step of the
    look-ahead, and `inner_learning_rate` its size, by default that of the optimizer.

    Args:
        model: A built `keras.Model` with one output of class scores `(batch, num_classes)`, or of
            one score `(batch, 1)` for two classes; it is what is trained.
        num_classes: Integer, number of classes, at least 2.
        num_passes: Integer, further passes with Dropout for the statistics. Defaults to `2`.
        rescaler_learning_rate: Float, step size of Adam for the rescaler. Defaults to `0.01`.
        window: Integer, how many of the latest samples a sample is compared with; those of its own
            half of the batch always count. Defaults to `32`.
        per_class: Bool, whether each label has a rescaler and a window of its own. For batches that
            hold many samples of each. Defaults to `False`.
        rescale_meta_loss: Bool, whether the losses in `L_meta` are weighted, too. Without it the
            wrong labels of the second half teach what they teach. Defaults to `True`.
        name: String, name of the model. Defaults to `"storm"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model` is no model or an argument of the wrong type.
        ValueError: If `model` is not built, has another number of outputs or classes, an argument
            is out of range, or in `fit`: `sample_weight` is not one per sample.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.3), keras.layers.Dense(2)]
    storm = kr.meta.STORM(keras.Sequential([keras.Input((4,)), *layers]), 2)
    storm.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    storm.fit(x, y, verbose=0)
    suspicious = storm.sample_weights(x, y) < 0.5
    ```

    Reference:
        Heck et al., "Learning from Noisy Labels via Self-Taught On-the-Fly Meta Loss Rescaling",
        AAAI 2025, arXiv 2412.12955; details of the statistics and of the rescaler as in its code,
        read in a fork (stylcreed1/STORM-NER-Thesis).

    Deviations:
        The paper sets `theta` to `theta'`; its code and this class train with the optimizer
        instead. The meta batch is the second half of the batch, not a second draw from the training
        set; both halves train. The code divides weighted losses by their sum with the gradient
        kept, by which the weights cancel: left out. Its look-ahead is a first Adam step, whose
        derivative almost vanishes; `"adam"` keeps its moments here. `window` counts samples, not
        batches, and outlives the epoch. A shared rescaler and window are its `no_class_separation`.

    Cost:
        About `num_passes + 5` forward and 3 backward passes, 4 to 6 times a plain step.
    """

    def __init__(
        self,
        model: keras.Model,
        num_classes: int,
        *,
        num_passes: int = 2,
        rescaler_learning_rate: float = 1e-2,
        window: int = 32,
        per_class: bool = False,
        rescale_meta_loss: bool = True,
        name: str = "storm",
        **kwargs: Any,
    ):
        check_integer("num_classes", num_classes, minimum=2)
        check_integer("num_passes", num_passes, minimum=0)
        check_number("rescaler_learning_rate", rescaler_learning_rate, exclusive_minimum=0.0)
        check_integer("window", window, minimum=1)
        check_boolean("per_class", per_class)
        check_boolean("rescale_meta_loss", rescale_meta_loss)
        super().__init__(model, name=name, **kwargs)
        check_outputs(model, num_classes)
        self.num_classes = num_classes
        self.num_passes = num_passes
        self.rescaler_learning_rate = rescaler_learning_rate
        self.window = window
        self.per_class = per_class
        self.rescale_meta_loss = rescale_meta_loss
        self.rescaler = LossRescaler(num_classes if per_class else 1)

    def build(self, input_shape=None):
        self.rescaler.build()
        self._steps = self.state_weight("steps", ())
        self._train_window = self._new_window("train_window")
        self._meta_window = self._new_window("meta_window")
        self._moments = self._new_moments(self.rescaler.learned, "rescaler")

    def _new_window(self, name):
        shape = (self.num_classes if self.per_class else 1, self.window)
        return Window(
            self.state_weight(f"{name}_values", (*shape, 4)),
            self.state_weight(f"{name}_agreement", shape),
            self.state_weight(f"{name}_present", shape),
        )

    def _new_moments(self, variables, name):
        return [
            [self.state_weight(f"{name}_{m}_{i}", v.shape) for i, v in enumerate(variables)]
            for m in ("first", "second")
        ]

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        *,
        inner_optimizer: str = "sgd",
        inner_learning_rate: float | None = None,
        **kwargs,
    ):
        check_choice("inner_optimizer", inner_optimizer, ["sgd", "adam"])
        if inner_learning_rate is not None:
            check_number("inner_learning_rate", inner_learning_rate, minimum=0.0)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self._inner = {
            "inner_optimizer": inner_optimizer,
            "inner_learning_rate": inner_learning_rate,
        }
        if inner_optimizer == "adam" and not hasattr(self, "_inner_moments"):
            self._inner_moments = self._new_moments(self.trainable_variables, "inner")

    def get_compile_config(self) -> dict:
        config = super().get_compile_config()
        return {**config, **self._inner} if config else config

    def neutral_step(self, x, y, sample_weight):
        given = weight_per_sample(sample_weight, type(self).__name__)
        count = number_of_samples(x)
        half = count // 2
        # An odd batch has its middle sample in both halves, and a batch of one its only one.
        (bx, by, b_given), (vx, vy, v_given) = (
            part((x, y, given), *rows) for rows in ((None, count - half), (half, None))
        )
        self._steps.assign(self._steps + 1.0)
        objective = self.batch_objective(training=True)
        passes = self.step_function(self._passes)
        samples = self.step_function(objective.samples)

        _, b_features, b_labels = self._observe(self._train_window, passes.value(bx, by))
        b_weights = self._rescale(b_features, b_labels)
        weighted = self.step_function(lambda x, y, w: ops.mean(w * objective.samples(x, y)))
        _, gradient, _ = weighted.value_and_grad(bx, by, times(b_weights, b_given))
        ahead, slopes = self._look_ahead(gradient)

        found = passes.value(vx, vy, values=ahead)
        v_losses, v_features, v_labels = self._observe(self._meta_window, found)
        v_weights = self._rescale(v_features, v_labels)
        counted = v_weights if self.rescale_meta_loss else ops.ones_like(v_weights)
        _, meta_gradient, _ = weighted.value_and_grad(vx, vy, times(counted, v_given), values=ahead)
        direction = [s * g for s, g in zip(slopes, meta_gradient, strict=True)]
        through = -times(samples.jvp(direction, bx, by), b_given)
        direct = times(v_losses, v_given) * float(self.rescale_meta_loss)
        self._learn(b_features, b_labels, through, v_features, v_labels, direct)

        weights = ops.concatenate([b_weights, v_weights[count - 2 * half :]])
        weights = times(weights, given) / ops.cast(count, "float32")
        return self.train_weighted(x, y, weights, sample_weight)

    def _passes(self, x, y):
        """Losses, probabilities and labels with leading axes `(passes, batch)`."""
        found = [self.losses_and_outputs(x, y) for _ in range(1 + self.num_passes)]
        losses = [ops.cast(one, "float32") for one, _, _ in found]
        scores = [y_pred for _, y_pred, _ in found]
        labels, probabilities = labels_and_probabilities(self.loss, y, ops.stack(scores))
        return ops.stack(losses), probabilities, labels

    def _observe(self, window, found, *, store=True):
        """Losses of the first pass, features, and the heads of the rescaler to ask."""
        losses, probabilities, labels = found
        sample = sample_statistics(losses, probabilities, labels)
        rows = labels if self.per_class else ops.zeros_like(labels)
        features = window_features(window, sample, rows)
        if store:
            for variable, value in zip(window, advanced_window(window, sample, rows), strict=True):
                variable.assign(value)
        return losses[0], features, rows

    def _rescale(self, features, rows):
        return self.step_function(lambda f, r: self.rescaler(f, r, training=True)).value(
            features, rows
        )

    def _look_ahead(self, gradient):
        """The weights one step ahead, and the derivative of the step by the gradient."""
        rate = self._inner["inner_learning_rate"]
        rate = ops.cast(self.optimizer.learning_rate if rate is None else rate, "float32")
        if self._inner["inner_optimizer"] == "adam":
            step = adam_step(gradient, *self._inner_moments, self._steps, rate)
            updates, slopes = step.updates, step.slopes
            store_moments(self._inner_moments, step)
        else:
            updates, slopes = [rate * g for g in gradient], [rate] * len(gradient)
        variables = self.trainable_variables
        ahead = [ops.convert_to_tensor(v) - u for v, u in zip(variables, updates, strict=True)]
        return ahead, slopes

    def _learn(self, b_features, b_rows, through, v_features, v_rows, direct):
        """A step of Adam on the weights of the rescaler, whose outputs have these slopes."""

        def linearized(b_features, b_rows, through, v_features, v_rows, direct):
            first = ops.mean(through * self.rescaler(b_features, b_rows, training=True))
            return first + ops.mean(direct * self.rescaler(v_features, v_rows, training=True))

        function = self.step_function(linearized, self.rescaler.moving, of=self.rescaler.learned)
        _, gradients, updates = function.value_and_grad(
            b_features, b_rows, through, v_features, v_rows, direct
        )
        commit_updates(updates)
        step = adam_step(gradients, *self._moments, self._steps, self.rescaler_learning_rate)
        store_moments(self._moments, step)
        for variable, update in zip(self.rescaler.learned, step.updates, strict=True):
            variable.assign_sub(update)

    def sample_weights(self, x: Any, y: Any, *, batch_size: int = 32) -> np.ndarray:
        """The weight of each sample now: small for those whose label looks wrong.

        With Dropout as in training, the window of the last batches and the moving statistics of
        the rescaler; nothing is written, and a second call gives the same.

        Args:
            x: Inputs as for `fit`, arrays of shape `(num_samples, ...)`.
            y: Their labels.
            batch_size: Integer, samples compared with each other; best as in training. Defaults to
                `32`.

        Returns:
            Float32 array of shape `(num_samples,)` with values in `(0, 1)`.
        """
        if not self.built:
            raise ValueError(f"{type(self).__name__}: compile and fit the model before.")
        parts = []
        for batch_x, batch_y, _ in iterate_batches((x, y), batch_size):
            parts.append(self.outside_step(self._weights, batch_x, batch_y))
        return np.concatenate([ops.convert_to_numpy(weights) for weights in parts])

    def _weights(self, x, y):
        _, features, rows = self._observe(self._train_window, self._passes(x, y), store=False)
        return self.rescaler(features, rows, training=False)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "num_passes": self.num_passes,
            "rescaler_learning_rate": self.rescaler_learning_rate,
            "window": self.window,
            "per_class": self.per_class,
            "rescale_meta_loss": self.rescale_meta_loss,
        }
