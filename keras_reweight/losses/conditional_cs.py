"""Cauchy-Schwarz divergence as a regression loss."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_choice
from keras_reweight.functional._gaussian_kernels import check_sigma
from keras_reweight.functional.cs_divergence import DENOMINATORS, cs_divergence
from keras_reweight.losses.batch_loss import BatchLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class ConditionalCSLoss(BatchLoss):
    """Regression loss that compares the predictions with the targets given the inputs.

    Use it in place of the squared error where some targets are far off: a residual of many `sigma`
    has no pull. Scale inputs and targets to unit size first. The loss is `kr.functional.
    cs_divergence(x, y, y_pred)`, which compares pairs of samples and needs the inputs `x`; they
    travel behind the targets: `y_true = np.concatenate([y, x], axis=1)` with `y` of shape
    `(batch, targets)` and any features `x` of shape `(batch, features)` by which samples are alike.
    Metrics of `compile` see those columns too.

    Args:
        sigma: Float > 0, width of the kernels, or `"median"`, the median distance between two
            samples of the batch. Defaults to `1.0`.
        denominators: `"paper"` or `"code"`, how the sums over neighbors are divided; see
            `kr.functional.cs_divergence`. Defaults to `"paper"`.
        reduction: As in `BatchLoss`. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"conditional_cs_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with targets and features of shape `(batch, targets + features)` and predictions of
        shape `(batch, targets)` (or `(batch,)`, one target): a float scalar. `sample_weight`
        weights the samples in every sum.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or, on a call, `y_true` holds no features.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", kr.losses.ConditionalCSLoss())
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model.fit(x, np.concatenate([y, x], axis=1), verbose=0)
    ```

    Reference:
        Yu et al., "Cauchy-Schwarz Divergence Information Bottleneck for Regression", ICLR 2024,
        arXiv 2404.17951.

    Deviations:
        Those of `kr.functional.cs_divergence`.

    Cost:
        Memory `batch^2 (features + 3 targets)`.
    """

    def __init__(
        self,
        sigma: float | str = 1.0,
        *,
        denominators: str = "paper",
        reduction: str | None = "sum_over_batch_size",
        name: str = "conditional_cs_loss",
        dtype=None,
    ):
        check_sigma(sigma)
        check_choice("denominators", denominators, DENOMINATORS)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.sigma = sigma
        self.denominators = denominators

    def batch_loss(self, y_true, y_pred, sample_weight):
        targets = y_pred.shape[-1] if len(y_pred.shape) > 1 else 1
        if len(y_true.shape) != 2 or y_true.shape[-1] is None or y_true.shape[-1] <= targets:
            raise ValueError(
                f"`y_true` must hold {targets} target(s) and then the features of each sample, "
                f"shape (batch, {targets} + features), got {tuple(y_true.shape)}."
            )
        value = cs_divergence(
            y_true[:, targets:],
            y_true[:, :targets],
            y_pred,
            sigma=self.sigma,
            denominators=self.denominators,
            sample_weight=sample_weight,
        )
        return ops.cast(value, sample_weight.dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "sigma": self.sigma,
            "denominators": self.denominators,
        }
