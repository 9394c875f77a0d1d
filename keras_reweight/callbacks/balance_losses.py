"""Weights of the losses of several outputs, from their values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.loss_evaluation import reduce_values
from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.tasks.task_balancer import TaskBalancer, TaskStatistics

_BALANCER = "balancer_"


@keras.saving.register_keras_serializable(package="keras_reweight")
class BalanceLosses(TrainingCallback):
    """Weighs the losses of several outputs in plain `fit`, by a balancer that needs their values.

    Use it where the values of the losses suffice (`DynamicWeightAverage`, `RECAP`, `Lagrangian`,
    `FixedWeights`); balancers that look at gradients or are trained need `LossBalancing`. The
    weights of a step are those that the balancer made of the losses of the step before, ones in the
    first step; `loss_weights` of `compile` multiply them.

    Args:
        balancer: `TaskBalancer` that needs no gradients.
        name: String, unique among the callbacks of one `fit`. Defaults to `"balance_losses"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`. Each epoch's logs get `<name>_<output>`, the weight
        of the loss of that output at the end of the epoch; a `keras.callbacks.TensorBoard` that is
        listed later writes them as `epoch_<name>_<output>`.

    Raises:
        TypeError: If `balancer` is no `TaskBalancer`.
        ValueError: If `balancer` needs gradients or is trained; in `fit`, if it does not fit the
            number of losses, or that cannot be known before the first step.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(1, name=name)(inputs) for name in ("main", "side")]
    model = keras.Model(inputs, heads)
    model.compile("adam", ["mse", "mse"])
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    callback = kr.callbacks.BalanceLosses(kr.tasks.Lagrangian([None, 0.1]))
    model.fit(x, [x[:, :1], -x[:, :1]], verbose=0, callbacks=[callback])
    ```

    Reference:
        None; the callback form of the balancers, whose papers are named there.

    Cost:
        A few numbers of state a loss; no extra passes.
    """

    def __init__(self, balancer: TaskBalancer, *, name: str | None = None):
        if not isinstance(balancer, TaskBalancer):
            raise TypeError(f"`balancer` must be a TaskBalancer, got {balancer!r}.")
        if balancer.needs or balancer.learned(2):
            raise ValueError(
                f"`balancer`={balancer!r} looks at gradients or is trained, for which a callback "
                "is too late: use `kr.tasks.LossBalancing`."
            )
        super().__init__(name=name)
        self.balancer = balancer
        self._count = 1
        self._outputs: dict[int, str] = {}

    def set_model(self, model):
        losses = [loss for loss in keras.tree.flatten(model.loss) if loss is not None]
        # One loss in `compile` serves every output.
        outputs = getattr(model, "outputs", None) or [None]
        self._count = len(losses) if len(losses) > 1 else len(outputs)
        self.balancer.check(self._count)
        super().set_model(model)

    def state_spec(self):
        own = self.balancer.initial(self._count)
        return {
            "step": np.zeros((), "int32"),
            "epoch": np.zeros((), "int32"),
            "weights": np.ones(self._count, "float32"),
            **{f"loss_{index}": np.zeros((), "float32") for index in range(self._count)},
            **{_BALANCER + key: np.asarray(value) for key, value in own.items()},
        }

    def on_epoch_begin(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        self.carrier.write({**self.carrier.read(), "epoch": np.array(epoch, "int32")})

    def weigh(self, call: LossCall):
        """Runs inside the compiled step, once for each compiled loss."""
        if call.count > self._count:
            raise ValueError(
                f"{self.name}: the model has {call.count} outputs with losses, which was not to be "
                "known before the first step. Pass a list of losses to `compile`."
            )
        self._outputs[call.index] = call.output
        losses = ops.stop_gradient(call.losses)
        value = reduce_values(call.loss, losses, call.sample_weight, call.mask)
        value = ops.mean(ops.cast(value, "float32"))
        # In full size: Keras multiplies its mask into the weights in place on torch. Before the
        # update: outside of JAX the tensor of a variable changes with it.
        weights = self.carrier.value("weights")[call.index] * ops.ones_like(losses)
        self.carrier[f"loss_{call.index}"].assign(value)
        if call.index == call.count - 1:
            self._balance()
        return weights

    def _balance(self):
        present = {key: ops.copy(self.carrier.value(key)) for key in self.carrier.keys()}
        losses = ops.stack([present[f"loss_{index}"] for index in range(self._count)])
        statistics = TaskStatistics(losses, None, None, None, present["step"], present["epoch"])
        own = {
            key.removeprefix(_BALANCER): value
            for key, value in present.items()
            if key.startswith(_BALANCER)
        }
        weights, own = self.balancer.weights(statistics, own)
        new: dict[str, Any] = {"weights": weights, "step": present["step"] + 1}
        new |= {_BALANCER + key: value for key, value in own.items()}
        for key, value in new.items():
            self.carrier[key].assign(ops.stop_gradient(value))

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        state = self.carrier.read()
        if logs is None:
            return
        for index, output in self._outputs.items():
            logs[f"{self.name}_{output}"] = float(state["weights"][index])

    def get_config(self) -> dict:
        return {
            "balancer": keras.saving.serialize_keras_object(self.balancer),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict):
        balancer = keras.saving.deserialize_keras_object(config["balancer"])
        return cls(**{**config, "balancer": balancer})
