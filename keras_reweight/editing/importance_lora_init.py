"""LoRA that starts from the weights that matter for what is to be forgotten."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.validation import check_number
from keras_reweight.editing._lora import check_lora, kernel_of, matrix_of, refusal, start_lora

_SMALL = 1e-5


def importance_lora_init(
    layer: keras.layers.Layer,
    forget: np.ndarray,
    retain: np.ndarray,
    *,
    rank: int = 8,
    alpha: float | None = None,
    epsilon: float = 1e-5,
) -> np.ndarray:
    """Enable LoRA on a layer, with the part of its kernel that matters for what is to be forgotten.

    With the kernel `W` as a matrix from inputs to outputs, `r = forget / (epsilon + retain)` and
    one number for each output, `rho_o = sqrt(sum_i r_io)`, LoRA gets the best approximation of rank
    `rank` of `W` where the outputs count as much as `rho` says: of the singular values of
    `W diag(rho)`, `A = V sqrt(S / s)` and `B = sqrt(S / s) U^T diag(1 / rho)`. The rest,
    `W - s A B` with `s = alpha / rank`, is frozen in the kernel. So the layer computes what it did
    before, and what is trained from now on is that part. Used for every layer by `vila_lora`.

    With equal importances of all outputs this is the plain split by singular values (PiSSA).
    Compile a model that has been used before anew: its functions do not know of LoRA.

    Args:
        layer: A built layer for which Keras has LoRA, not enabled yet: `Dense`, `EinsumDense` or a
            convolution.
        forget: Float array of shape `(inputs, outputs)` or of the shape of the kernel, not
            negative: importance for what is to be forgotten.
        retain: Float array of the same shape: importance for what is to stay.
        rank: Integer >= 1, of LoRA; at most the smaller side of the kernel. Defaults to `8`.
        alpha: Float > 0, the update is scaled by `alpha / rank`; `None` takes `rank`. Defaults to
            `None`.
        epsilon: Float > 0, in units of the mean of `retain`. Defaults to `1e-5`.

    Returns:
        Float64 array of shape `(outputs,)`, the importance `rho` of the outputs, with mean one.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `layer` is not built or cannot have LoRA, an array has another shape or
            numbers that are negative or infinite, `forget` is zero everywhere, or a number is
            outside its range. The layer is left as it is then.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layer = keras.layers.Dense(4)
    layer.build((None, 6))
    before = layer.get_weights()[0]
    forget, retain = np.random.default_rng(0).uniform(size=(2, 6, 4))
    kr.editing.importance_lora_init(layer, forget, retain, rank=2)
    after = keras.ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(after, before, atol=1e-5)
    ```

    Reference:
        Kim et al., "Improving Fisher Information Estimation and Efficiency for LoRA-based LLM
        Unlearning", COLM 2025, arXiv 2508.21300, section 4; github.com/kyj93790/VILA. The split is
        that of FILA, Cha et al., "Towards Robust and Parameter-Efficient Knowledge Unlearning for
        LLMs", ICLR 2025, arXiv 2408.06621.

    Deviations:
        The official code divides importances by the number of tokens once more than it means to,
        and adds an absolute `1e-5`, so that its result depends on the scale of the loss. Here
        `epsilon` is relative, and `rho` has mean one, which changes how the scale is shared between
        the factors and nothing else.

    Cost:
        Singular values of the kernel, on the host.
    """
    check_lora(rank, alpha)
    check_number("epsilon", epsilon, exclusive_minimum=0.0)
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(f"`layer` must be a Keras layer, got {layer!r}.")
    reason = refusal(layer) or (None if layer.built else "is not built")
    if reason is not None:
        raise ValueError(f"`layer` {layer.name!r} {reason}.")
    matrix = matrix_of(layer)
    check_rank(rank, matrix, layer)
    shape = tuple(kernel_of(layer).shape)
    ours = _checked("forget", forget, shape, matrix.shape)
    theirs = _checked("retain", retain, shape, matrix.shape)
    rho = _output_importance(ours, theirs, epsilon)
    a, b = _factors(matrix, rho, rank, rank if alpha is None else alpha)
    start_lora(layer, rank, alpha, a, b)
    return rho


def check_rank(rank: int, matrix: np.ndarray, layer: keras.layers.Layer) -> None:
    """Raise unless the kernel has that many singular values."""
    if rank > min(matrix.shape):
        raise ValueError(
            f"`rank`={rank} is more than the kernel of layer {layer.name!r} has: "
            f"{min(matrix.shape)}."
        )


def _checked(name, value, shape, matrix_shape):
    try:
        array = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {value!r:.60}.") from error
    if array.shape not in (shape, matrix_shape):
        raise ValueError(f"`{name}` must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all() or (array < 0.0).any():
        raise ValueError(
            f"`{name}` must be finite and not negative, got values from {array.min()} to "
            f"{array.max()}."
        )
    if name == "forget" and not array.any():
        raise ValueError(f"`forget` is zero everywhere: {array!r:.60}; nothing is to be forgotten.")
    return array.reshape(matrix_shape)


def _output_importance(forget, retain, epsilon):
    scale = retain.mean() or 1.0
    rho = np.sqrt((forget / (epsilon + retain / scale)).sum(axis=0))
    return rho / rho.mean()


def _factors(matrix, rho, rank, alpha):
    u, singular, v = np.linalg.svd((matrix * rho).T, full_matrices=False)
    root = np.sqrt(singular[:rank] * rank / alpha)
    a = v[:rank].T * root
    b = (u[:, :rank] * root).T / (rho + _SMALL)
    return a, b
