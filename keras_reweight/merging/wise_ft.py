"""The straight line from a model to its fine-tuned version."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.validation import check_number
from keras_reweight.merging._merge import Weight, merge
from keras_reweight.signatures.patch import Patch


def wise_ft(
    model: keras.Model,
    tuned: Any,
    *,
    alpha: float = 0.75,
    layers: Any = None,
    name: str = "wise_ft",
) -> Patch:
    """Go part of the way from a model to its fine-tuned version.

    The weights become `(1 - alpha) * model + alpha * tuned`. Fine-tuning gains accuracy on the new
    data and loses some elsewhere; in between, a good part of both is often kept. With `alpha=1.0`
    the patch leads to `tuned`, and the strength of the patch is the position on the line:
    `patcher.set_alpha("wise_ft", 0.4)`. Moving statistics of batch normalization go along; estimate
    them anew with `kr.signatures.reestimate_batch_norm`.

    Args:
        model: A built `keras.Model`, the zero-shot or pretrained one. It is left as it is.
        tuned: A model, a `WeightSnapshot`, or the name of a `.weights.h5`, `.keras` or safetensors
            file.
        alpha: Float in `[0, 1]`, share of the fine-tuned model. Defaults to `0.75`.
        layers: Layers to move, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"wise_ft"`.

    Returns:
        A `Patch` on `model`.

    Raises:
        TypeError: If `model` or `tuned` is of the wrong kind, or `alpha` not a number.
        ValueError: If `model` is not built, `tuned` of another architecture, `alpha` outside of
            `[0, 1]`, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    pretrained = kr.WeightSnapshot(model)
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    tuned = kr.WeightSnapshot(model)
    pretrained.restore(model)
    with kr.merging.wise_ft(model, tuned, alpha=0.5).patched(model):
        halfway = keras.ops.convert_to_numpy(model.layers[0].kernel)
    np.testing.assert_allclose(halfway, (pretrained.arrays[0] + tuned.arrays[0]) / 2, rtol=1e-5)
    ```

    Reference:
        Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv 2109.01903,
        equation 1; mlfoundations/wise-ft.
    """
    check_number("alpha", alpha, minimum=0.0, maximum=1.0)

    def step(weight: Weight):
        return alpha * weight.offsets()[0]

    return merge(
        model,
        [tuned],
        step,
        argument="tuned",
        name=name,
        kind="wise_ft",
        layers=layers,
        statistics=True,
    )
