"""Worst-case weights in a Kullback-Leibler ball, with a memory of earlier batches."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.weightings._apply import GRANULARITIES, loss_weights
from keras_reweight.weightings._masked import masked_range, num_valid
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class KLDROReweight(TrainingCallback):
    """`KLDRO` weights whose denominator is averaged over batches.

    Use it instead of `weightings.KLDRO` where batches are small: a softmax inside a small batch
    gives its largest loss a high weight even if that loss is low for the data set. Here a batch of
    easy samples gets small weights and one of hard samples large ones.

    `u = (1 - rate) u + rate * mean_i exp(loss_i / temperature)`, then
    `w_i = exp(loss_i / temperature) / u`, at most `max_weight`; the first batch sets `u`. Training
    follows the gradient of `temperature * log(E exp(loss / temperature))` by stochastic
    compositional optimization. Only `log u` is kept, which large losses cannot overflow. Each
    epoch's logs get `<name>_objective`, `temperature * log u`. Weights multiply the `sample_weight`
    of the step, which does not enter `u`; validation is never weighted.

    Args:
        temperature: Float > 0, the price of leaving uniform weights. It cannot follow a schedule,
            because `u` is in its scale. Defaults to `1.0`.
        rate: Float in (0, 1], share of the new batch in `u`; 1 keeps no memory. Defaults to `0.1`.
        max_weight: Float > 0, upper bound of the weights, or `None`. Defaults to `None`.
        granularity: `"sample"` weights whole samples by their mean loss, `"token"` each entry of
            `(batch, time)` losses. Defaults to `"sample"`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"kldro_reweight"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `get_state()` / `set_state()` carry `log_u`, minus
        infinity before the first batch.

    Raises:
        TypeError: If a number is of another type.
        ValueError: If an argument is out of its range; in `fit`, if the model has several losses or
            the loss gives no per-sample values.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    reweight = kr.callbacks.KLDROReweight(0.5, max_weight=10.0)
    model.fit(x, np.arange(32) % 3, batch_size=4, verbose=0, callbacks=[reweight])
    ```

    Reference:
        Sow et al., "Doubly Robust Instance-Reweighted Adversarial Training", ICLR 2024,
        arXiv 2308.00311 (compositional form); Wang, Fang and Liu, "Stochastic Compositional
        Gradient Descent", Mathematical Programming 2017, arXiv 1411.3803.

    Deviations:
        No attack, and no implicit gradient through one. `max_weight` is ours.

    Cost:
        A few operations on `(batch,)` values besides the loss itself.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        rate: float = 0.1,
        max_weight: float | None = None,
        granularity: str = "sample",
        name: str = "kldro_reweight",
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_number("rate", rate, exclusive_minimum=0.0, maximum=1.0)
        if max_weight is not None:
            check_number("max_weight", max_weight, exclusive_minimum=0.0)
        check_choice("granularity", granularity, GRANULARITIES)
        super().__init__(name=name)
        self.temperature = temperature
        self.rate = rate
        self.max_weight = max_weight
        self.granularity = granularity

    def state_spec(self):
        # The logarithm of an average over nothing.
        return {"step": np.zeros((), "int32"), "log_u": np.full((), -np.inf, "float32")}

    def weigh(self, call: LossCall):
        """Runs inside the compiled step."""
        if call.count != 1:
            raise ValueError(
                f"{self.name}: the model has {call.count} losses, but the average belongs to one; "
                "a model with one output is needed."
            )
        state = self.carrier
        tilt = _Tilt(self, state.value("log_u"))
        weights = loss_weights(
            tilt,
            call.losses,
            call.y_true,
            call.y_pred,
            mask=call.mask,
            granularity=self.granularity,
        )
        state["log_u"].assign(tilt.log_u)
        state["step"].assign(state.value("step") + 1)
        return weights

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        log_u = float(self.carrier.read()["log_u"])
        if logs is not None and np.isfinite(log_u):
            logs[f"{self.name}_objective"] = self.temperature * log_u

    def get_config(self) -> dict:
        return {
            "temperature": self.temperature,
            "rate": self.rate,
            "max_weight": self.max_weight,
            "granularity": self.granularity,
            "name": self.name,
        }


class _Tilt(Weighting):
    """The weights of one step; afterwards `log_u` is the average to keep."""

    def __init__(self, callback: KLDROReweight, log_u):
        self.callback = callback
        self.log_u = log_u

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        callback = self.callback
        scores = losses / callback.temperature
        _, top = masked_range(scores, valid)
        zeros = ops.zeros_like(scores)
        total = ops.sum(ops.where(valid, ops.exp(ops.where(valid, scores - top, zeros)), zeros))
        count = num_valid(valid, scores.dtype)
        any_valid = count > 0
        one = ops.ones_like(count)
        # The log of the mean over the batch; a batch without valid losses leaves `u` as it is.
        new = top + ops.log(ops.where(any_valid, total / ops.maximum(count, 1.0), one))
        first = self.log_u == -float("inf")
        old = ops.where(first, new, self.log_u)
        if callback.rate < 1.0:
            averaged = ops.logaddexp(
                old + float(np.log1p(-callback.rate)), new + float(np.log(callback.rate))
            )
            # The first batch twice would be itself but for rounding.
            new = ops.where(first, new, averaged)
        self.log_u = ops.where(any_valid, new, self.log_u)
        exponent = ops.where(valid, scores - new, zeros)
        if callback.max_weight is not None:
            exponent = ops.minimum(exponent, float(np.log(callback.max_weight)))
        return ops.where(valid, ops.exp(exponent), zeros)
