"""The arc between two models."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_number
from keras_reweight.merging._merge import Weight, merge
from keras_reweight.signatures.patch import Patch

# Above this cosine the arc is a straight line.
_STRAIGHT = 0.9995
# A vector below this norm has no direction.
_SMALL = 1e-8


def slerp(
    model: keras.Model,
    other: Any,
    *,
    t: float = 0.5,
    layers: Any = None,
    name: str = "slerp",
) -> Patch:
    """Interpolate between two models along an arc, which keeps the norm of every weight.

    Seen as vectors, the weights `a` of `model` and `b` of `other` are at an angle `omega`; their
    merge is `a sin((1 - t) omega) / sin(omega) + b sin(t omega) / sin(omega)`, tensor by tensor.
    Where the angle is tiny (cosine above 0.9995), that is the straight line, and then `wise_ft`
    does the same for less. The models should come from one start.

    Args:
        model: A built `keras.Model`, the end at `t=0`. It is left as it is.
        other: The end at `t=1`: a model, a `WeightSnapshot`, or the name of a `.weights.h5`,
            `.keras` or safetensors file.
        t: Float in `[0, 1]`. Defaults to `0.5`.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"slerp"`.

    Returns:
        A `Patch` on `model`.

    Raises:
        TypeError: If `model` or `other` is of the wrong kind, or `t` not a number.
        ValueError: If `model` is not built, `other` of another architecture, `t` outside of
            `[0, 1]`, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[1.0], [0.2]])
    other = kr.WeightSnapshot(model)
    model.layers[0].kernel.assign([[0.2], [1.0]])
    with kr.merging.slerp(model, other, t=0.5).patched(model):
        kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    np.testing.assert_allclose(np.square(kernel).sum(), 1.04, rtol=1e-5)
    ```

    Reference:
        Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985; method `slerp` of
        arcee-ai/mergekit.

    Deviations:
        mergekit takes a tensor of zeros for one that is at a right angle to everything; here the
        way from or to zero is a straight line, as is that of opposite tensors, whose arc is not
        determined, and that of moving statistics of batch normalization.
    """
    check_number("t", t, minimum=0.0, maximum=1.0)

    def arc(weight: Weight):
        (end,) = weight.values()
        start = weight.base
        norms = np.linalg.norm(start) * np.linalg.norm(end)
        cosine = np.vdot(start, end) / norms if norms > _SMALL**2 else 1.0
        if weight.is_statistic or abs(cosine) > _STRAIGHT:
            return t * (end - start)
        omega = np.arccos(cosine)
        first, second = np.sin((1.0 - t) * omega), np.sin(t * omega)
        return (first * start + second * end) / np.sin(omega) - start

    return merge(
        model,
        [other],
        arc,
        argument="other",
        name=name,
        kind="slerp",
        layers=layers,
        statistics=True,
    )
