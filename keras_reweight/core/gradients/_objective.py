"""The loss of a model on a batch, as plain functions of `(x, y, sample_weight)`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._loss_terms import LossSpec, Term, is_row_wise, terms
from keras_reweight.core.gradients._scope import keep_losses, keras_mask


class Objective:
    """What the gradient functions differentiate.

    `batch` is the loss Keras trains on. `samples` is one value per sample: the loss the sample
    would have in a batch of its own, times its weight.
    """

    def __init__(
        self, model: keras.Model, spec: LossSpec, *, training: bool, regularization: bool = False
    ):
        self.model = model
        self.spec = spec
        self.training = training
        self.regularization = regularization

    def predictions(self, x: Any) -> Any:
        """What the loss is computed from."""
        return self.model(x, training=self.training)

    def batch(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        """Scalar: weighted sum over the outputs, plus `model.losses` with `regularization`."""
        with keep_losses(self.model):
            y_pred = self.predictions(x)
            penalties = list(self.model.losses) if self.regularization else []
        total: Any = 0.0
        for term in terms(self.spec, y, y_pred, sample_weight):
            value = term.loss(term.y_true, term.y_pred, term.sample_weight)
            total = total + _times(ops.mean(value), term.weight)
        for penalty in penalties:
            total = total + ops.cast(ops.sum(penalty), total.dtype)
        return total

    def samples(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        """Tensor of shape `(batch,)`."""
        with keep_losses(self.model):
            y_pred = self.predictions(x)
        return sample_losses(self.spec, y, y_pred, sample_weight)

    def sample(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        """Scalar, for a batch of one."""
        return self.samples(x, y, sample_weight)[0]


def sample_losses(spec: LossSpec, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
    """The same for predictions that are there already: tensor of shape `(batch,)`."""
    total: Any = 0.0
    for term in terms(spec, y, y_pred, sample_weight):
        total = total + _times(_per_sample(term), term.weight)
    return total


def _times(value, weight):
    return value if weight is None else value * ops.cast(weight, value.dtype)


def _per_sample(term: Term):
    mask = keras_mask(term.y_pred)
    if is_row_wise(term.loss) or term.y_pred.shape[0] == 1:
        return _rows(term, mask)
    # An unknown loss may mix samples: let it see them one by one.
    leaves = {"y_true": term.y_true, "y_pred": term.y_pred}
    if mask is not None:
        leaves["mask"] = mask
    if term.sample_weight is not None:
        leaves["sample_weight"] = term.sample_weight
    leaves = {name: ops.convert_to_tensor(leaf) for name, leaf in leaves.items()}

    def one(sample):
        alone = {name: ops.expand_dims(leaf, 0) for name, leaf in zip(leaves, sample, strict=True)}
        single = term._replace(
            y_true=alone["y_true"],
            y_pred=alone["y_pred"],
            sample_weight=alone.get("sample_weight"),
        )
        return _rows(single, alone.get("mask"))[0]

    return active_backend().map_samples(one, list(leaves.values()), term.loss.dtype)


def _rows(term: Term, mask):
    """Loss of every sample on its own; the loss must not mix samples, or get only one."""
    loss, weight = term.loss, term.sample_weight
    if weight is not None:
        weight = ops.cast(weight, loss.dtype)
        if len(weight.shape) == 2 and weight.shape[1] == 1:
            weight = ops.squeeze(weight, -1)
    per_sample_weight = weight if weight is not None and len(weight.shape) == 1 else None
    inner_weight = weight if per_sample_weight is None else None
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        value = ops.mean(loss(term.y_true, term.y_pred, inner_weight))
        rows = ops.reshape(ops.cast(value, loss.dtype), (1,))
    else:
        rows = _reduced_rows(term, mask, inner_weight)
    return rows if per_sample_weight is None else rows * per_sample_weight


def _reduced_rows(term: Term, mask, weight):
    loss = term.loss
    values = loss.call(
        ops.convert_to_tensor(term.y_true, dtype=loss.dtype),
        ops.convert_to_tensor(term.y_pred, dtype=loss.dtype),
    )
    own_mask = keras_mask(values)
    values = ops.convert_to_tensor(values, dtype=loss.dtype)
    if len(values.shape) == 0:
        # Only a batch of one comes here with a loss that reduces over the batch.
        return ops.reshape(values, (1,))
    values = ops.reshape(values, (ops.shape(values)[0], -1))
    masks = [_rows_like(part, values) for part in (mask, own_mask) if part is not None]
    weights = masks if weight is None else [*masks, _rows_like(weight, values)]
    if loss.reduction == "mean_with_sample_weight":
        masks = weights
    # `where`, not a product: a masked loss may be infinite.
    for factor in weights:
        values = ops.where(factor == 0, 0.0, values) * factor
    total = ops.sum(values, axis=1)
    if loss.reduction == "sum":
        return total
    count = ops.ones_like(values)
    for factor in masks:
        count = count * factor
    return ops.divide_no_nan(total, ops.sum(count, axis=1))


def _rows_like(part, values):
    """A mask or weight as `(batch, positions)` beside `values`."""
    part = ops.cast(part, values.dtype)
    rows = ops.reshape(part, (ops.shape(part)[0], -1))
    given, wanted = rows.shape[1], values.shape[1]
    if None not in (given, wanted) and given not in (1, wanted):
        raise ValueError(
            f"`sample_weight` or mask of shape {tuple(part.shape)} does not fit losses with "
            f"{wanted} positions per sample: pass one value per sample or one per position."
        )
    return rows
