"""Weights and activations together, without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.pruning.criteria._data_criterion import DataCriterion, weights_of
from keras_compress.pruning.criteria._kernel_inputs import kernel_inputs, statistics_of
from keras_reweight.core.validation import check_choice


class Wanda(DataCriterion):
    """Score a weight by its size times the size of what it is multiplied with.

    `s = |w_jo| * sqrt(E x_j^2)` for input `j` and output unit `o`, by default compared only with
    the other weights of the same output unit. No gradients and no fine-tuning: for transformers and
    other large trained models at moderate sparsity (50 %, 2:4). A few hundred samples suffice. Not
    for high sparsity, and with fine-tuning afterwards there is little left of its lead over
    magnitude.

    With `comparison="output"` scores are ranks: of the weights of a layer that are the k-th
    smallest of their output unit, all go before any that is the (k+1)-th smallest. An allocation
    that ranks layers together therefore prunes them alike; use `UniformAllocation` or one that
    plans by layer. `"layer"` gives `s` itself.

    Covered are dense, einsum (attention), convolution and transposed convolution layers, embeddings
    (`E x^2` is the share of an id) and input kernels of recurrent layers. Recurrent and separable
    pointwise kernels see inputs that exist only inside their layer: these count as equal, so the
    score is `|w|`.

    Args:
        data: Inputs: float or integer arrays `x` or `(x, ...)` of shape `(num_samples, ...)`, or a
            `PyDataset`, `tf.data.Dataset`, `DataLoader` or list of batches; labels are ignored.
            Read again at every update of the masks.
        comparison: `"output"` or `"layer"`. Defaults to `"output"`.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.

    Returns:
        A `Criterion` for `prune_weights` and `Pruning`; it has no config, because it holds data.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `batch_size` is below 1 or `comparison` unknown; in `scores`, if `data` is
            empty, leads to inputs that are not finite or does not reach a layer, or a weight is
            NaN.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    kc.pruning.prune_weights(
        model, 0.5, criterion=kc.pruning.Wanda(x), allocation=kc.pruning.UniformAllocation()
    )
    kernel = model.get_weights()[0]
    assert (kernel == 0).sum(axis=0).tolist() == [4] * 16
    ```

    Reference:
        Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024,
        arXiv 2306.11695, equation 1; official code github.com/locuslab/wanda.

    Deviations:
        The official code prunes block after block and takes the statistics of later blocks from the
        pruned earlier ones; here all come from the model as it is. Where the count does not divide
        among the output units, the remaining weights of lowest score go.

    Cost:
        One forward pass over the data and a sort of every kernel at every update of the masks;
        convolutions unfold their inputs to patches.
    """

    def __init__(self, data: Any, *, comparison: str = "output", batch_size: int = 32):
        check_choice("comparison", comparison, ["output", "layer"])
        super().__init__(data, batch_size=batch_size)
        self.comparison = comparison

    def scores(self, model, variables):
        weights = weights_of(variables)
        kernels = kernel_inputs(model, variables)
        # Embeddings need a second pass.
        data = list(self.batches()) if hasattr(self.data, "__next__") else self.data
        moments = statistics_of(
            model, kernels, data, moment="second_moment", batch_size=self.batch_size
        )
        scores = []
        for weight, kernel, moment in zip(weights, kernels, moments, strict=True):
            norms = np.sqrt(kernel.rows(moment))
            score = np.abs(kernel.matrix(weight)) * norms[..., None]
            if self.comparison == "output":
                score = _ranks_by_output(score)
            scores.append(kernel.kernel(score))
        return scores


def _ranks_by_output(score: np.ndarray) -> np.ndarray:
    """Numbers in `[0, 1)` in the order of the rank within the last axis, then of the score."""
    order = np.argsort(score, axis=-2, kind="stable")
    ranks = np.empty_like(order)
    places = np.arange(score.shape[-2])[:, None]
    np.put_along_axis(ranks, order, np.broadcast_to(places, order.shape), axis=-2)
    flat = np.lexsort((score.ravel(), ranks.ravel()))
    shares = np.empty(score.size)
    shares[flat] = np.arange(score.size) / score.size
    return shares.reshape(score.shape)
