"""How sharply features tell the samples of a batch apart, without labels."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_number


def similarity_entropy(features: Any, *, temperature: float = 20.0) -> Any:
    """Entropy of each sample's softmax similarities to all samples of the batch.

    A label-free objective for feature extractors, which have no classes: pass it to
    `adaptive_width(objective=...)`. Low for features that tell the samples apart. With unit
    features `f` and `p_i = softmax(temperature * f f_i)`: `-sum_j p_ij log p_ij`, the sample itself
    included.

    Args:
        features: Float tensor of shape `(batch, ...)`; further axes are flattened.
        temperature: Float > 0, factor of the cosine similarities; 15 to 20 for large vision
            models. Defaults to `20.0`.

    Returns:
        Float tensor of shape `(batch,)`.

    Raises:
        TypeError: If `temperature` is no number.
        ValueError: If `temperature` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    apart = kc.structured.similarity_entropy(np.eye(4, dtype="float32"))
    assert apart.shape == (4,)
    ```

    Reference:
        "Adaptive MLP Pruning for Large Vision Transformers", arXiv 2603.08100.
    """
    check_number("temperature", temperature, exclusive_minimum=0.0)
    features = ops.convert_to_tensor(features)
    features = ops.reshape(features, (ops.shape(features)[0], -1))
    norms = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-12)
    unit = features / norms
    logs = ops.log_softmax(temperature * ops.matmul(unit, ops.transpose(unit)), axis=-1)
    return -ops.sum(ops.exp(logs) * logs, axis=-1)
