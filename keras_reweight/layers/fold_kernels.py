"""From layers with reparametrized kernels to plain ones."""

from __future__ import annotations

import keras

from keras_reweight.core.model_kind import is_functional
from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_built
from keras_reweight.layers._reparametrized import ReparametrizedKernel


def fold_kernels(model: keras.Model) -> keras.Model:
    """A copy of a model with plain Keras layers for all weighted and companded ones.

    Use it after training with `WeightedConv2D`, `CompandedDense` and the like: the result computes
    the same, loads without this package, and can be pruned, quantized, merged or exported as any
    other model. The given model is left as it is.

    Args:
        model: A built functional or sequential `keras.Model`; nested ones are opened.

    Returns:
        A new uncompiled `keras.Model` of the same kind.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If `model` is not built, has no such layer, or is subclassed, or such a layer is
            held by a layer of another kind; call `fold()` on the layers themselves there.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((8, 8, 1)), kr.layers.WeightedConv2D(4, 3), keras.layers.Flatten()]
    model = keras.Sequential([*layers, kr.layers.CompandedDense(2)])
    plain = kr.layers.fold_kernels(model)
    x = np.ones((1, 8, 8, 1), "float32")
    np.testing.assert_allclose(
        plain.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )
    ```

    Reference:
        None; the counterpart of the reparametrized layers.

    Cost:
        One copy of the model.
    """
    check_built(model, "fold_kernels")
    reparametrized = [one for one in all_layers(model) if isinstance(one, ReparametrizedKernel)]
    if not reparametrized:
        raise ValueError(
            f"`model` {model.name!r} has no layer whose kernel is reparametrized, such as "
            "`WeightedConv2D` or `CompandedDense`; it is plain already."
        )
    pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def folded(layer):
        if isinstance(layer, ReparametrizedKernel):
            plain = layer.fold()
        else:
            plain = type(layer).from_config(layer.get_config())
            pairs.append((layer, plain))
        plain.trainable = layer.trainable
        return plain

    _check_open(model)
    result = keras.models.clone_model(model, clone_function=folded, recursive=True)
    left = [one.name for one in all_layers(result) if isinstance(one, ReparametrizedKernel)]
    if left:
        raise ValueError(
            f"`model` {model.name!r}: layers {left} are held by layers of other kinds, which make "
            "them themselves. Call their `fold()`."
        )
    for layer, plain in pairs:
        plain.set_weights(layer.get_weights())
    return result


def _check_open(model):
    if not (isinstance(model, keras.Sequential) or is_functional(model)):
        raise ValueError(
            f"`model` {model.name!r} is a {type(model).__name__}, which cannot be taken apart; "
            "call `fold()` on its layers."
        )
