"""Back to a plain model."""

from __future__ import annotations

import keras

from keras_compress.pruning.masked_training import MaskedTraining
from keras_reweight.core.training_callback import attached_callbacks


def strip(model: keras.Model) -> keras.Model:
    """Take masks off a model that an interrupted `fit` left on it.

    Masks live on a model only during `fit` and are taken off at its end, so a model that finished
    training is plain already and `strip` changes nothing. After an exception or an interrupt in
    `fit` it zeroes the masked weights exactly, puts their constraints back and drops the masks
    from the optimizer. Calling it twice does no harm. Quantized layers stay as they are: `freeze`
    is for those.

    Args:
        model: A `keras.Model`.

    Returns:
        The same model, for chaining.

    Raises:
        TypeError: If `model` is not a `keras.Model`.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
    kc.prune_magnitude(model, 0.5)
    assert kc.strip(model) is model
    ```

    Reference:
        None; the counterpart of `strip_pruning` in github.com/tensorflow/model-optimization, which
        has wrapper layers to remove.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model, got {model!r}.")
    for callback in attached_callbacks(model):
        if isinstance(callback, MaskedTraining):
            callback.detach()
    return model
