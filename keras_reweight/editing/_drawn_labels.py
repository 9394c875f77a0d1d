"""Labels drawn from what a classifier predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._loss_terms import loss_spec
from keras_reweight.core.loss_resolution import resolve_loss
from keras_reweight.core.validation import check_built

_KINDS = {
    keras.losses.sparse_categorical_crossentropy: "sparse",
    keras.losses.categorical_crossentropy: "categorical",
    keras.losses.binary_crossentropy: "binary",
}


def label_sampler(
    model: keras.Model, loss: Any, seed: int, caller: str
) -> Callable[[Any], np.ndarray]:
    """`x -> labels`, one draw from the predicted distribution for every prediction in a batch.

    Raises:
        ValueError: If the loss is no cross-entropy, which alone says what is predicted.
    """
    check_built(model, caller)
    kind, from_logits = _kind(loss_spec(model, loss, caller).loss, caller)
    rng = np.random.default_rng(seed)

    def sample(x):
        outputs = predicted(model, x, caller).astype("float64")
        if kind == "binary":
            positive = 1.0 / (1.0 + np.exp(-outputs)) if from_logits else outputs
            return (rng.random(outputs.shape) < positive).astype("float32")
        ids = _categories(outputs, from_logits, rng)
        return np.eye(outputs.shape[-1], dtype="float32")[ids] if kind == "categorical" else ids

    return sample


class Relabeled:
    """Batches of some data under other labels, one array of labels a batch; can be read again."""

    def __init__(self, data: Any, batch_size: int, labels: Callable[[Any], np.ndarray]):
        self.data, self.batch_size = data, batch_size
        self.labels = [labels(x) for x, _, _ in iterate_batches(data, batch_size)]

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray, Any]]:
        batches = iterate_batches(self.data, self.batch_size)
        for (x, _, sample_weight), labels in zip(batches, self.labels, strict=True):
            yield x, labels, sample_weight


def predicted(model: keras.Model, x: Any, caller: str) -> np.ndarray:
    """The only output of a model for a batch, in inference mode."""

    def forward(x):
        outputs = predictions_of(model, x)
        if not ops.is_tensor(outputs):
            raise ValueError(
                f"{caller}: `model` must have one output, got a {type(outputs).__name__} of them."
            )
        return outputs

    function = cached(model, "predicted", None, lambda: make_forward(forward, model.variables))
    return ops.convert_to_numpy(function(as_model_inputs(model, x)))


def _kind(loss, caller):
    entries = list(loss.values()) if isinstance(loss, dict) else loss
    entries = entries if isinstance(entries, (list, tuple)) else [entries]
    resolved = resolve_loss(entries[0]) if len(entries) == 1 else None
    kind = _KINDS.get(getattr(resolved, "fn", None))
    if kind is None:
        raise ValueError(
            f"{caller}: `labels`='sampled' needs one binary or (sparse) categorical cross-entropy "
            f"as the loss, got {loss!r}. Pass labels='data'."
        )
    return kind, bool(resolved.get_config().get("from_logits", False))


def _categories(outputs, from_logits, rng):
    if from_logits:
        outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    limits = np.cumsum(outputs, axis=-1)
    drawn = rng.random((*outputs.shape[:-1], 1)) * limits[..., -1:]
    return np.minimum((limits <= drawn).sum(axis=-1), outputs.shape[-1] - 1).astype("int32")
