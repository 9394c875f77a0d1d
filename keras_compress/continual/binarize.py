"""From a distribution over binary weights to the weights."""

from __future__ import annotations

import math

import keras
import numpy as np

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    rebuild,
)
from keras_compress.continual._variational import BinaryVariational
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_choice

_EXAMPLE = "keras.layers.Dense(..., use_bias=False)"


def binarize(model: keras.Model, *, weights: str = "sign") -> keras.Model:
    """A plain Keras model with the binary weights that a variational model has learned.

    Use it to deploy. Each `BinaryVariationalDense` becomes a `Dense` and each
    `BinaryVariationalConv2D` a `Conv2D` of the same name, without bias and with the weights
    `sign(theta) / sqrt(n)` of `n` inputs: two values, one bit each. The rest is copied, the given
    model is left untouched.

    Args:
        model: Built Functional or Sequential `keras.Model` with such layers.
        weights: `"sign"` for binary weights, `"mean"` for `tanh(theta)`, with which the result
            computes what the model does in inference. Defaults to `"sign"`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If the model is not built, is subclassed or has no such layer, or `weights` is
            unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((4,)), kc.continual.BinaryVariationalDense(2)])
    (kernel,) = kc.continual.binarize(model).get_weights()
    np.testing.assert_array_equal(np.abs(kernel), 0.5)
    ```

    Reference:
        Li et al., "Statistical mechanics of continual learning: Variational principle and
        mean-field potential", Physical Review E 108, 014309, 2023, arXiv 2212.02846.

    Cost:
        One copy of the model.
    """
    check_built(model, "binarize")
    check_choice("weights", weights, ["sign", "mean"])
    check_rebuildable(model, "binarize", _EXAMPLE)
    if not any(isinstance(layer, BinaryVariational) for layer in graph_layers(model)):
        raise ValueError(
            f"binarize: model {model.name!r} has no BinaryVariationalDense or "
            "BinaryVariationalConv2D layer."
        )
    sync_model(model)

    def replace(layer):
        return layer.plain_layer() if isinstance(layer, BinaryVariational) else copy_layer(layer)

    result, pairs = rebuild(model, replace)
    for old, new in pairs.values():
        if isinstance(old, BinaryVariational):
            new.kernel.assign(_values(old, weights))
            new.trainable = old.trainable
        else:
            copy_state(old, new)
    return result


def _values(layer, weights):
    theta = keras.ops.convert_to_numpy(layer.theta.value).astype("float32")
    # A weight that is exactly undecided counts as plus.
    values = np.where(theta < 0.0, -1.0, 1.0) if weights == "sign" else np.tanh(theta)
    return (values / math.sqrt(layer.fan_in(theta.shape))).astype("float32")
