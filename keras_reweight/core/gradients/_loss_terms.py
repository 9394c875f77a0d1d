"""The loss of one or several outputs as a list of terms, with the rules of `compile`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
from keras import losses as keras_losses
from keras.src.losses.losses import LossFunctionWrapper
from keras.src.trainers.compile_utils import get_loss

from keras_reweight.core.loss_resolution import resolve_loss

# Losses whose value for one sample does not depend on the other samples of the batch.
ROW_WISE = frozenset(
    {
        keras_losses.binary_crossentropy,
        keras_losses.binary_focal_crossentropy,
        keras_losses.categorical_crossentropy,
        keras_losses.categorical_focal_crossentropy,
        keras_losses.categorical_generalized_cross_entropy,
        keras_losses.categorical_hinge,
        keras_losses.cosine_similarity,
        keras_losses.hinge,
        keras_losses.huber,
        keras_losses.kl_divergence,
        keras_losses.log_cosh,
        keras_losses.mean_absolute_error,
        keras_losses.mean_absolute_percentage_error,
        keras_losses.mean_squared_error,
        keras_losses.mean_squared_logarithmic_error,
        keras_losses.poisson,
        keras_losses.sparse_categorical_crossentropy,
        keras_losses.squared_hinge,
    }
)


class Term(NamedTuple):
    """One loss of one output."""

    loss: keras.losses.Loss
    weight: Any
    y_true: Any
    y_pred: Any
    sample_weight: Any


class LossSpec(NamedTuple):
    """A loss as the user states it, before the outputs are known."""

    loss: Any
    loss_weights: Any
    output_names: Any


def loss_spec(model: keras.Model, loss: Any, caller: str) -> LossSpec:
    """The given loss, or the compiled one.

    Raises:
        ValueError: If `loss` is `None` and the model is compiled without a loss.
        TypeError: If `loss` is nothing that `compile` takes.
    """
    names = getattr(model, "output_names", None)
    if loss is not None:
        if isinstance(loss, (list, tuple)):
            entries = list(loss)
        else:
            entries = list(loss.values()) if _is_loss_dict(loss) else [loss]
        for entry in entries:
            if entry is not None and not _is_automatic(entry):
                resolve_loss(entry)
        return LossSpec(loss, None, names)
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None:
        raise ValueError(
            f"{caller}: `loss` is None and model {model.name!r} is not compiled with a loss. "
            "Pass `loss=` or compile the model with one."
        )
    return LossSpec(compiled._user_loss, compiled._user_loss_weights, names)


def _is_loss_dict(loss):
    """A dict with one loss per output, not the config of one loss."""
    return isinstance(loss, dict) and "class_name" not in loss


def _is_automatic(loss):
    """The name that lets Keras choose by the shapes."""
    return isinstance(loss, str) and loss.lower() in ("crossentropy", "ce")


def terms(spec: LossSpec, y: Any, y_pred: Any, sample_weight: Any) -> list[Term]:
    """Pair losses, targets, predictions and weights, output by output.

    Raises:
        ValueError: If they do not fit each other, or a label shape does not fit its output.
    """
    found = []
    for loss, weight, labels, prediction, sample_weights in _paired(spec, y, y_pred, sample_weight):
        if loss is None:
            continue
        resolved = _resolve(loss, labels, prediction)
        check_label_shape(resolved, tuple(labels.shape), tuple(prediction.shape))
        found.append(Term(resolved, weight, labels, prediction, sample_weights))
    if not found:
        raise ValueError(f"`loss`={spec.loss!r} has no term for any output.")
    return found


def _resolve(loss, labels, prediction):
    if isinstance(loss, keras.losses.Loss):
        return loss
    resolved = get_loss(loss, labels, prediction)
    # `floatx` is the default dtype of a loss; a float64 model would lose its precision there.
    if (
        keras.backend.standardize_dtype(prediction.dtype) == "float64"
        and type(resolved) is LossFunctionWrapper
    ):
        return LossFunctionWrapper(resolved.fn, name=resolved.name, dtype="float64")
    return resolved


def _paired(spec, y, y_pred, sample_weight) -> Iterator[tuple]:
    loss, weights, names = spec
    if isinstance(y_pred, dict):
        keys = names = list(y_pred)
    elif isinstance(y_pred, (list, tuple)):
        keys = list(range(len(y_pred)))
        names = list(names) if names is not None and len(names) == len(keys) else keys
    else:
        yield from _single(spec, y, y_pred, sample_weight)
        return
    for place, (key, name) in enumerate(zip(keys, names, strict=True)):
        prediction = y_pred[key]
        if isinstance(prediction, (dict, list, tuple)):
            raise ValueError(
                f"Output {name!r} of the model is nested again; only one level of outputs is "
                "supported. Wrap the model in one with flat outputs."
            )
        entry = _pick("loss", loss, place, name, len(keys))
        if entry is not None:
            yield (
                entry,
                _pick("loss_weights", weights, place, name, len(keys)),
                _pick("y", y, place, name, len(keys)),
                prediction,
                _pick("sample_weight", sample_weight, place, name, len(keys)),
            )


def _single(spec, y, y_pred, sample_weight):
    labels = _unwrap("y", y)
    weights = _unwrap("sample_weight", sample_weight)
    losses = list(spec.loss.values()) if _is_loss_dict(spec.loss) else spec.loss
    losses = list(losses) if isinstance(losses, (list, tuple)) else [losses]
    factors = spec.loss_weights
    factors = list(factors.values()) if isinstance(factors, dict) else factors
    factors = list(factors) if isinstance(factors, (list, tuple)) else [factors] * len(losses)
    for loss, factor in zip(losses, factors, strict=True):
        yield loss, factor, labels, y_pred, weights


def _unwrap(name, value):
    """The array of the only output, which may come in a list or dict."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != 1:
        raise ValueError(
            f"`{name}` has {len(value)} entries, but the model has a single output. Pass one array."
        )
    return value[0]


def _pick(argument, value, place, name, count):
    """The entry of one output; what is not split by outputs counts for all, labels excepted."""
    if isinstance(value, dict) and (argument != "loss" or _is_loss_dict(value)):
        if name not in value and argument == "y":
            raise ValueError(f"`y` has no entry for output {name!r}, only {list(value)}.")
        return value.get(name)
    if isinstance(value, (list, tuple)):
        if len(value) != count:
            raise ValueError(
                f"`{argument}` has {len(value)} entries, but the model has {count} outputs."
            )
        return value[place]
    if argument == "y":
        raise ValueError(
            f"`y` must be a list or dict with one array per output ({count} outputs), got "
            f"{type(value).__name__}."
        )
    return value


def is_row_wise(loss: keras.losses.Loss) -> bool:
    """Whether the loss is known to treat the samples of a batch independently."""
    return (
        isinstance(loss, LossFunctionWrapper)
        and type(loss).call is LossFunctionWrapper.call
        and type(loss).__call__ is keras.losses.Loss.__call__
        and loss.fn in ROW_WISE
    )


def check_label_shape(loss: keras.losses.Loss, labels: tuple, prediction: tuple) -> None:
    """Raise unless labels of this shape can be compared with such a prediction, sample by sample.

    Losses that are not known are only held to the same number of samples.
    """
    expected = [prediction]
    if not is_row_wise(loss):
        labels, expected = labels[:1], [prediction[:1]]
    elif loss.fn is keras_losses.sparse_categorical_crossentropy:
        expected = [prediction[:-1], (*prediction[:-1], 1)]
    elif prediction[-1] == 1 and len(prediction) > 1:
        expected.append(prediction[:-1])
    else:
        expected.append((*prediction, 1))
    if not any(_compatible(labels, shape) for shape in expected):
        raise ValueError(
            f"`y` of shape {labels} does not fit the prediction of shape {prediction} under the "
            f"loss {loss.name!r}, which takes labels of shape "
            f"{' or '.join(str(shape) for shape in expected)}."
        )


def _compatible(shape, expected):
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )
