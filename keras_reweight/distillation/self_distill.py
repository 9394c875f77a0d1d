"""Generations of one model, each taught by the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.functional.optimal_distillation_weight import optimal_distillation_weight


def self_distill(
    make_model: Callable[[], keras.Model],
    x: Any,
    y: Any,
    *,
    steps: int = 3,
    weight: str | float = "optimal",
    validation_data: tuple | None = None,
    sample_weight: Any = None,
    activation: str | Callable | None = None,
    fit_arguments: dict[str, Any] | None = None,
    verbose: int = 1,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a model, then the same model on a mixture of labels and its predecessor's predictions.

    Use it to regularize a model with its own predictions. The first model is trained on `y`, model
    `t` on `a * y + (1 - a) * predictions of model t - 1`. For losses whose gradient is linear in
    the target (mean squared error, crossentropies) that is exactly a loss of `a` times the one on
    labels plus `1 - a` times the one on the teacher. `a` is `weight`, or `"optimal"`: every
    generation first trains a model on the teacher alone, and `optimal_distillation_weight` of its
    and the first model's predictions for the validation data decides.

    Args:
        make_model: Callable without arguments that gives a new, compiled `keras.Model` with one
            output.
        x: Float array of shape `(samples, ...)`, any dtype, or a list or dict of such arrays.
        y: Float array of the shape of the output, or `(samples,)` for one of shape `(samples, 1)`;
            one-hot labels for a classifier.
        steps: Integer >= 1, number of generations, the first included. Defaults to `3`.
        weight: Float in `[0, 1]`, share of the labels, or `"optimal"`. Defaults to `"optimal"`.
        validation_data: Tuple `(x, y)` or `(x, y, sample_weight)`, needed by `"optimal"`. Defaults
            to `None`.
        sample_weight: Float array of shape `(samples,)` or `None`. Defaults to `None`.
        activation: Activation of Keras that makes targets of predictions, `"softmax"` or
            `"sigmoid"` for a model that gives logits. Defaults to `None`: predictions as they are.
        fit_arguments: Dict of further arguments of `fit`, such as `epochs`. Defaults to `None`.
        verbose: Integer, 1 for a progress bar over the generations, 0 for silence. Defaults to `1`.

    Returns:
        Tuple `(model, history)`: the last model, and a dict with the lists `"weight"` (1 for the
        first generation) and, given `validation_data`, `"validation_mse"`, one entry a generation.

    Raises:
        TypeError: If an argument has the wrong type, or `make_model` gives no model.
        ValueError: If an argument is out of range, `validation_data` is missing, the model is not
            compiled, or `y` has not the shape of the predictions.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    def make_model():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    x = np.random.default_rng(0).normal(size=(24, 2))
    data = (x[16:], x[16:].sum(axis=1))
    model, history = kr.distillation.self_distill(
        make_model, x[:16], x[:16].sum(axis=1), steps=2, validation_data=data, verbose=0
    )
    ```

    Reference:
        Borup and Andersen, "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen
        Regularization Imposed by Self-Distillation", NeurIPS 2021, arXiv 2102.13088.

    Deviations:
        The official code mixes two losses on softmax outputs and adds the norms of the parameters;
        here the targets are mixed and regularization is the model's own.

    Cost:
        `steps` fits; with `"optimal"` `2 * steps - 1`.
    """
    if not callable(make_model):
        raise TypeError(f"`make_model` must be callable, got {make_model!r}.")
    check_integer("steps", steps, minimum=1)
    if isinstance(weight, str):
        if weight != "optimal":
            raise ValueError(f"`weight` must be 'optimal' or a number in [0, 1], got {weight!r}.")
    else:
        check_number("weight", weight, minimum=0.0, maximum=1.0)
    check_integer("verbose", verbose, minimum=0, maximum=1)
    if not (fit_arguments is None or isinstance(fit_arguments, dict)):
        raise TypeError(f"`fit_arguments` must be a dict, got {fit_arguments!r}.")
    validation = _validation("validation_data", validation_data, weight)
    activation = _activation(activation)
    labels = _numbers("y", y)
    for part in keras.tree.flatten(x):
        _numbers("x", part, len(labels))
    if sample_weight is not None:
        sample_weight = _numbers("sample_weight", sample_weight, len(labels))

    def predict(model, inputs):
        predicted = model.predict(inputs, verbose=0)
        return ops.convert_to_numpy(activation(ops.convert_to_tensor(predicted)))

    def trained(targets, model=None):
        model = _made(make_model) if model is None else model
        options = {"verbose": 0, **(fit_arguments or {})}
        model.fit(x, targets, sample_weight=sample_weight, **options)
        return model

    model = _made(make_model)
    first = predict(model, keras.tree.map_structure(lambda part: np.asarray(part)[:1], x))
    labels = _like_predictions("y", labels, first)
    if validation is not None:
        x_val, y_val, w_val = validation
        y_val = _like_predictions("validation_data", y_val, first)
    history: dict[str, list[float]] = {"weight": []}
    progress = keras.utils.Progbar(
        steps, verbose=verbose, stateful_metrics=["weight", "validation_mse"], unit_name="model"
    )

    def report(step, alpha):
        history["weight"].append(float(alpha))
        if validation is not None:
            errors = np.square(predict(model, x_val) - y_val, dtype="float64")
            errors = errors.reshape(len(errors), -1).mean(axis=1)
            history.setdefault("validation_mse", []).append(
                float(np.average(errors, weights=w_val))
            )
        progress.update(step, [(name, values[-1]) for name, values in history.items()])

    model = trained(labels, model)
    report(1, 1.0)
    if weight == "optimal":
        label_prediction = predict(model, x_val)
    for step in range(2, steps + 1):
        teacher = predict(model, x)
        if weight != "optimal":
            alpha = float(weight)
        else:
            alpha = optimal_distillation_weight(
                y_val,
                label_prediction,
                predict(trained(teacher), x_val),
                sample_weight=w_val,
                fallback=history["weight"][-1],
            )
        model = trained(alpha * labels + (1 - alpha) * teacher)
        report(step, alpha)
    return model, history


def _validation(name, value, weight):
    if value is None:
        if weight == "optimal":
            raise ValueError(f"`{name}` is needed for `weight`='optimal', got None.")
        return None
    if not isinstance(value, (list, tuple)) or len(value) not in (2, 3):
        raise TypeError(
            f"`{name}` must be a tuple (x, y) or (x, y, sample_weight), got {value!r:.60}."
        )
    labels = _numbers(name, value[1])
    for part in keras.tree.flatten(value[0]):
        _numbers(name, part, len(labels))
    given = value[2] if len(value) == 3 else None
    return value[0], labels, None if given is None else _numbers(name, given, len(labels))


def _activation(value):
    try:
        return keras.activations.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`activation` must be an activation of Keras, got {value!r}.") from error


def _numbers(name, value, size=None):
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must hold numbers, got {value!r:.60}.")
    if not array.ndim or not len(array) or (size is not None and len(array) != size):
        raise ValueError(f"`{name}` needs one entry for each sample, got shape {array.shape}.")
    return array


def _like_predictions(name, labels, predicted):
    labels = labels.astype("float32")
    if predicted.shape[1:] == (1,) and labels.ndim == 1:
        labels = labels[:, None]
    if labels.shape[1:] != predicted.shape[1:]:
        raise ValueError(
            f"`{name}`: targets of shape {labels.shape} do not fit predictions of shape "
            f"{(len(labels), *predicted.shape[1:])}; a classifier needs one-hot labels."
        )
    return labels


def _made(make_model):
    model = make_model()
    if not isinstance(model, keras.Model):
        raise TypeError(f"`make_model` must give a keras.Model, got {model!r}.")
    if not model.compiled:
        raise ValueError(f"`make_model` must give a compiled model, got {model.name!r} without.")
    return model
