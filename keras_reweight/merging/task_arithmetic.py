"""Sums of task vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.merging._merge import Weight, merge
from keras_reweight.merging._sources import check_weights
from keras_reweight.merging._task_vectors import combine
from keras_reweight.signatures.patch import Patch


def task_arithmetic(
    model: keras.Model,
    tuned: Sequence[Any],
    *,
    weights: Sequence[float] | None = None,
    layers: Any = None,
    name: str = "task_arithmetic",
) -> Patch:
    """Add what several fine-tuned models have learned to the model they come from.

    The task vector of a model is what fine-tuning changed, `tau_i = theta_i - theta`; the patch is
    `sum(w_i * tau_i)`. A negative weight takes an ability away. The strength of the patch is the
    scaling coefficient of the paper; choose it on held-out data, 0.3 to 0.5 for several tasks.
    Where the tasks disagree about weights, try `ties`, `dare` or `breadcrumbs`. Moving statistics
    of batch normalization are left alone: estimate them anew with
    `kr.signatures.reestimate_batch_norm`.

    Args:
        model: A built `keras.Model`, the pretrained one. It is left as it is.
        tuned: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files, fine-tuned from `model`.
        weights: List of numbers, one a model; `None` for ones. Defaults to `None`.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"task_arithmetic"`.

    Returns:
        A `Patch` on `model`.

    Raises:
        TypeError: If `model` is not a model, `tuned` holds something else, or `weights` no numbers.
        ValueError: If `model` is not built, `tuned` is empty or of another architecture, `weights`
            does not fit, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    kernel = model.layers[0].kernel
    kernel.assign([[2.0], [0.0]])
    tuned = kr.WeightSnapshot(model)
    kernel.assign([[1.0], [2.0]])
    with kr.merging.task_arithmetic(model, [tuned]).patched(model, alpha=0.5):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel), [[1.5], [1.0]])
    ```

    Reference:
        Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, arXiv 2212.04089;
        mlfoundations/task_vectors; method `task_arithmetic` of arcee-ai/mergekit.
    """
    found = check_weights(weights, tuned)

    def add(weight: Weight):
        return combine(weight.offsets(), found)

    return merge(
        model,
        tuned,
        add,
        argument="tuned",
        name=name,
        kind="task_arithmetic",
        layers=layers,
        statistics=False,
    )
