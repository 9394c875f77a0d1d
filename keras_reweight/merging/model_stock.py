"""An average of models, pulled back towards the model they come from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.merging._merge import Weight, merge
from keras_reweight.signatures.patch import Patch

_SMALL = 1e-6


def model_stock(
    model: keras.Model,
    tuned: Sequence[Any],
    *,
    layers: Any = None,
    name: str = "model_stock",
) -> Patch:
    """Average fine-tuned models, and go back towards the pretrained one as far as they disagree.

    Fine-tuned models lie around a center that is better than each of them. For each tensor, with
    `c` the mean cosine between the changes of the `N` models, the point nearest to that center is
    `t * average + (1 - t) * pretrained` with `t = N c / (1 + (N - 1) c)`. Two or three models are
    enough, no data are needed, and there is nothing to tune. Moving statistics of batch
    normalization are averaged.

    Args:
        model: A built `keras.Model`, the pretrained one. It is left as it is.
        tuned: List of two or more models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras`
            or safetensors files, fine-tuned from `model` on the same task.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"model_stock"`.

    Returns:
        A `Patch` on `model`.

    Raises:
        TypeError: If `model` is not a model, or `tuned` holds something else.
        ValueError: If `model` is not built, `tuned` holds fewer than two models or one of another
            architecture, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    kernel = model.layers[0].kernel
    kernel.assign([[4.0], [4.0]])
    start, tuned = kr.WeightSnapshot(model), []
    for change in ([[1.0], [0.0]], [[0.6], [0.8]]):
        start.restore(model)
        kernel.assign_add(change)
        tuned.append(kr.WeightSnapshot(model))
    start.restore(model)
    patch = kr.merging.model_stock(model, tuned)
    np.testing.assert_allclose(patch.delta(0), 0.75 * np.array([[0.8], [0.4]]), rtol=1e-5)
    ```

    Reference:
        Jang et al., "Model Stock: All we need is just a few fine-tuned models", ECCV 2024,
        arXiv 2403.19522, equation 7; method `model_stock` of arcee-ai/mergekit.

    Deviations:
        For more than two models the mean of the pairwise cosines is taken, as in mergekit. Where
        it is negative, the tensor stays as it was: the formula would move it against all of them.
    """

    def stock(weight: Weight):
        offsets = weight.offsets()
        average = sum(offsets) / len(offsets)
        if weight.is_statistic:
            return average
        cosines = []
        for first, second in itertools.combinations(offsets, 2):
            norms = max(np.linalg.norm(first) * np.linalg.norm(second), _SMALL)
            cosines.append(np.clip(np.vdot(first, second) / norms, -1.0, 1.0))
        cosine = max(float(np.mean(cosines)), 0.0)
        count = len(offsets)
        return count * cosine / (1.0 + (count - 1) * cosine) * average

    return merge(
        model,
        tuned,
        stock,
        argument="tuned",
        name=name,
        kind="model_stock",
        layers=layers,
        statistics=True,
        minimum=2,
    )
