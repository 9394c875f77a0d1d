"""Deferred re-weighting: plain training first, weights later."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.weightings._apply import check_weighting_arguments, loss_weights
from keras_reweight.weightings.class_balanced import ClassBalanced
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class DeferredReweighting(TrainingCallback):
    """Trains without weights up to an epoch and with a weighting from then on.

    Use it for long-tailed classes: weights from the start make poor features, weights late in the
    training, best when the learning rate has just been lowered, repair the classifier. The compiled
    losses stay as they are; the weights multiply `class_weight` and `sample_weight`. Validation and
    `evaluate` are never weighted. The switch is a value in the compiled step, so nothing is
    compiled anew. Each epoch's logs get `<name>_active`, 1 for an epoch with weights, else 0. For
    a warm-up counted in steps, or weights from the start, use `Reweight`.

    Args:
        weighting: A `Weighting`, or a list of samples per class, which stands for
            `ClassBalanced(weighting, beta=0.9999, normalization="mean_one")`.
        start: First epoch with weights, counted from 0, as an integer >= 0, or as a float in
            `[0, 1]`, the share of the `epochs` of `fit` that come before. Defaults to `0.8`.
        granularity: `"sample"` weights whole samples, `"token"` each entry of `(batch, time)`
            losses. Defaults to `"sample"`.
        token_weighted: Boolean, whether long samples count more at sample granularity. Defaults to
            `False`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"deferred_reweighting"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `get_state()` / `set_state()` carry the step count.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range; in `fit`, if the loss gives no per-sample
            values or the targets do not fit the weighting.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    model = keras.Sequential([keras.Input((4,)), kr.layers.NormedDense(3)])
    counts = kr.data.class_counts(y)
    model.compile("adam", kr.losses.LDAMLoss(counts))
    deferred = kr.callbacks.DeferredReweighting(counts, start=0.5)
    model.fit(np.ones((8, 4)), y, epochs=2, verbose=0, callbacks=[deferred])
    ```

    Reference:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        NeurIPS 2019, arXiv 1906.07413, section 3.3 and algorithm 1.

    Deviations:
        The official code starts at epoch 160 of 200 and fails from epoch 320 on; the learning rate
        is left to a schedule of Keras.

    Cost:
        A few operations on `(batch,)` values in every step.
    """

    def __init__(
        self,
        weighting: Weighting | Sequence[float],
        *,
        start: int | float = 0.8,
        granularity: str = "sample",
        token_weighted: bool = False,
        name: str | None = None,
    ):
        _check_start(start)
        check_weighting_arguments(_as_weighting(weighting), granularity, token_weighted)
        super().__init__(name=name)
        self.weighting = weighting
        self.start = start
        self.granularity = granularity
        self.token_weighted = token_weighted

    def state_spec(self):
        return {"step": np.zeros((), "int32"), "active": np.zeros((), "float32")}

    def weigh(self, call: LossCall):
        """Runs inside the compiled step, once for each compiled loss."""
        state = self.carrier
        step = state.value("step")
        weights = loss_weights(
            _as_weighting(self.weighting),
            call.losses,
            call.y_true,
            call.y_pred,
            mask=call.mask,
            step=step,
            granularity=self.granularity,
            token_weighted=self.token_weighted,
        )
        if call.index == call.count - 1:
            state["step"].assign(step + 1)
        return ops.where(state.value("active") > 0, weights, ops.ones_like(weights))

    def start_epoch(self) -> int:
        """First epoch with weights, counted from 0; a share needs a running `fit`."""
        if isinstance(self.start, (float, np.floating)):
            return round(self.start * self.params["epochs"])
        return int(self.start)

    def on_epoch_begin(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        self.carrier.write({"active": np.asarray(epoch >= self.start_epoch(), "float32")})

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs[f"{self.name}_active"] = float(epoch >= self.start_epoch())

    def get_config(self) -> dict:
        weighting = self.weighting
        if isinstance(weighting, Weighting):
            weighting = keras.saving.serialize_keras_object(weighting)
        else:
            weighting = np.asarray(weighting).tolist()
        return {
            "weighting": weighting,
            "start": self.start,
            "granularity": self.granularity,
            "token_weighted": self.token_weighted,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict):
        weighting = config["weighting"]
        if isinstance(weighting, dict):
            weighting = keras.saving.deserialize_keras_object(weighting)
        return cls(**{**config, "weighting": weighting})


def _as_weighting(value):
    if isinstance(value, (list, tuple, np.ndarray)):
        try:
            return ClassBalanced(value, normalization="mean_one")
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"`weighting` must be a Weighting or a list of samples per class: {error}"
            ) from error
    return value


def _check_start(start):
    if isinstance(start, (float, np.floating)):
        check_number("start", start, minimum=0.0, maximum=1.0)
    else:
        check_integer("start", start, minimum=0)
