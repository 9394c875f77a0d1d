"""Batch normalization with fixed statistics from an epoch on."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_reweight.core.batch_norm import batch_norm_layers
from keras_reweight.core.retraced_step import retrace_train_step
from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.update_hooks import add_update_hook, remove_update_hook
from keras_reweight.core.validation import check_boolean, check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class FreezeBatchNorm(TrainingCallback):
    """From an epoch on, normalize with the moving statistics and leave them as they are.

    Under quantization the statistics of a batch jump with every weight that changes its code, and
    the moving ones never catch up. Freezing them for the last epochs lets the weights adapt to the
    very statistics that inference uses. Use it for the last third of a quantization-aware training
    of a convolutional network; not from the beginning, unless the statistics come from a trained
    float model. A normalization that is folded into its layer (`FoldedBatchNorm`) is frozen, too.

    Args:
        epoch: Integer >= 0, first epoch (counted as by `fit`, from zero) with frozen statistics.
        parameters: Boolean, whether `gamma` and `beta` stay as they are, too. Defaults to `False`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all batch normalization layers. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"freeze_batch_norm"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `epoch` is no integer or `parameters` no bool.
        ValueError: If `epoch` is negative; in `fit`, before anything changes, if the model is not
            compiled or has no such layers.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    freeze = kc.callbacks.FreezeBatchNorm(1)
    model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[freeze])
    ```

    Reference:
        Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A
        whitepaper", arXiv 1806.08342, section 3.2 (freezing of batch normalization).

    Cost:
        The train step is compiled once more when the freezing begins.
    """

    def __init__(
        self, epoch: int, *, parameters: bool = False, layers: Any = None, name: str | None = None
    ):
        check_integer("epoch", epoch, minimum=0)
        check_boolean("parameters", parameters)
        super().__init__(name=name)
        self.epoch = epoch
        self.parameters = parameters
        self.layers = layers
        self._chosen: list[keras.layers.Layer] = []
        self._called: list[keras.layers.Layer] = []
        self._frozen = False

    def on_attach(self, model):
        chosen = select_layers(model, self.layers, candidates=batch_norm_layers(model)).touched
        # A folded one is never called; the layer it is part of reads its statistics.
        owners = {
            id(layer.batch_norm): layer
            for layer in all_layers(model)
            if isinstance(layer, FoldedBatchNorm)
        }
        self._chosen = chosen
        self._called = [owners.get(id(layer), layer) for layer in chosen]
        self._frozen = False
        if self.parameters:
            add_update_hook(model, self._hold_parameters)

    def on_detach(self, model):
        chosen, called = self._chosen, self._called
        self._chosen, self._called = [], []
        if chosen and self.parameters:
            remove_update_hook(model, self._hold_parameters)
        _let_go(called)
        self._frozen = False

    def on_epoch_begin(self, epoch, logs=None):
        frozen = epoch >= self.epoch
        if frozen == self._frozen or not self._chosen:
            return
        model = self._attached_to
        assert model is not None
        sync_model(model)
        self._frozen = frozen
        if frozen:
            _freeze(self._called)
        else:
            _let_go(self._called)
        retrace_train_step(model)

    def _hold_parameters(self, gradients, variables, update):
        if not self._frozen:
            update(gradients)
            return
        held = {id(v) for layer in self._chosen for v in layer.trainable_variables}
        before = {}
        for place, variable in enumerate(variables):
            if id(variable) in held and gradients[place] is not None:
                before[place] = ops.copy(ops.convert_to_tensor(variable))
                gradients[place] = ops.zeros_like(gradients[place])
        update(gradients)
        for place, value in before.items():
            variables[place].assign(value)

    def __deepcopy__(self, memo):
        live = self._chosen, self._called, self._frozen
        self._chosen, self._called, self._frozen = [], [], False
        try:
            return super().__deepcopy__(memo)
        finally:
            self._chosen, self._called, self._frozen = live

    def get_config(self):
        return {
            "epoch": self.epoch,
            "parameters": self.parameters,
            "layers": self.layers,
            **super().get_config(),
        }


def _freeze(layers):
    """Let layers run as in inference, also while they are trained."""
    for layer in layers:
        layer.__dict__["call"] = _as_in_inference(layer.call)


def _let_go(layers):
    for layer in layers:
        layer.__dict__.pop("call", None)


def _as_in_inference(call):
    def frozen_call(inputs, training=None, **kwargs):
        return call(inputs, training=False, **kwargs)

    return frozen_call
