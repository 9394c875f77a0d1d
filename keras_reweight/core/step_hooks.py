"""Per-sample weights inside the compiled train step, without touching the user's loss or model.

While at least one hook is installed, `model.compute_loss` is an instance attribute that swaps the
compiled losses, for the length of one call, against wrappers: Keras still resolves outputs, masks,
loss weights and regularizers; the wrappers only hand over the per-sample losses and multiply the
returned weights into `sample_weight`. Validation never reaches the hooks.

Weights packed beside the targets are multiplied in first, whether there are hooks or not, and in
training only.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_reweight.core.aux_targets import WEIGHT, split_targets, weights_of_targets
from keras_reweight.core.data_dependency import after
from keras_reweight.core.loss_evaluation import LossEvaluation
from keras_reweight.core.sample_means import expand_to_rank
from keras_reweight.core.state import rebuild_step_functions

_ATTRIBUTE = "_kr_step_hooks"


class LossCall:
    """What a hook sees of one output in one training step (all tensors of the running backend).

    Attributes:
        output: Name of the output.
        index: Position of this loss among the `count` compiled losses of the step.
        count: Number of compiled losses; `index == count - 1` comes last in every step.
        y_true: Targets, auxiliary columns removed.
        y_pred: Predictions; carries gradients.
        losses: Float32 losses as the compiled loss gives them before reduction, `(batch,)` or
            `(batch, ...)`; carry gradients.
        mask: Boolean, broadcastable to `losses`: the Keras mask of `y_pred` and what the loss
            itself ignores, or `None`.
        loss: The compiled `keras.losses.Loss`. `losses` and `mask` are computed when they are
            first read; a hook that runs before may change what the loss computes.
        sample_weight: What the user passed, multiplied by packed weights and by what earlier hooks
            returned, or `None`.
        aux: Dict of auxiliary columns (`"sample_id"`, `"group"`, `"weight"`), each of shape
            `(batch,)`. The weight is in `sample_weight` already.
    """

    def __init__(
        self,
        output: str,
        index: int,
        count: int,
        y_true: Any,
        y_pred: Any,
        evaluation: LossEvaluation | GivenLosses,
        sample_weight: Any,
        aux: dict[str, Any],
    ):
        self.output = output
        self.index = index
        self.count = count
        self.y_true = y_true
        self.y_pred = y_pred
        self.sample_weight = sample_weight
        self.aux = aux
        self._evaluation = evaluation

    @property
    def loss(self) -> keras.losses.Loss:
        return self._evaluation.loss

    @property
    def losses(self):
        return self._evaluation.losses

    @property
    def mask(self):
        return self._evaluation.mask


Hook = Callable[[LossCall], Any]


class _StepHooks:
    """The hooks of one model and what to put back when the last one goes."""

    def __init__(self):
        self.hooks: list[Hook] = []
        self.aux_enabled = False
        self.saved: dict[str, Any] = {}
        self.had_training_argument = True


def install_hook(model: keras.Model, hook: Hook, *, first: bool = False) -> None:
    """Call `hook(LossCall) -> weights or None` for every compiled loss of every training step.

    `first` puts the hook before those already installed: it changes what the losses compute.
    """
    record = _record(model)
    record.hooks.insert(0 if first else len(record.hooks), hook)
    rebuild_step_functions(model)


def remove_hook(model: keras.Model, hook: Hook) -> None:
    """Inverse of `install_hook`; unknown hooks are ignored."""
    record = model.__dict__.get(_ATTRIBUTE)
    if record is None or not any(known == hook for known in record.hooks):
        return
    record.hooks = [known for known in record.hooks if known != hook]
    rebuild_step_functions(model)
    _uninstall_if_idle(model, record)


def enable_aux(model: keras.Model) -> None:
    """Let `fit`, `evaluate` and `train_on_batch` take packed targets."""
    _record(model).aux_enabled = True
    rebuild_step_functions(model)


def disable_aux(model: keras.Model) -> None:
    """Inverse of `enable_aux`."""
    record = model.__dict__.get(_ATTRIBUTE)
    if record is None:
        return
    record.aux_enabled = False
    rebuild_step_functions(model)
    _uninstall_if_idle(model, record)


def _record(model):
    record = model.__dict__.get(_ATTRIBUTE)
    if record is None:
        record = _StepHooks()
        # Plain `setattr` would hand the record to Keras' and torch's attribute trackers.
        object.__setattr__(model, _ATTRIBUTE, record)
        _install(model, record)
    return record


def _install(model, record):
    original_loss, original_metrics = model.compute_loss, model.compute_metrics
    # A user's override may lack `training` (added in Keras 3.3); ours always needs to know it.
    record.had_training_argument = model._compute_loss_has_training_arg

    def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
        y, aux = split_targets(y)
        sample_weight = weights_of_targets(sample_weight, aux)
        arguments = {"x": x, "y": y, "y_pred": y_pred, "sample_weight": sample_weight}
        if record.had_training_argument:
            arguments["training"] = training
        if not training or not (record.hooks or WEIGHT in aux):
            return original_loss(**arguments)
        with after(y_pred), _wrapped_losses(model, record.hooks, aux):
            return original_loss(**arguments)

    def compute_metrics(x, y, y_pred, sample_weight=None):
        y, aux = split_targets(y)
        return original_metrics(x, y, y_pred, weights_of_targets(sample_weight, aux))

    for name, function in (("compute_loss", compute_loss), ("compute_metrics", compute_metrics)):
        record.saved[name] = model.__dict__.get(name)
        object.__setattr__(model, name, function)
    model._compute_loss_has_training_arg = True


def _uninstall_if_idle(model, record):
    if record.hooks or record.aux_enabled:
        return
    for name, previous in record.saved.items():
        if previous is None:
            model.__dict__.pop(name, None)
        else:
            object.__setattr__(model, name, previous)
    model._compute_loss_has_training_arg = record.had_training_argument
    object.__delattr__(model, _ATTRIBUTE)
    rebuild_step_functions(model)


@contextlib.contextmanager
def _wrapped_losses(model, hooks, aux):
    compiled = model._compile_loss
    if compiled is None:
        raise ValueError(
            f"Model {model.name!r} is compiled without `loss`, so there are no per-sample losses "
            "to weight. Pass a loss to `compile`."
        )
    called = []

    def wrap(index, entry, count):
        def weighted(y_true, prediction, sample_weight=None):
            called.append(entry.name)
            if WEIGHT in aux:
                packed = ops.reshape(ops.cast(aux[WEIGHT], "float32"), (-1,))
                sample_weight = multiply_weights(sample_weight, packed)
            evaluation = LossEvaluation(entry.loss, y_true, prediction, entry.name)
            call = LossCall(
                entry.name,
                index,
                count,
                y_true,
                prediction,
                evaluation,
                sample_weight,
                aux,
            )
            for hook in hooks:
                weights = hook(call)
                if weights is not None:
                    call.sample_weight = multiply_weights(call.sample_weight, weights)
            return evaluation.reduce(call.sample_weight)

        return entry._replace(loss=weighted)

    with replaced_losses(compiled, wrap):
        yield
    if not called:
        raise ValueError(
            f"`compute_loss` of model {model.name!r} never called the compiled loss, so its "
            "samples cannot be weighted. Call `super().compute_loss(...)` in the override."
        )


@contextlib.contextmanager
def replaced_losses(compiled, wrap):
    """Swap the flat losses; those of a loss that is not built yet as soon as Keras builds it.

    Keras first brings the targets into the structure of the outputs, so it must call `build`.
    """
    original = None

    def replace():
        nonlocal original
        original = compiled._flat_losses
        count = len(original)
        compiled._flat_losses = [wrap(index, one, count) for index, one in enumerate(original)]

    def build(y_true, y_pred):
        type(compiled).build(compiled, y_true, y_pred)
        replace()

    if compiled.built:
        replace()
    else:
        object.__setattr__(compiled, "build", build)
    try:
        yield
    finally:
        compiled.__dict__.pop("build", None)
        if original is not None:
            compiled._flat_losses = original


class GivenLosses:
    """Losses of a step that computes them itself, in place of a `LossEvaluation`.

    `compute() -> (batch,)` is called when the losses are first read.
    """

    mask = None

    def __init__(self, loss: Any, compute: Callable[[], Any]):
        self.loss, self._compute = loss, compute

    @functools.cached_property
    def losses(self):
        return ops.cast(self._compute(), "float32")


def hooked_weights(
    model: keras.Model,
    losses: GivenLosses,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    aux: dict[str, Any],
) -> Any:
    """`sample_weight` times packed weights and what the hooks return, or `None`.

    For train steps that do not go through `compute_loss` and have one loss a sample.
    """
    if WEIGHT in aux:
        packed = ops.reshape(ops.cast(aux[WEIGHT], "float32"), (-1,))
        sample_weight = multiply_weights(sample_weight, packed)
    record = model.__dict__.get(_ATTRIBUTE)
    call = LossCall("output", 0, 1, y_true, y_pred, losses, sample_weight, aux)
    for hook in [] if record is None else record.hooks:
        weights = hook(call)
        if weights is not None:
            call.sample_weight = multiply_weights(call.sample_weight, weights)
    return call.sample_weight


def multiply_weights(sample_weight: Any, weights: Any):
    """Product of two weights where one may lack trailing axes or be `(batch, 1)`."""
    if sample_weight is None:
        return weights
    sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), weights.dtype)
    while len(sample_weight.shape) > max(1, len(weights.shape)) and sample_weight.shape[-1] == 1:
        sample_weight = ops.squeeze(sample_weight, axis=-1)
    sample_weight = expand_to_rank(sample_weight, len(weights.shape))
    return sample_weight * expand_to_rank(weights, len(sample_weight.shape))
