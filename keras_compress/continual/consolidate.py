"""The end of a task."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.continual._variational import BinaryVariational
from keras_reweight.core.selection import layers_by_path, select_layers
from keras_reweight.core.state import sync_model


def consolidate(model: keras.Model, *, layers: Any = None) -> list[str]:
    """Keep what the binary variational layers of a model have learned as prior of the next task.

    Call it when a task has ended and before the next `fit`. From then on the loss of each of these
    layers contains the divergence from what it is now, times its `kl_weight`. Before the first
    call there is no such term.

    Args:
        model: Built `keras.Model` with `BinaryVariationalDense` or `BinaryVariationalConv2D`
            layers; changed in place.
        layers: Layers to consolidate: names, `re.Pattern`, predicates, layers, or a list of these;
            `None` for all. Defaults to `None`.

    Returns:
        List of the paths of the layers.

    Raises:
        TypeError: If `model` is no `keras.Model` or `layers` is of another type.
        ValueError: If the model is not built or `layers` selects no such layer.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([
        keras.Input((4,)), kc.continual.BinaryVariationalDense(2, name="last"),
    ])
    assert kc.continual.consolidate(model) == ["last"]
    ```

    Reference:
        Li et al., "Statistical mechanics of continual learning: Variational principle and
        mean-field potential", Physical Review E 108, 014309, 2023, arXiv 2212.02846.

    Cost:
        One copy of the weights.
    """
    selection = select_layers(model, layers, accept=_refusal)
    sync_model(model)
    for layer in selection.touched:
        layer.consolidate()
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    return [paths[id(layer)] for layer in selection.touched]


def _refusal(layer):
    return None if isinstance(layer, BinaryVariational) else "no binary variational layer"
