"""Steps towards what the minima of several micro-batches have in common."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree

from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.validation import check_boolean, check_integer, check_number
from keras_reweight.sharpness._global_norm import SMALLEST, global_norm


@keras.saving.register_keras_serializable(package="keras_reweight")
class Nexus(FunctionalStepModel):
    """Wraps a model and trains it with the way of a few normalized steps as its gradient.

    A batch is cut into `micro_batches` parts `L_k`, best one of each data source, in order. From
    the weights `w_0` the inner steps `w_k = w_(k-1) - inner_rate * g_k / |g_k|`, with `g_k` the
    gradient of `L_k` there, lead to `w_K`, and the optimizer gets `(w_0 - w_K) / (K * inner_rate)`
    at `w_0`. To first order in `inner_rate` that descends the mean of the normalized gradients and
    ascends the cosine similarities between them: the minima of the parts come closer. What the
    optimizer gets has no scale of the loss, and Adam needs none; with `rescale=True` it is
    multiplied by the mean of `|g_k|`, for SGD. Not for a single data source: no gain was seen there
    over plain training.

    Args:
        model: A built `keras.Model`.
        micro_batches: Integer >= 2, parts of a batch. Defaults to `4`.
        inner_rate: Float > 0, length of an inner step. Defaults to `0.01`.
        rescale: Boolean. Defaults to `False`.
        name: String. Defaults to `"nexus"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model` is no model, a number none or `rescale` not a boolean.
        ValueError: If `model` is not built or an argument out of range.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.sharpness.Nexus(model, micro_batches=2, inner_rate=0.05)
    trainer.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(x, y, verbose=0)
    ```

    Reference:
        Chen et al., "Nexus: Same Pretraining Loss, Better Downstream Generalization via Common
        Minima", arXiv 2604.09258; Chen et al., "Rethinking Model Ensemble in Transfer-based
        Adversarial Attacks", ICLR 2024, arXiv 2303.09105, whose code has the steps.

    Deviations:
        Reconstructed from the code of the second reference; that of the first is not published. The
        parts keep their order. A batch that cannot be cut evenly begins again for the last part.

    Cost:
        The passes of one plain step, one part after the other, and a copy of the weights.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        micro_batches: int = 4,
        inner_rate: float = 0.01,
        rescale: bool = False,
        name: str = "nexus",
        **kwargs: Any,
    ):
        check_integer("micro_batches", micro_batches, minimum=2)
        check_number("inner_rate", inner_rate, exclusive_minimum=0.0)
        check_boolean("rescale", rescale)
        super().__init__(model, name=name, **kwargs)
        self.micro_batches = micro_batches
        self.inner_rate = inner_rate
        self.rescale = rescale

    def neutral_step(self, x, y, sample_weight):
        count = ops.shape(tree.flatten(x)[0])[0]
        size = (count + self.micro_batches - 1) // self.micro_batches

        def objective(x, y, sample_weight):
            return self.compiled_loss(x, y, sample_weight)

        function = self.counted(objective)
        variables = self.trainable_variables
        values = [ops.convert_to_tensor(variable) for variable in variables]
        moved, loss, lengths = [ops.zeros_like(value) for value in values], 0.0, 0.0
        for part in range(self.micro_batches):
            rows = ops.mod(part * size + ops.arange(size, dtype="int32"), count)
            batch = _rows((x, y, sample_weight), rows)
            at = [value - step for value, step in zip(values, moved, strict=True)]
            value, gradients, updates = function.value_and_grad(*batch, values=at, commits=True)
            self.commit(updates)
            length = global_norm(gradients)
            factor = self.inner_rate / (length + SMALLEST)
            moved = [
                step + gradient * ops.cast(factor, gradient.dtype)
                for step, gradient in zip(moved, gradients, strict=True)
            ]
            loss, lengths = loss + value, lengths + length
        scale = 1.0 / (self.micro_batches * self.inner_rate)
        if self.rescale:
            scale = scale * lengths / self.micro_batches
        self.optimizer.apply([step * ops.cast(scale, step.dtype) for step in moved], variables)
        self._loss_tracker.update_state(loss / self.micro_batches, sample_weight=count)
        return self.get_metrics_result()

    def get_config(self) -> dict:
        own = ("micro_batches", "inner_rate", "rescale")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}


def _rows(structure, rows):
    return tree.map_structure(
        lambda leaf: None if leaf is None else ops.take(leaf, rows, axis=0), structure
    )
