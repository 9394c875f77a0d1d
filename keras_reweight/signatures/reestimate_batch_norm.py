"""Batch normalization statistics for weights that were changed without training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batch_norm import batch_norm_layers, batch_norm_moments
from keras_reweight.core.selection import select_layers
from keras_reweight.core.validation import check_built, check_integer
from keras_reweight.signatures.live_weights import assign_all, read_variable
from keras_reweight.signatures.patch import Patch


def reestimate_batch_norm(
    model: keras.Model,
    data: Any,
    *,
    layers: Any = None,
    batch_size: int = 128,
    name: str = "batch_norm",
) -> Patch:
    """Moving statistics that fit the present weights, as a patch.

    Patched weights send other activations into batch normalization than its moving statistics
    were collected on. Patch the model, estimate on a few hundred (corrupted) samples, and apply
    the result through the same patcher: `patcher.apply(reestimate_batch_norm(model, x))`; its
    `alpha` blends, `(1 - alpha) * before + alpha * estimated`.

    The data passes once. Batch normalization normalizes with the statistics of the batch, as in
    training; all else runs as in inference, so dropout does not disturb. The estimates are the
    mean and the (biased) variance of all inputs a layer saw, not an average over batches. Masked
    time steps do not count. The model is left bit for bit as it was.

    Args:
        model: A built `keras.Model`.
        data: Inputs, float array of shape `(samples, ...)` or a dict of those; or a data set whose
            batches are inputs or tuples that begin with inputs.
        layers: Names, a `re.Pattern`, a predicate, layers or a list of these, to choose among the
            batch normalization layers; `None` takes all.
        batch_size: Integer >= 1, where `data` is not in batches yet; larger is better. Defaults to
            `128`.
        name: String, name of the patch. Defaults to `"batch_norm"`.

    Returns:
        A `Patch` of kind `"batch_norm"` that changes `moving_mean` and `moving_variance`.

    Raises:
        TypeError: If `model` is not a model, or `data` cannot be iterated.
        ValueError: If `model` is not built or has no such layer, `data` is empty, or a chosen layer
            sees none of it; `batch_size` smaller than 1.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    x = np.random.default_rng(0).normal(2.0, 3.0, (64, 3))
    patch = kr.signatures.reestimate_batch_norm(model, x)
    with patch.patched(model):
        mean = keras.ops.convert_to_numpy(model.layers[0].moving_mean)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    ```

    Reference:
        Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
        ICML 2023, arXiv 2302.12480; VITA-Group/Robust_Weight_Signatures.

    Deviations:
        The official code averages the variances within batches (unbiased, as PyTorch counts) and
        leaves dropout on; here the variance is that of all samples together.

    Cost:
        One forward pass over the data, not compiled.
    """
    check_built(model, "reestimate_batch_norm")
    check_integer("batch_size", batch_size, minimum=1)
    chosen = select_layers(model, layers, candidates=batch_norm_layers(model)).touched
    before = [(variable, read_variable(variable)) for variable in model.non_trainable_variables]
    try:
        estimates = batch_norm_moments(model, chosen, _batches(data, batch_size))
    finally:
        assign_all(before)
    deltas = []
    for layer, (mean, variance) in zip(chosen, estimates, strict=True):
        deltas.append((layer.moving_mean, mean - read_variable(layer.moving_mean)))
        deltas.append((layer.moving_variance, variance - read_variable(layer.moving_variance)))
    return Patch.from_deltas(model, deltas, name=name, kind="batch_norm")


def _batches(data, batch_size):
    if isinstance(data, (dict, np.ndarray)) or ops.is_tensor(data):
        columns = data if isinstance(data, dict) else {"": data}
        columns = {key: ops.convert_to_numpy(column) for key, column in columns.items()}
        for start in range(0, len(next(iter(columns.values()))), batch_size):
            batch = {key: column[start : start + batch_size] for key, column in columns.items()}
            yield batch if isinstance(data, dict) else batch[""]
        return
    if isinstance(data, keras.utils.PyDataset):
        batches = map(data.__getitem__, range(data.num_batches))
    elif hasattr(data, "__iter__"):
        batches = iter(data)
    else:
        raise TypeError(f"`data` must be arrays or batches, got {data!r}.")
    for batch in batches:
        yield batch[0] if isinstance(batch, (tuple, list)) else batch
