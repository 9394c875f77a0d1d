"""Agreement with the average of one's own past."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.forward import predictions_of
from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.sharpness._trajectory import packed_weights, trajectory_term


@keras.saving.register_keras_serializable(package="keras_reweight")
class MESA(FunctionalStepModel):
    """Wraps a classifier and trains it to agree with the average of its past weights.

    The average `ema = decay * ema + (1 - decay) * weights` is taken after every step, of
    normalization statistics as well. From `start_epoch` on the loss gets
    `weight * T^2 * KL(softmax(z_ema / T) || softmax(z / T))`, where `z_ema` are the logits of the
    averaged model, in inference mode on the same batch; weights of samples weigh it like the loss,
    and positions that a Keras mask leaves out have none. That costs a forward pass, `SAM` costs a
    forward and a backward pass. Under label noise the effect is close to that of label smoothing:
    compare with it.

    Args:
        model: A built `keras.Model` whose one output is logits, shape `(batch, ..., classes)`.
        weight: Float >= 0 of the term. Defaults to `0.8`.
        temperature: Float > 0. Defaults to `5.0`.
        decay: Float in `[0, 1)`; take a smaller one for short trainings. Defaults to `0.9995`.
        start_epoch: Integer >= 0, the first epoch with the term. Defaults to `5`.
        name: String. Defaults to `"mesa"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards, and
        `averaged_weights()` the average in the order of `model.weights`.

    Raises:
        TypeError: If `model` is no model or an argument not a number.
        ValueError: If `model` is not built or an argument out of range.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.sharpness.MESA(model, decay=0.9, start_epoch=0)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(x, y, verbose=0)
    ```

    Reference:
        Du et al., "Sharpness-Aware Training for Free", NeurIPS 2022, arXiv 2205.14083, section 3.3
        and equation 9.

    Deviations:
        The code takes the logarithm of a softmax, which overflows; a log-softmax here.

    Cost:
        One more forward pass a step, and a second copy of the weights.
    """

    knows_epochs = True

    def __init__(
        self,
        model: keras.Model,
        *,
        weight: float = 0.8,
        temperature: float = 5.0,
        decay: float = 0.9995,
        start_epoch: int = 5,
        name: str = "mesa",
        **kwargs: Any,
    ):
        check_number("weight", weight, minimum=0.0)
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_number("decay", decay, minimum=0.0, exclusive_maximum=1.0)
        check_integer("start_epoch", start_epoch, minimum=0)
        super().__init__(model, name=name, **kwargs)
        self.weight = weight
        self.temperature = temperature
        self.decay = decay
        self.start_epoch = start_epoch

    def build(self, input_shape=None):
        averages = []
        for index, variable in enumerate(self._averaged()):
            value = ops.convert_to_numpy(variable).astype("float32")
            averages.append(self.state_weight(f"average_{index}", value.shape, _given(value)))
        # Past the attribute trackers, which know these variables already.
        object.__setattr__(self, "_averages", averages)

    def _averaged(self):
        """The float weights of the model; counters and seeds have no average."""
        return [
            variable
            for variable in self.model.weights
            if keras.backend.is_float_dtype(keras.backend.standardize_dtype(variable.dtype))
        ]

    def neutral_step(self, x, y, sample_weight):
        averaged = self._averaged()
        values = [ops.cast(a, v.dtype) for a, v in zip(self._averages, averaged, strict=True)]
        past = self.step_function(lambda x: predictions_of(self.model, x), of=averaged)
        y_past = past.value(x, values=values)
        active = ops.cast(self.epoch >= self.start_epoch, "float32")
        weights = packed_weights(y, sample_weight)

        def total(x, y, y_past):
            loss, y_pred = self.compiled_loss_and_outputs(x, y, sample_weight)
            term = trajectory_term(y_past, y_pred, self.temperature, weights)
            return loss + active * self.weight * ops.cast(term, loss.dtype)

        logs = self.apply_step(self.counted(total), x, y, y_past, count=ops.shape(x)[0])
        for average, variable in zip(self._averages, averaged, strict=True):
            new = ops.cast(variable, "float32")
            average.assign(self.decay * average + (1.0 - self.decay) * new)
        return logs

    def averaged_weights(self) -> list[np.ndarray]:
        """What `model.set_weights` takes: the averages, and the other weights as they are."""
        averages = iter(self._averages)
        known = {id(variable) for variable in self._averaged()}
        return [
            ops.convert_to_numpy(next(averages) if id(variable) in known else variable)
            for variable in self.model.weights
        ]

    def get_config(self) -> dict:
        own = ("weight", "temperature", "decay", "start_epoch")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}


def _given(value):
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)
