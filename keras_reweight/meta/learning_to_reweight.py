"""Weights that are learned from a small clean set, anew in every step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.gradients import jvp, value_and_grad
from keras_reweight.core.sample_weights import weight_per_sample
from keras_reweight.core.validation import check_integer
from keras_reweight.meta._batches import in_memory


@keras.saving.register_keras_serializable(package="keras_reweight")
class LearningToReweight(FunctionalStepModel):
    """Weights every sample by how much a step on it helps on a small clean set.

    For wrong labels or unequal classes, if there are a few samples that are right and balanced:
    some dozens to a thousand. In each step the weights are made from nothing,
    `w_i = max(0, -d L_meta(theta - lr * grad sum_j eps_j l_j) / d eps_i)` at `eps = 0`, divided by
    their sum. There the look-ahead point is `theta` itself, so this is
    `max(0, <grad l_i(theta), grad L_meta(theta)>)`, divided by the sum: one gradient of the clean
    batch and one forward-mode derivative of the losses, nothing of second order. (From any other
    start, say `eps = 1 / n`, the clean gradient belongs to another point.) Then the compiled
    optimizer takes its step on `sum_i w_i l_i` and the regularization losses.

    `sample_weight` and `class_weight` multiply the weights before the division. If no sample helps,
    all weights are zero. BatchNormalization and Dropout are in training mode in all three passes,
    each batch with statistics of its own; moving averages follow the last pass alone.

    Not for a clean set that the model has learned by heart: its gradient vanishes, and the weights
    become noise. `evaluate` and `predict` are those of the wrapped model.

    Args:
        model: A built `keras.Model`; it is what is trained.
        meta_data: The clean samples: a tuple `(x, y)` of arrays of shape `(num_samples, ...)` and
            any dtype, or a data set of such batches; all of it is held in memory. Not part of the
            config: set the attribute `meta_data` again after loading. Defaults to `None`.
        meta_batch_size: Integer, clean samples drawn for a step, without replacement, or `None` for
            all. Defaults to `None`.
        seed: Integer, seed of the draw, or `None`. Defaults to `None`.
        name: String, name of the model. Defaults to `"learning_to_reweight"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model` is no model, `meta_data` no data or `meta_batch_size` or `seed` no
            integer.
        ValueError: If `model` is not built, `meta_batch_size` is too small or larger than the clean
            set, or in `fit`: there is no `meta_data`, or `sample_weight` is not one per sample.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 3
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    wrapper = kr.meta.LearningToReweight(model, (x[:6], y[:6]))
    wrapper.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    wrapper.fit(x, y, verbose=0)
    helpful = wrapper.sample_weights(x, y)
    ```

    Reference:
        Ren, Zeng, Yang and Urtasun, "Learning to Reweight Examples for Robust Deep Learning", ICML
        2018, arXiv 1803.09050, equations 6 to 9 and algorithm 1; official code
        uber-research/learning-to-reweight-examples.

    Deviations:
        The clean loss is without regularization losses; the official CIFAR code adds its weight
        decay there. The step size of the look-ahead cancels in the division, so there is none.

    Cost:
        A forward and a backward pass for the clean batch, about two to three forward passes for
        the weights, and the usual step: about twice a plain step if the batches are of one size.
    """

    def __init__(
        self,
        model: keras.Model,
        meta_data: Any = None,
        *,
        meta_batch_size: int | None = None,
        seed: int | None = None,
        name: str = "learning_to_reweight",
        **kwargs: Any,
    ):
        if meta_batch_size is not None:
            check_integer("meta_batch_size", meta_batch_size, minimum=1)
        if seed is not None:
            check_integer("seed", seed, minimum=0)
        clean = None if meta_data is None else in_memory(meta_data, "meta_data")
        _check_size(clean, meta_batch_size)
        super().__init__(model, name=name, **kwargs)
        self.meta_batch_size = meta_batch_size
        self.seed = seed
        self._hold(meta_data, clean)

    def _hold(self, given, clean):
        # Past the attribute trackers, which would wrap the arrays' containers.
        object.__setattr__(self, "_given_meta_data", given)
        object.__setattr__(self, "_clean", clean)

    @property
    def meta_data(self) -> Any:
        """The clean samples as they were given."""
        return self._given_meta_data

    @meta_data.setter
    def meta_data(self, value: Any) -> None:
        clean = None if value is None else in_memory(value, "meta_data")
        _check_size(clean, self.meta_batch_size)
        self._hold(value, clean)
        self.rebuild_steps()

    def build(self, input_shape=None):
        if self.meta_batch_size is not None:
            self._generator = keras.random.SeedGenerator(self.seed)

    def check_ready(self):
        self._clean_set()

    def neutral_step(self, x, y, sample_weight):
        clean_x, clean_y = self._clean_batch()
        given = weight_per_sample(sample_weight, type(self).__name__)
        objective = self.batch_objective(training=True)
        _, direction, _ = self.step_function(objective.batch).value_and_grad(clean_x, clean_y)
        alignment = self.step_function(objective.samples).jvp(direction, x, y)
        weights = ops.maximum(ops.cast(alignment, "float32"), 0.0)
        weights = weights if given is None else weights * given
        weights = ops.divide_no_nan(weights, ops.sum(weights))
        return self.train_weighted(x, y, weights, sample_weight)

    def _clean_batch(self):
        clean = keras.tree.map_structure(ops.convert_to_tensor, self._clean_set())
        if self.meta_batch_size is None:
            return clean
        order = keras.random.shuffle(ops.arange(_length(clean)), seed=self._generator)
        rows = order[: self.meta_batch_size]
        return keras.tree.map_structure(lambda leaf: ops.take(leaf, rows, axis=0), clean)

    def _clean_set(self):
        if self._clean is None:
            raise ValueError(
                f"{type(self).__name__}: `meta_data` is None. Set the attribute `meta_data` to the "
                "clean samples (x, y)."
            )
        return self._clean

    def sample_weights(self, x: Any, y: Any, *, batch_size: int = 32) -> np.ndarray:
        """How much each sample helps on the whole clean set now: weights before the division.

        In inference mode, so that they do not depend on how samples share batches. Summed over the
        epochs they tell wrong labels from right ones.

        Args:
            x: Inputs as for `fit`, arrays of shape `(num_samples, ...)`.
            y: Their labels.
            batch_size: Integer, samples worked on together. Defaults to `32`.

        Returns:
            Float array of shape `(num_samples,)`, not negative.
        """
        clean_x, clean_y = self._clean_set()
        _, direction, _ = value_and_grad(self, clean_x, clean_y)
        _, alignment = jvp(self, x, y, direction, batch_size=batch_size)
        return np.maximum(ops.convert_to_numpy(alignment), 0.0)

    def get_config(self) -> dict:
        own = {"meta_data": None, "meta_batch_size": self.meta_batch_size, "seed": self.seed}
        return {**super().get_config(), **own}


def _length(clean):
    return int(keras.tree.flatten(clean)[0].shape[0])


def _check_size(clean, meta_batch_size):
    if clean is not None and meta_batch_size is not None and meta_batch_size > _length(clean):
        raise ValueError(
            f"`meta_batch_size` must be at most the number of clean samples, {_length(clean)}, got "
            f"{meta_batch_size}."
        )
