"""Worst-case weights in a Kullback-Leibler ball."""

from __future__ import annotations

import keras

from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.weightings._masked import masked_softmax
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class KLDRO(Weighting):
    """Softmax of the losses: the worst case near uniform weights, by KL divergence.

    Use it against subpopulations that are learned badly when no group labels exist; not where
    labels are noisy, because mislabeled samples have the highest losses.

    The weights solve `max_w sum_i w_i loss_i - temperature * KL(w || uniform)` over the simplex:
    `w_i = exp(loss_i / temperature) / sum_j exp(loss_j / temperature)`, which sum to one. Training
    with them follows the gradient of `temperature * log(mean(exp(loss / temperature)))`. A
    temperature near zero trains on the largest loss, a large one on the mean. Small batches make
    the softmax biased: `callbacks.KLDROReweight` averages its denominator over batches.

    Args:
        temperature: Float > 0, schedule or callable of the step, the price of leaving uniform
            weights. Defaults to `1.0`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, sum one.

    Raises:
        TypeError: If `temperature` is neither a number nor a callable.
        ValueError: If `temperature <= 0`; on a call, if it follows a schedule and no `step` is
            given.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.KLDRO(0.5)(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"))
    ```

    Reference:
        Sow et al., "Doubly Robust Instance-Reweighted Adversarial Training", ICLR 2024,
        arXiv 2308.00311 (closed form of the weights; the attack is not part of this class).

    Cost:
        One softmax over `(batch,)` values; no extra passes, no state.
    """

    normalization = "sum_one"

    def __init__(self, temperature: ScheduleLike = 1.0):
        check_schedule_like("temperature", temperature, exclusive_minimum=0.0)
        self.temperature = temperature

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        temperature = scheduled_value("temperature", self.temperature, step, losses)
        return masked_softmax(losses, valid, temperature)

    def get_config(self) -> dict:
        return {"temperature": serialize_schedule(self.temperature)}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "temperature": deserialize_schedule(config["temperature"])})
