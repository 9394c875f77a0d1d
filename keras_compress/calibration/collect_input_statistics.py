"""Moments of what goes into layers, in one pass over calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.input_statistics import InputStatistics, RunningMoments
from keras_compress.calibration.kernel_rows import (
    has_kernel_rows,
    input_rows,
    num_groups,
    row_mask,
)
from keras_reweight.core.batches import iterate_batches, num_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.observed_inputs import observed_inputs, steps_inside
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_choice, check_integer

MOMENTS = ("mean", "var", "second_moment", "gram")


def collect_input_statistics(
    model: keras.Model,
    data: Any,
    *,
    layers: Any = None,
    moments: Sequence[str] = ("mean", "var", "second_moment"),
    batch_size: int = 32,
    verbose: int = 0,
) -> dict[str, InputStatistics]:
    """Mean, variance and Gram matrix of the inputs of chosen layers over calibration data.

    The raw material of data-driven compression: which inputs of a layer are large, hardly vary or
    follow from others. The model runs in inference mode and is left as it was. Nested and
    subclassed models, the projections inside attention layers and layers called several times
    (their calls are pooled) are covered; masked tokens do not count. Variances are pooled exactly
    (Chan et al.), not as differences of large sums.

    Args:
        model: A built `keras.Model`.
        data: Inputs: array of shape `(num_samples, ...)` and any dtype, a tuple `(x, ...)`,
            `PyDataset`, `tf.data`, `DataLoader` or batches; labels are ignored.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all `Dense`, `EinsumDense`, convolution and depthwise layers.
        moments: Names out of `"mean"`, `"var"`, `"second_moment"` and `"gram"`; the Gram matrix
            has the square of the number of rows as size. Defaults to all others.
        batch_size: Integer, for arrays. Defaults to `32`.
        verbose: `0`, `1` or `2`, progress bar as in Keras. Defaults to `0`.

    Returns:
        Dict from layer path (names from the outermost container inwards) to `InputStatistics`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a layer is unknown, not called, gets no single float tensor, or is called
            step by step inside a recurrent layer or `TimeDistributed`; if an input is not finite or
            every token is masked; or for unknown `moments`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3, name="conv")])
    x = np.random.default_rng(0).normal(size=(10, 6, 6, 3)).astype("float32")
    found = kc.calibration.collect_input_statistics(model, x, moments=["mean", "gram"])
    assert found["conv"].mean.shape == (27,) and found["conv"].gram.shape == (27, 27)
    ```

    Reference:
        Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance: Analysis and
        Recommendations", The American Statistician 37(3), 1983.

    Cost:
        One forward pass over the data; convolutions unfold their inputs to patches for one batch.
    """
    check_built(model, "collect_input_statistics")
    moments = check_moments(moments)
    check_integer("batch_size", batch_size, minimum=1)
    check_choice("verbose", verbose, [0, 1, 2])
    chosen = calibrated_layers(model, layers)
    sync_model(model)
    pooled = {path: RunningMoments() for path in chosen}
    forward = _make_forward(model, list(chosen.values()), "gram" in moments)
    progress = keras.utils.Progbar(
        num_batches(data, batch_size), verbose=verbose, unit_name="batch"
    )
    for number, (x, _, _) in enumerate(iterate_batches(data, batch_size)):
        for layer_number, part in forward(as_model_inputs(model, x)):
            path = list(chosen)[int(layer_number)]
            part = {name: ops.convert_to_numpy(value) for name, value in part.items()}
            if not all(np.isfinite(value).all() for value in part.values()):
                raise ValueError(f"`data` leads to inputs of layer {path!r} that are not finite.")
            pooled[path].add(part)
        progress.update(number + 1)
    for path, running in pooled.items():
        if not running.count:
            raise ValueError(
                f"`data` does not reach layer {path!r}: it is not called, or every token is masked."
            )
    return {path: running.statistics(moments) for path, running in pooled.items()}


def check_moments(moments: Any) -> tuple[str, ...]:
    """The names as a tuple, or `TypeError` and `ValueError`."""
    if isinstance(moments, str) or not isinstance(moments, Sequence):
        raise TypeError(f"`moments` must be a list of names out of {MOMENTS}, got {moments!r}.")
    if not moments or set(moments) - set(MOMENTS):
        raise ValueError(f"`moments` must be names out of {MOMENTS}, got {moments!r}.")
    return tuple(moments)


def calibrated_layers(model: keras.Model, layers: Any = None) -> dict[str, keras.layers.Layer]:
    """Path to layer for a `layers=` argument; a layer inside a loop is refused."""
    inside = steps_inside(model)

    def accept(layer):
        if id(layer) in inside:
            return f"called step by step inside {inside[id(layer)]!r}"
        if layers is None and not has_kernel_rows(layer):
            return "no dense or convolution layer"
        return None

    selection = select_layers(model, layers, accept=accept, candidates=all_layers(model))
    refused = {
        path: reason
        for path, reason in selection.skipped.items()
        if layers is not None and reason != "not selected"
    }
    if refused:
        raise ValueError(f"`layers`: the inputs of these layers cannot be collected: {refused}.")
    touched = {id(layer) for layer in selection.touched}
    return {path: layer for path, layer in layers_by_path(model).items() if id(layer) in touched}


def _make_forward(model, layers, with_products):
    def collect(x):
        parts = []

        def observe(number, inputs, mask):
            layer = layers[number]
            if not ops.is_tensor(inputs) or not keras.backend.is_float_dtype(
                keras.backend.standardize_dtype(inputs.dtype)
            ):
                raise ValueError(
                    f"`layers`: layer {layer.path!r} does not get one tensor of floating point "
                    "numbers."
                )
            parts.append((number, batch_moments(layer, inputs, mask, with_products)))

        with observed_inputs(model, layers, observe):
            predictions_of(model, x)
        return parts

    return make_forward(collect, model.variables)


def batch_moments(layer, inputs, mask, with_products):
    """Sums of one call, about a center near the mean so that float32 suffices."""
    wide = keras.backend.standardize_dtype(inputs.dtype) == "float64"
    rows = ops.cast(input_rows(layer, inputs), "float64" if wide else "float32")
    feature_axes = 2 if num_groups(layer) > 1 else 1
    num_positions = len(rows.shape) - feature_axes
    if mask is None:
        valid = ops.ones_like(rows[(..., *[slice(1)] * feature_axes)], dtype="bool")
    else:
        valid = _valid_positions(layer, mask, rows, num_positions)
    # A masked token may hold anything, and 0 * NaN is NaN.
    rows = ops.where(valid, rows, 0.0)
    positions = tuple(range(num_positions))
    count = ops.sum(ops.cast(valid, rows.dtype))
    center = ops.sum(rows, axis=positions) / ops.maximum(count, 1.0)
    away = ops.where(valid, rows - center, 0.0)
    part = {
        "count": count,
        "center": center,
        "sum": ops.sum(away, axis=positions),
        "squares": ops.sum(ops.square(away), axis=positions),
    }
    if with_products:
        flat = ops.reshape(away, (-1, *ops.shape(away)[num_positions:]))
        flat = ops.transpose(flat, (1, 0, 2)) if feature_axes == 2 else flat
        part["products"] = ops.matmul(ops.swapaxes(flat, -1, -2), flat)
    return part


def _valid_positions(layer, mask, rows, num_positions):
    """The mask for `rows`: it may lack the last positions, and has no features."""
    mask = ops.cast(row_mask(layer, mask), "bool")
    missing = num_positions - len(mask.shape)
    if missing < 0:
        raise ValueError(f"`layers`: the mask of layer {layer.path!r} covers axes of its features.")
    feature_axes = len(rows.shape) - num_positions
    shape = ops.shape(rows)
    mask = ops.reshape(mask, (*ops.shape(mask), *[1] * (missing + feature_axes)))
    return ops.broadcast_to(mask, (*shape[:num_positions], *[1] * feature_axes))
