"""Errors along the straight line between the weights of two models."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batch_norm import batch_norm_layers, batch_norm_moments
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.mode_connectivity import ModeConnectivity
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_integer


def linear_mode_connectivity(
    model1: keras.Model,
    model2: keras.Model,
    data: Any,
    points: int = 11,
    *,
    loss: Any = None,
    batch_norm_data: Any = None,
    batch_size: int = 128,
) -> ModeConnectivity:
    """Error (or loss) of the models on the straight line between two trained models.

    Use it to ask whether two models, trained or pruned with other random numbers, lie in the same
    basin. At each of `points` positions `t` the weights are `(1 - t) w1 + t w2`; the moving
    statistics of batch normalization are estimated anew. Both models are left as they
    are, bit for bit.

    Args:
        model1: A built `keras.Model`.
        model2: A built `keras.Model` of the same architecture.
        data: Labeled samples `(x, y)`: arrays, `PyDataset`, `tf.data`, `DataLoader` or batches
            that do not shuffle. The training data in the paper.
        points: Integer >= 2. Defaults to `11`.
        loss: `keras.losses.Loss`, function `(y_true, y_pred) -> values of the samples`, or the name
            of one; `None` for the classification error, with class ids or one-hot labels. Defaults
            to `None`.
        batch_norm_data: Inputs to estimate the statistics of batch normalization on, like `data`,
            with or without labels; `None` takes `data`. Only for models with batch normalization.
            Defaults to `None`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `128`.

    Returns:
        A `ModeConnectivity`: the values, and the numbers `connectivity` and `barrier`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a model is not built, the weights differ in shape, `points` is less than 2,
            `data` holds no labels, or `batch_norm_data` are of no use.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_compress.analysis import linear_mode_connectivity

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x, y = np.random.default_rng(0).normal(size=(12, 4)).astype("float32"), np.arange(12) % 3
    found = linear_mode_connectivity(model, model, (x, y), points=3)
    assert found.barrier == 0.0
    ```

    Reference:
        Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020,
        arXiv 1912.05671; Yang et al., "A Three-regime Model of Network Pruning", ICML 2023,
        arXiv 2305.18383; github.com/YefanZhou/ThreeRegimePruning.

    Cost:
        A forward pass over the data for each point, two for models with batch normalization.
    """
    check_built(model1, "linear_mode_connectivity", "model1")
    check_built(model2, "linear_mode_connectivity", "model2")
    check_integer("points", points, minimum=2)
    check_integer("batch_size", batch_size, minimum=1)
    if batch_norm_data is not None and not batch_norm_layers(model1):
        raise ValueError(
            f"`batch_norm_data` is given ({type(batch_norm_data).__name__}), but `model1` "
            f"({model1.name!r}) has no batch normalization."
        )
    measure = _classification_error if loss is None else _loss_measure(loss)
    for model in (model1, model2):
        sync_model(model)
    first, second = ([_read(v) for v in model.weights] for model in (model1, model2))
    shapes = [[value.shape for value in values] for values in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`model2` ({model2.name!r}) must have the weight shapes of `model1` "
            f"({model1.name!r}): {shapes[0]}, got {shapes[1]}."
        )
    statistics = (data, "data") if batch_norm_data is None else (batch_norm_data, "batch_norm_data")
    positions = np.linspace(0.0, 1.0, points)
    values = []
    forward = make_forward(lambda x: predictions_of(model1, x), model1.variables)
    try:
        for t in positions:
            for variable, a, b in zip(model1.weights, first, second, strict=True):
                variable.assign(_between(a, b, t))
            _reestimate(model1, statistics, batch_size)
            values.append(_evaluate(model1, forward, data, measure, batch_size))
    finally:
        for variable, value in zip(model1.weights, first, strict=True):
            variable.assign(np.array(value))
    return ModeConnectivity(positions, np.asarray(values))


def _read(variable):
    return np.array(ops.convert_to_numpy(variable.value))


def _between(a, b, t):
    """The point between, in the type of `a`; the ends exactly, integers as in the nearer end."""
    if t in (0.0, 1.0) or not np.issubdtype(a.dtype, np.floating):
        return np.array(a if t < 0.5 else b)
    return ((1.0 - t) * a.astype("float64") + t * b.astype("float64")).astype(a.dtype)


def _reestimate(model, statistics, batch_size):
    layers = batch_norm_layers(model)
    if not layers:
        return
    data, argument = statistics
    before = [(variable, _read(variable)) for variable in model.non_trainable_variables]
    try:
        read = iterate_batches(data, batch_size, argument=argument)
        batches = (as_model_inputs(model, x) for x, _, _ in read)
        estimates = batch_norm_moments(model, layers, batches)
    finally:
        for variable, value in before:
            variable.assign(value)
    for layer, (mean, variance) in zip(layers, estimates, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def _evaluate(model, forward, data, measure, batch_size):
    total, count = 0.0, 0
    for x, y, _ in iterate_batches(data, batch_size):
        if y is None:
            raise ValueError("`data` must hold labels: pass `(x, y)`.")
        each = np.ravel(measure(y, forward(as_model_inputs(model, x)))).astype("float64")
        total, count = total + float(each.sum()), count + each.size
    return total / count


def _classification_error(y_true, y_pred):
    predicted = ops.convert_to_numpy(y_pred)
    if predicted.shape[-1] == 1:
        raise ValueError("`loss`: the error counts classes, the model has one output; pass a loss.")
    labels = np.asarray(y_true)
    if labels.shape == predicted.shape:
        labels = labels.argmax(axis=-1)
    return predicted.argmax(axis=-1) != labels.reshape(predicted.shape[:-1])


def _loss_measure(loss):
    function = keras.losses.get(loss)
    if isinstance(function, keras.losses.Loss):
        # Values of the samples: the mean over all data does not depend on the batches.
        function = function.call
    if not callable(function):
        raise TypeError(f"`loss` must be a loss, a function or a name, got {loss!r}.")

    def measure(y_true, y_pred):
        return ops.convert_to_numpy(function(ops.convert_to_tensor(y_true), y_pred))

    return measure
