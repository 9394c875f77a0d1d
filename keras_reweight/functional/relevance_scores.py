"""How much each latent axis matters to a decoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_number


def relevance_scores(
    decoder: Any,
    latent: np.ndarray,
    prior_variance: np.ndarray,
    *,
    step: float = 1e-2,
) -> np.ndarray:
    """Relevance of every latent axis: its prior variance times what it moves in the output.

    Use it after training with `ARDPrior` to choose which axes to keep, for example the smallest set
    that holds 99 % of the sum. With the decoder `f` and samples `z`, the score of axis `l` is
    `v_l * sum_outputs (mean_samples |d f / d z_l|)^2`; derivatives are central differences, so any
    callable will do.

    Args:
        decoder: Callable (a `keras.Model`, say) from latent values of shape
            `(num_samples, latent)` to outputs of shape `(num_samples, ...)`.
        latent: Float array of shape `(num_samples, latent)`: means of encoded samples.
        prior_variance: Float array of shape `(latent,)`: `ARDPrior.prior_variance`.
        step: Float > 0, half the distance of the two points of a difference. Defaults to `1e-2`.

    Returns:
        Float64 NumPy array of shape `(latent,)`.

    Raises:
        TypeError: If `decoder` is not callable or `step` not a number.
        ValueError: If `step` is not positive, or an array has another shape, is empty or negative.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    latent = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    kernel = np.array([[1.0, 2.0], [0.1, 0.0], [0.0, 0.0]], "float32")
    scores = kr.functional.relevance_scores(lambda z: z @ kernel, latent, np.ones(3))
    keep = np.argsort(-scores)[:2]
    ```

    Reference:
        Saha, Joshi and Whitaker, "ARD-VAE: A Statistical Formulation to Find the Relevant Latent
        Dimensions of Variational Autoencoders", WACV 2025, arXiv 2501.10901.

    Deviations:
        This is the score of the official code, the square of a mean absolute derivative; the paper
        writes the mean of squares. Both rank axes alike. Derivatives are differences.

    Cost:
        `2 * latent` passes through the decoder.
    """
    if not callable(decoder):
        raise TypeError(f"`decoder` must be callable, got {decoder!r}.")
    check_number("step", step, exclusive_minimum=0.0)
    latent, variance = np.asarray(latent, "float32"), np.asarray(prior_variance, "float64")
    if latent.ndim != 2 or not latent.size:
        raise ValueError(
            f"`latent` must be an array of shape (num_samples, latent), got shape {latent.shape}."
        )
    if variance.shape != latent.shape[1:] or not (variance >= 0).all():
        raise ValueError(
            f"`prior_variance` must hold {latent.shape[1]} values >= 0, got {variance} of shape "
            f"{variance.shape}."
        )
    scores = np.zeros(latent.shape[1])
    for axis in range(latent.shape[1]):
        moved = np.zeros_like(latent)
        moved[:, axis] = step
        upper, lower = (_decode(decoder, latent + sign * moved) for sign in (1.0, -1.0))
        derivative = np.abs(upper - lower).reshape((len(latent), -1)) / (2.0 * step)
        scores[axis] = variance[axis] * np.sum(derivative.mean(axis=0) ** 2)
    return scores


def _decode(decoder, latent):
    latent = latent.astype("float32")
    if isinstance(decoder, keras.layers.Layer):
        found = ops.stop_gradient(decoder(latent, training=False))
    else:
        found = decoder(latent)
    return np.asarray(ops.convert_to_numpy(found), "float64")
