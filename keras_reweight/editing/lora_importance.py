"""How much data depends on the kernels that LoRA could change."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.loss_sums import LossSums
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.editing._lora import check_lora, kernel_of, lora_layers
from keras_reweight.signatures.patch import Patch

KINDS = ("vila", "fila")
# The standard deviation of both factors while importance is measured.
_SIGMA = 0.05


def lora_importance(
    model: keras.Model,
    data: Any,
    *,
    kind: str = "vila",
    rank: int = 8,
    layers: Any = None,
    loss: Any = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Importance of the kernels of a model for some data, to start LoRA with.

    For `importance_lora_init`, which compares what is to be forgotten with what is to stay. `g` are
    gradients of the mean loss of batches, means are weighted by the size of the batches:

    - `kind="vila"`: LoRA factors `A` and `B` of small random numbers are put on every kernel;
      `F_A = E[g_A^2] - E[g_A]^2` and `F_B` alike are variances of their gradients, the importance
      of the kernel is the product `F_A F_B`. A gradient that is the same in every batch says
      nothing about single samples, and its square would count it.
    - `kind="fila"`: `E[g^2]` of the kernel itself, the usual Fisher information of batches.

    At least a dozen batches are wanted: with one batch there is no variance. The model is left as
    it is.

    Args:
        model: A built `keras.Model`.
        data: Tuple `(x, y)` or `(x, y, sample_weight)` of float or integer arrays of shape
            `(num_samples, ...)`, a `keras.utils.PyDataset`, `tf.data.Dataset` or torch
            `DataLoader`.
        kind: `"vila"` or `"fila"`. Defaults to `"vila"`.
        rank: Integer >= 1, of the random factors, for `"vila"`. Defaults to `8`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all layers with a kernel for which Keras has LoRA. Defaults to `None`.
        loss: Loss name, function or `keras.losses.Loss`. Defaults to `None`, the compiled loss.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.
        seed: Integer >= 0, of the random factors: use the same for all data that are compared.
            Defaults to `0`.

    Returns:
        Dict from the path of a layer to a float64 array of shape `(inputs, outputs)`, the kernel
        with all but its last axis as one.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range, the data are empty, a layer is unknown, or
            none can have LoRA.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    importance = kr.editing.lora_importance(model, (x, y), kind="fila", batch_size=8)
    assert importance["head"].shape == (3, 2)
    ```

    Reference:
        Kim et al., "Improving Fisher Information Estimation and Efficiency for LoRA-based LLM
        Unlearning", COLM 2025, arXiv 2508.21300; github.com/kyj93790/VILA.

    Deviations:
        The official code makes ten passes over shuffled data in training mode; here one in
        inference mode, so pass a data set that shuffles and repeats for more. It differentiates
        the factors; here their gradients follow from that of the kernel, `s G B^T` and `s A^T G`,
        which are the same numbers, with `s = 1`. Nothing is lost by it: a Keras layer with LoRA
        forms its whole kernel, and so the gradient of it, in every step.

    Cost:
        A forward and backward pass of the data. Host memory of two float64 copies of the kernels.
    """
    check_built(model, "lora_importance")
    check_choice("kind", kind, KINDS)
    check_lora(rank, None)
    check_integer("batch_size", batch_size, minimum=1)
    check_integer("seed", seed, minimum=0)
    chosen = lora_layers(model, layers)
    kernels = [kernel_of(layer) for layer in chosen.values()]
    sums = LossSums(
        model, data, loss=loss, variables=kernels, batch_size=batch_size, caller="lora_importance"
    )
    if kind == "fila":
        squares, _ = _moments(sums, data, lambda gradients: gradients)
        return dict(zip(chosen, squares, strict=True))
    factors = _random_factors(kernels, rank, seed)
    noise = [
        (kernel, (a @ b).reshape(tuple(kernel.shape)))
        for kernel, (a, b) in zip(kernels, factors, strict=True)
    ]
    with Patch.from_deltas(model, noise, name="lora_importance/noise").patched(model):
        squares, means = _moments(sums, data, lambda found: _factor_gradients(found, factors))
    variances = [np.maximum(s - m**2, 0.0) for s, m in zip(squares, means, strict=True)]
    pairs = zip(variances[::2], variances[1::2], strict=True)
    return {path: a @ b for path, (a, b) in zip(chosen, pairs, strict=True)}


def _moments(sums, data, transform):
    """`E[g^2]` and `E[g]` of what `transform` makes of the gradients of the kernels."""
    counts = [batch_length((x, y)) for x, y, _ in iterate_batches(data, sums.batch_size)]
    squares: list[Any] = []
    means: list[Any] = []
    for count, vector in zip(counts, sums.batch_gradients(data), strict=True):
        found = transform(_matrices(sums.variables, vector / count))
        squares = squares or [0.0] * len(found)
        means = means or [0.0] * len(found)
        share = count / sum(counts)
        squares = [total + share * g**2 for total, g in zip(squares, found, strict=True)]
        means = [total + share * g for total, g in zip(means, found, strict=True)]
    return squares, means


def _matrices(variables, vector):
    found, start = [], 0
    for variable in variables:
        size = int(np.prod(variable.shape))
        found.append(vector[start : start + size].reshape(-1, variable.shape[-1]))
        start += size
    return found


def _random_factors(kernels, rank, seed):
    rng = np.random.default_rng(seed)
    found = []
    for kernel in kernels:
        inputs, outputs = int(np.prod(kernel.shape[:-1])), int(kernel.shape[-1])
        a = rng.normal(scale=_SIGMA, size=(inputs, rank))
        found.append((a, rng.normal(scale=_SIGMA, size=(rank, outputs))))
    return found


def _factor_gradients(gradients, factors):
    """Those of both factors of each kernel, one after the other."""
    found = []
    for gradient, (a, b) in zip(gradients, factors, strict=True):
        found += [gradient @ b.T, a.T @ gradient]
    return found
