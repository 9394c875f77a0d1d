"""The interface of everything that turns the losses of a batch into weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.configured import Configured


class Weighting(Configured):
    """Base of weightings: a stateless, serializable callable from losses to weights.

    A subclass defines `weights(losses, valid, y_true, y_pred, step)` and states how its weights
    are normalized. The base class keeps masked and non-finite losses out of every minimum, maximum
    and softmax, gives them weight zero, computes in float32 and stops the gradient, because
    differentiating through weights made from the loss would train another objective.

    Args:
        losses: Float tensor of shape `(batch,)`, or `(batch, time)` for tokens, before reduction.
        y_true: Targets as the loss gets them, for weightings that read them. Defaults to `None`.
        y_pred: Predictions of shape `(batch, ...)`, for weightings that read them.
        mask: Boolean tensor of the shape of `losses`; `False` entries do not count.
        step: Scalar integer tensor, the training step, for scheduled arguments.

    Returns:
        Float32 tensor of the shape of `losses`: the weights as the method's paper defines them.

    Raises:
        ValueError: If an argument follows a schedule and `step` is `None`, or if the weighting
            reads `y_true` or `y_pred` and that is `None`.

    Example:

    ```python
    import numpy as np
    from keras import ops
    import keras_reweight as kr

    class Hardest(kr.weightings.Weighting):
        normalization = "mean_one"

        def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
            return losses / ops.maximum(ops.mean(losses), 1e-7)

    weights = Hardest()(np.array([1.0, 3.0], "float32"))
    ```

    Reference:
        None; the interface all weightings share.
    """

    #: `"sum_one"`, `"mean_one"` or `None` (raw): what the weights of a batch add up to.
    normalization: str | None = None
    #: Which of `"y_true"`, `"y_pred"` and `"step"` the weights cannot do without.
    reads: tuple[str, ...] = ()
    #: Whether gradients are kept from flowing through the weights.
    stop_gradient: bool = True
    #: Whether what it calls losses are numbers of steps of an attack.
    weighs_steps: bool = False

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        """Weights of finite `losses`; entries where `valid` is false are placeholders (zero)."""
        raise NotImplementedError(f"{type(self).__name__} must define weights(...).")

    def __call__(
        self,
        losses: Any,
        y_true: Any = None,
        y_pred: Any = None,
        mask: Any = None,
        step: Any = None,
    ):
        losses = ops.convert_to_tensor(losses)
        if keras.backend.standardize_dtype(losses.dtype) != "float64":
            losses = ops.cast(losses, "float32")
        if self.stop_gradient:
            losses = ops.stop_gradient(losses)
            y_pred = None if y_pred is None else ops.stop_gradient(ops.convert_to_tensor(y_pred))
        valid = ops.isfinite(losses)
        if mask is not None:
            valid = ops.logical_and(valid, ops.cast(ops.convert_to_tensor(mask), "bool"))
        zeros = ops.zeros_like(losses)
        for name, value in (("y_true", y_true), ("y_pred", y_pred)):
            if name in self.reads and value is None:
                raise ValueError(
                    f"{type(self).__name__} needs `{name}`, got None: call it with "
                    f"`{name}=`, or use it in `ReweightedLoss` or `Reweight`."
                )
        weights = self.weights(ops.where(valid, losses, zeros), valid, y_true, y_pred, step)
        if len(weights.shape) != len(losses.shape):
            raise ValueError(
                f"{type(self).__name__} gives weights of shape {tuple(weights.shape)} for "
                f"`losses` of shape {tuple(losses.shape)}. Labels of shape (batch, time) weight "
                "tokens: use `granularity='token'`."
            )
        return ops.where(valid, weights, zeros)

    def sample_weights(
        self,
        losses: Any,
        y_true: Any = None,
        y_pred: Any = None,
        mask: Any = None,
        step: Any = None,
    ):
        """Weights scaled for Keras, whose losses average over the batch.

        With the default reduction, `mean(sample_weights * losses)` is the method's own loss:
        weights that sum to one are multiplied by the number of unmasked entries.
        """
        weights = self(losses, y_true, y_pred, mask, step)
        if self.normalization != "sum_one":
            return weights
        count = ops.ones_like(weights) if mask is None else ops.cast(mask, weights.dtype)
        return weights * ops.sum(count)
