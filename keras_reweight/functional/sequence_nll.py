"""Negative log-likelihood of sequences under a model, computed once on the host."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.loss_evaluation import keras_mask
from keras_reweight.core.token_log_prob import sequence_sums, token_log_prob
from keras_reweight.core.validation import check_built, check_integer


def sequence_nll(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    ignore_id: int | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Summed token losses of every sequence, as a model sees them before training.

    Use it once with the model before unlearning or preference training, and pass the result to
    `Unlearn(reference_nll=...)` or `kr.data.pack_reference`: no second model has to run inside the
    training step. The model runs in inference mode; its Keras mask is respected.

    Args:
        model: A built `keras.Model` that gives logits of shape `(batch, time, classes)`.
        x: Inputs of the model: an array of shape `(num_samples, ...)` and any dtype, or a list or
            dict of such arrays.
        y: Integer array of shape `(num_samples, time)`: the token each position predicts; ids
            outside the classes, such as -100, do not count.
        ignore_id: Integer or `None`, one more id that does not count. Defaults to `None`.
        batch_size: Integer >= 1. Defaults to `32`.

    Returns:
        Float32 NumPy array of shape `(num_samples,)`.

    Raises:
        TypeError: If `model` is not a `keras.Model`, or an option is not an integer.
        ValueError: If `model` is not built, `batch_size < 1`, or `x` and `y` have not one length
            or do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((5,)), keras.layers.Embedding(7, 4),
                              keras.layers.Dense(7)])
    tokens = np.random.default_rng(0).integers(0, 7, (6, 6))
    reference = kr.functional.sequence_nll(model, tokens[:, :-1], tokens[:, 1:])
    ```

    Reference:
        Zhang et al., "Negative Preference Optimization: From Catastrophic Collapse to Effective
        Unlearning", COLM 2024, arXiv 2404.05868, for the reference model that this replaces.

    Cost:
        One forward pass over `x`, outside any compiled step.
    """
    check_built(model, "sequence_nll")
    check_integer("batch_size", batch_size, minimum=1)
    if ignore_id is not None:
        check_integer("ignore_id", ignore_id)
    y = np.asarray(y)
    if y.ndim != 2 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"`y` must be an integer array of shape (num_samples, time), got {y.dtype} of shape "
            f"{y.shape}."
        )
    lengths = {len(leaf) for leaf in keras.tree.flatten(x)}
    if lengths != {len(y)}:
        raise ValueError(
            f"`x` and `y` must have one length, got {sorted(lengths)} and {len(y)} samples."
        )
    found = []
    for begin in range(0, len(y), batch_size):
        rows = slice(begin, begin + batch_size)
        inputs = keras.tree.map_structure(lambda leaf, rows=rows: leaf[rows], x)
        outputs = model(inputs, training=False)
        # Only the output itself carries the mask.
        mask, logits = keras_mask(outputs), ops.cast(ops.stop_gradient(outputs), "float32")
        log_probs, valid = token_log_prob(logits, y[rows], ignore_id)
        sums, _ = sequence_sums(log_probs, valid, mask)
        found.append(-ops.convert_to_numpy(sums))
    return np.concatenate(found).astype("float32")
