"""Moving statistics that fit the weights again."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.collect_input_statistics import batch_moments
from keras_compress.calibration.input_statistics import RunningMoments
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.observed_inputs import called_in_training_mode, observed_inputs
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_integer


def recalibrate_batch_norm(
    model: keras.Model, data: Any, *, layers: Any = None, batch_size: int = 256
) -> list[str]:
    """Set the moving mean and variance of batch normalizations to those of the data, in place.

    After channels or weights are gone, what reaches a normalization has another mean and variance
    than its moving statistics say, and these, not the weights, are then the larger part of the
    damage. Needs inputs alone. While the statistics are gathered, the normalizations work with
    those of the batch, everything else (dropout above all) as in inference.

    Args:
        model: A built `keras.Model`; changed in place.
        data: Inputs: array of shape `(num_samples, ...)` and any dtype, or batches.
        layers: The `BatchNormalization` layers: names, paths, `re.Pattern`, layers, predicates or a
            list. Defaults to `None`, all that are trainable.
        batch_size: Integer, for arrays; small batches make the layers behind see noisy inputs.
            Defaults to `256`.

    Returns:
        Paths of the layers that were changed.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the model has no such layer, one is not called, or inputs are not finite; the
            model is unchanged then.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    )
    x = 5.0 + np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    kc.structured.recalibrate_batch_norm(model, x)
    mean = keras.ops.convert_to_numpy(model.layers[0].moving_mean)
    assert abs(mean - 5.0).max() < 0.5
    ```

    Reference:
        Wang et al., "Structurally Prune Anything: Any Architecture, Any Framework, Any Time",
        arXiv 2403.18955, section 3.3; Li et al., "EagleEye", arXiv 2007.02491.

    Cost:
        One forward pass over `data`.
    """
    check_built(model, "recalibrate_batch_norm")
    check_integer("batch_size", batch_size, minimum=1)
    chosen = select_layers(model, layers, accept=_reason, candidates=all_layers(model)).touched
    sync_model(model)

    def collect(x):
        parts = []

        def observe(number, inputs, mask):
            axis = chosen[number].axis
            inputs = ops.moveaxis(inputs, axis, -1)
            parts.append((number, batch_moments(chosen[number], inputs, mask, False)))

        with called_in_training_mode(chosen), observed_inputs(model, chosen, observe):
            predictions_of(model, x)
        return parts

    forward = make_forward(collect, model.variables)
    pooled = [RunningMoments() for _ in chosen]
    for x, _, _ in iterate_batches(data, batch_size):
        for number, part in forward(as_model_inputs(model, x)):
            pooled[int(number)].add({k: ops.convert_to_numpy(v) for k, v in part.items()})
    for layer, running in zip(chosen, pooled, strict=True):
        if not running.count:
            raise ValueError(f"`data` does not reach layer {layer.path!r}.")
        if not (np.isfinite(running.mean).all() and np.isfinite(running.squares).all()):
            raise ValueError(f"`data` leads to inputs of layer {layer.path!r} that are not finite.")
    for layer, running in zip(chosen, pooled, strict=True):
        found = running.statistics(("mean", "var"))
        layer.moving_mean.assign(found.mean)
        layer.moving_variance.assign(found.var)
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    return [paths[id(layer)] for layer in chosen]


def _reason(layer):
    if not isinstance(layer, keras.layers.BatchNormalization):
        return "no batch normalization"
    return None if layer.trainable else "not trainable"
