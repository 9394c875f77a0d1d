"""Memory for losses that have state."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.loss_evaluation import loss_arguments
from keras_reweight.core.state import sync_model
from keras_reweight.core.stateful_loss import (
    FinalMemory,
    LossMemory,
    StatefulLoss,
    stateful_losses,
)
from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback


@keras.saving.register_keras_serializable(package="keras_reweight")
class LossState(TrainingCallback):
    """Keeps the memory of stateful losses inside the compiled training step.

    Use it with losses that count, average or draw random numbers from step to step. It gives every
    such loss of the compiled model, also inside a `ReweightedLoss`, variables that the step reads
    and writes on every backend, and advances them once a training step before the loss is computed.
    Validation reads them and changes nothing. After `fit` a loss keeps its last values, and a
    further `fit` with the same instance on the same model goes on from them.

    Args:
        name: String, unique among the callbacks of one `fit`. Defaults to `"loss_state"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `get_state()` / `set_state()` carry the memory.

    Raises:
        ValueError: In `fit`, if no compiled loss has a state.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.SeesawLoss(num_classes=3))
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(x, np.arange(32) % 3, verbose=0, callbacks=[kr.callbacks.LossState()])
    ```

    Reference:
        None; container of the losses that have state.
    """

    weighs_first = True

    def __init__(self, *, name: str | None = None):
        super().__init__(name=name)
        self._losses: list[StatefulLoss] = []
        self._refreshed = False

    def set_model(self, model):
        self._losses = stateful_losses(model.loss)
        if not self._losses:
            raise ValueError(
                f"{self.name}: the compiled `loss` {model.loss!r} of model {model.name!r} has no "
                "state, so there is nothing to keep."
            )
        for loss in self._losses:
            loss.refresh(model)
        super().set_model(model)

    def state_spec(self) -> dict[str, np.ndarray]:
        return {
            f"{self._prefix(index)}{key}": value
            for index, loss in enumerate(self._losses)
            for key, value in loss.state_spec().items()
        }

    def on_attach(self, model):
        for index, loss in enumerate(self._losses):
            keys = list(loss.state_spec())
            memory = LossMemory(self.carrier, self._prefix(index), keys)
            if isinstance(loss.memory, FinalMemory):
                values = loss.memory.read()
                self.carrier.write({self._prefix(index) + key: values[key] for key in keys})
            loss.memory = memory

    def on_detach(self, model):
        sync_model(model)
        for loss in self._losses:
            if isinstance(loss.memory, LossMemory):
                loss.memory = FinalMemory(loss.memory.read())

    def on_epoch_begin(self, epoch, logs=None):
        self._refreshed = False

    def on_train_batch_begin(self, batch, logs=None):
        # Later than `on_epoch_begin`, where other callbacks still set the learning rate.
        if self._refreshed:
            return
        self._refreshed = True
        sync_model(self._attached_to)
        for index, loss in enumerate(self._losses):
            values = loss.refresh(self._attached_to)
            self.carrier.write({self._prefix(index) + key: values[key] for key in values})

    def weigh(self, call: LossCall):
        """Runs inside the compiled step, once for each compiled loss."""
        for loss in stateful_losses(call.loss):
            y_true, y_pred = loss_arguments(loss, call.y_true, call.y_pred)
            loss.advance(y_true, y_pred, call.sample_weight)
        return None

    @staticmethod
    def _prefix(index: int) -> str:
        return f"loss{index}_"
