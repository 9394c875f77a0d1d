"""Unlearning with LoRA in directions that what is to stay does not use."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.pre_activations import pre_activation_moments
from keras_reweight.core.validation import check_built, check_integer, check_number
from keras_reweight.editing._lora import (
    adapters_of,
    check_lora,
    freeze_the_rest,
    lora_layers,
    matrix_of,
    start_lora,
)

# Of the squares of what is to stay: so much of it is kept out of reach.
_ENERGY = 0.9


def reglu_lora(
    model: keras.Model,
    forget: Any,
    retain: Any,
    *,
    rank: int = 8,
    alpha: float | None = None,
    beta: float = 0.7,
    penalty: float = 0.5,
    penalty_rank: int | None = None,
    layers: Any = None,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Prepare a model for unlearning: LoRA in directions of the outputs that matter here only.

    For every chosen layer, from its outputs `h` before the activation on both sets (no labels, no
    gradients): the top eigenvectors `Q` of `(1 - beta) E_forget[h h^T] - beta E_retain[h h^T]` are
    where the forgotten is seen and what stays is not. LoRA starts as `A = W Q`, `B = Q^T`, the rest
    `W - s A B` is frozen in the kernel, so the model computes what it did before. While it trains,
    `penalty * sum ||B P||^2` is added to the loss, with the main directions `P` of
    `E_retain[h h^T]`: updates are pushed out of where what stays lives. All other weights are
    frozen.

    Now compile it with an unlearning loss and fit, then `lora_patch` makes a `Patch` of the result,
    as after `vila_lora`. The penalty is a regularizer: `model.losses` has it, and the logged loss.

    Not for layers with fewer outputs than what stays needs, where no direction is free.

    Args:
        model: A built `keras.Model`; it is changed.
        forget: Inputs of shape `(num_samples, ...)` and any dtype, `(x, y)` or another data set:
            what is to be forgotten. Labels are not read.
        retain: The same for what is to stay; a sample of it will do.
        rank: Integer >= 1, of LoRA, smaller where a kernel is. Defaults to `8`.
        alpha: Float > 0, updates are scaled by `alpha / rank`; `None` takes the rank. Defaults to
            `None`.
        beta: Float in `[0, 1]`, how much the set to stay counts in the choice of directions.
            Defaults to `0.7`.
        penalty: Float >= 0. Defaults to `0.5`.
        penalty_rank: Integer >= 1, number of main directions `P`; `None` takes as many as hold
            nine tenths of `E_retain[||h||^2]`. Defaults to `None`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all layers with a kernel for which Keras has LoRA. Defaults to `None`.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.

    Returns:
        Dict from the path of each layer with LoRA to `P`, a float64 array of shape
        `(outputs, directions)` with orthonormal columns.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range, data are empty, a layer is unknown or called
            more than once, or none can have LoRA. The model is left as it is then.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    before = model.predict(x, verbose=0)
    kr.editing.reglu_lora(model, x[:32], x[32:], rank=2, penalty_rank=1)
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=1e-4)
    assert len(model.losses) == 2
    ```

    Reference:
        Xiao et al., "Representation-Guided Parameter-Efficient LLM Unlearning", Findings of ACL
        2026, arXiv 2604.17396; official code github.com/Jacksooooff/reglu-open.

    Deviations:
        As in the official code, the moments are about zero and the outputs of all positions are
        summed; masked positions are left out here. The official code penalizes a fixed number of
        directions (128 of 2048 outputs), which small layers do not have; `penalty_rank=None`
        counts them by their share. Its `alpha / rank` is 2.

    Cost:
        A forward pass of both sets, run layer by layer, and eigenvectors of matrices of
        `outputs x outputs`.
    """
    check_built(model, "reglu_lora")
    check_lora(rank, alpha)
    check_number("beta", beta, minimum=0.0, maximum=1.0)
    check_number("penalty", penalty, minimum=0.0)
    if penalty_rank is not None:
        check_integer("penalty_rank", penalty_rank, minimum=1)
    check_integer("batch_size", batch_size, minimum=1)
    chosen = lora_layers(model, layers)
    moments = [
        pre_activation_moments(
            model, list(chosen.values()), data, batch_size=batch_size, argument=name
        )
        for name, data in (("forget", forget), ("retain", retain))
    ]
    directions = {}
    for (path, layer), ours, theirs in zip(chosen.items(), *moments, strict=True):
        matrix = matrix_of(layer)
        own = min(rank, *matrix.shape)
        contrast = np.linalg.eigh((1.0 - beta) * ours - beta * theirs)[1]
        top = contrast[:, ::-1][:, :own]
        directions[path] = _main_directions(theirs, penalty_rank)
        start_lora(layer, own, None if alpha is None else alpha * own / rank, matrix @ top, top.T)
        if penalty:
            adapters_of(layer)[1].regularizer = _Penalty(penalty, directions[path])
    freeze_the_rest(model)
    return directions


def _main_directions(moment, count):
    values, vectors = np.linalg.eigh(moment)
    values, vectors = values[::-1], vectors[:, ::-1]
    if count is None:
        share = np.cumsum(values) / max(values.sum(), np.finfo("float64").tiny)
        count = int(np.searchsorted(share, _ENERGY)) + 1
    return vectors[:, : min(count, len(values))]


class _Penalty(keras.regularizers.Regularizer):
    """`factor * ||B P||^2`; lives as long as LoRA does, and no file has it."""

    def __init__(self, factor, directions):
        self.factor = factor
        self.directions = np.asarray(directions, "float32")

    def __call__(self, b):
        return self.factor * ops.sum(ops.square(ops.matmul(b, self.directions)))
