"""Whether models went the same way from their start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built
from keras_reweight.merging._merge import Weight
from keras_reweight.merging._sources import live_reader, opened
from keras_reweight.signatures.weight_selection import select_weights


def offset_cosines(model: keras.Model, tuned: Sequence[Any], *, layers: Any = None) -> np.ndarray:
    """Cosines between what several models have changed since the model they come from.

    Look at them before merging. Near one: the models learned the same, and their average loses
    nothing. Near zero: tasks that do not meet, which is what task arithmetic hopes for. Near 0.5
    for all pairs, with changes as large as the weights: models of other starts than `model`, whose
    change is mostly the way from it; do not merge these. All selected weights are taken as one
    vector, moving statistics of batch normalization left out.

    Args:
        model: A built `keras.Model`, the common start. It is left as it is.
        tuned: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files.
        layers: Layers to compare, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.

    Returns:
        Float64 array of shape `(models, models)`, symmetric, ones on the diagonal; zero beside a
        model that has not changed.

    Raises:
        TypeError: If `model` is not a model, or `tuned` holds something else.
        ValueError: If `model` is not built, `tuned` is empty or of another architecture, or the
            selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    kernel, start, tuned = model.layers[0].kernel, kr.WeightSnapshot(model), []
    for change in ([[0.0], [5.0]], [[3.0], [4.0]]):
        start.restore(model)
        kernel.assign_add(change)
        tuned.append(kr.WeightSnapshot(model))
    start.restore(model)
    cosines = kr.merging.offset_cosines(model, tuned)
    np.testing.assert_allclose(cosines, [[1.0, 0.8], [0.8, 1.0]], rtol=1e-5)
    ```

    Reference:
        Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, arXiv 2212.04089,
        figure 5; Jang et al., "Model Stock", ECCV 2024, arXiv 2403.19522, section 3.
    """
    check_built(model, "offset_cosines")
    selection = select_weights(model, layers, "affine")
    read_base = live_reader(model)
    products: Any = 0.0
    with opened(model, tuned, selection.indices, argument="tuned") as readers:
        for index in selection.indices:
            offsets = Weight(index, False, read_base(index), readers).offsets()
            products = products + np.array(
                [[np.vdot(first, second) for second in offsets] for first in offsets]
            )
    norms = np.sqrt(np.diagonal(products))
    scale = np.outer(norms, norms)
    cosines = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0.0)
    np.fill_diagonal(cosines, 1.0)
    return cosines
