"""Learned weights of several compiled losses."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.loss_evaluation import reduce_values
from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_number
from keras_reweight.losses._uncertainty import descend, initial_log_variance, term_weight


@keras.saving.register_keras_serializable(package="keras_reweight")
class AutoWeightedLosses(TrainingCallback):
    """Weights the losses of several outputs by uncertainties learned while training.

    Use it for models with several outputs whose losses differ in scale, in place of tuning
    `loss_weights` by hand. The step minimizes `sum_i L_i / (2 s_i^2) + log(1 + s_i^2)` over the
    model by its optimizer and over `log s_i^2` by plain gradient descent inside the step: large
    losses get small weights, near `0.7 / sqrt(L)` for small `L`. The term in `s_i` alone is not in
    the reported loss. Several losses of one output are combined by `AutoWeightedLoss`.

    Args:
        learning_rate: Float > 0, of the log-variances alone. Defaults to `0.05`.
        initial_variance: Float > 0, `s_i^2` at the start; the first weight is half its inverse.
            Defaults to `1.0`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"auto_weighted_losses"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`. Each epoch's logs get `<name>_<output>`, the weight
        of the loss of that output.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is not positive; in `fit`, if a loss gives one scalar for the
            batch, or the number of losses cannot be known before the first step.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(1, name="small")(inputs),
                                 keras.layers.Dense(1, name="large")(inputs)])
    model.compile("adam", ["mse", "mse"])
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    callback = kr.callbacks.AutoWeightedLosses()
    model.fit(x, [x[:, :1], 100.0 * x[:, 1:2]], verbose=0, callbacks=[callback])
    ```

    Reference:
        Tsai et al., "UU-Mamba: Uncertainty-aware U-Mamba for Cardiovascular Segmentation",
        arXiv 2409.14305; the idea is that of Kendall et al., arXiv 1705.07115.

    Deviations:
        The official code builds its optimizer with scales that training never uses, so that they
        stay at one; here they are learned. They are learned as `log s^2` by plain gradient descent,
        at most 1 a step, and a negative loss counts as zero there. `loss_weights` of `compile`
        multiply the learned weights.

    Cost:
        One scalar of state a loss; no extra passes.
    """

    def __init__(
        self,
        learning_rate: float = 0.05,
        *,
        initial_variance: float = 1.0,
        name: str | None = None,
    ):
        check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        check_number("initial_variance", initial_variance, exclusive_minimum=0.0)
        super().__init__(name=name)
        self.learning_rate = learning_rate
        self.initial_variance = initial_variance
        self._count = 1
        self._outputs: dict[int, str] = {}

    def set_model(self, model):
        losses = [loss for loss in keras.tree.flatten(model.loss) if loss is not None]
        # One loss in `compile` serves every output.
        outputs = getattr(model, "outputs", None) or [None]
        self._count = len(losses) if len(losses) > 1 else len(outputs)
        super().set_model(model)

    def state_spec(self):
        initial = np.float32(initial_log_variance(self.initial_variance))
        return {f"log_variance_{index}": np.array(initial) for index in range(self._count)}

    def weigh(self, call: LossCall):
        """Runs inside the compiled step, once for each compiled loss."""
        if call.count > self._count:
            raise ValueError(
                f"{self.name}: the model has {call.count} outputs with losses, which was not to be "
                "known before the first step. Pass a list of losses to `compile`."
            )
        self._outputs[call.index] = call.output
        key = f"log_variance_{call.index}"
        log_variance = self.carrier.value(key)
        losses = ops.stop_gradient(call.losses)
        value = reduce_values(call.loss, losses, call.sample_weight, call.mask)
        value = ops.mean(ops.cast(value, "float32"))
        # In full size: Keras multiplies its mask into the weights in place on torch. Before the
        # update: outside of JAX the tensor of a variable changes with it.
        weights = term_weight(log_variance) * ops.ones_like(losses)
        self.carrier[key].assign(descend(log_variance, value, self.learning_rate))
        return weights

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        state = self.carrier.read()
        if logs is None:
            return
        for index, output in self._outputs.items():
            logs[f"{self.name}_{output}"] = 0.5 * float(np.exp(-state[f"log_variance_{index}"]))

    def get_config(self) -> dict:
        return {
            "learning_rate": self.learning_rate,
            "initial_variance": self.initial_variance,
            "name": self.name,
        }
