"""Weights from a ratio of two densities, by f-divergence."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_boolean, check_choice, check_number

# h(r) = r^2 f''(r) as a function of d = log r.
_WEIGHTS = {
    "reverse_kl": ops.ones_like,
    "forward_kl": ops.exp,
    "jensen_shannon": ops.sigmoid,
    "softened_reverse_kl": lambda d: ops.sigmoid(-d),
    "jeffreys": lambda d: 1.0 + ops.exp(d),
    "squared_hellinger": lambda d: 0.25 * ops.exp(0.5 * d),
    "pearson": lambda d: 2.0 * ops.exp(2.0 * d),
}


def f_divergence_weight(
    ratio: Any,
    kind: str = "jensen_shannon",
    *,
    from_logits: bool = False,
    normalization: str | None = "mean_one",
    clip: float = 10.0,
):
    """Sample weights from a density ratio `r = p / q`.

    Use it with the ratio of the wanted density `p` to that of the samples `q`: for covariate shift
    (`"forward_kl"` is importance weighting), with a discriminator between two data sets, or to
    distill a generator with another divergence. Divergences whose weights grow faster with `r`
    cover more of `p` and have more variance.

    The gradient of `D_f = E_q f(r)` weights samples by `h(r) = r^2 f''(r)`: `"reverse_kl"` 1,
    `"forward_kl"` `r`, `"jensen_shannon"` `r / (1 + r)`, `"softened_reverse_kl"` `1 / (1 + r)`,
    `"jeffreys"` `1 + r`, `"squared_hellinger"` `sqrt(r) / 4`, `"pearson"` `2 r^2`.

    Args:
        ratio: Float tensor of shape `(batch,)`, density ratios >= 0, or their logarithms.
        kind: Name of the divergence, one of the above. Defaults to `"jensen_shannon"`.
        from_logits: Boolean, whether `ratio` holds `log r`, such as the logits of a discriminator
            that was trained to tell samples of `p` (class 1) from those of `q`. Defaults to
            `False`.
        normalization: `"mean_one"` or `None`. Defaults to `"mean_one"`.
        clip: Float > 0, `log r` is clipped to plus or minus this. Defaults to `10.0`.

    Returns:
        Float32 tensor of shape `(batch,)`, without gradient.

    Raises:
        TypeError: If `from_logits` is not a boolean or `clip` not a number.
        ValueError: If `kind` or `normalization` is unknown, or `clip` is not in (0, 40].

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    logits = np.array([-1.0, 0.0, 2.5], "float32")
    weights = kr.functional.f_divergence_weight(logits, "forward_kl", from_logits=True)
    ```

    Reference:
        Xu, Nie and Vahdat, "One-step Diffusion Models with f-Divergence Distribution Matching",
        arXiv 2502.15681, table of weighting functions.

    Deviations:
        The paper also normalizes the ratios within bins of diffusion time, which other uses do not
        have.
    """
    check_choice("kind", kind, _WEIGHTS)
    check_boolean("from_logits", from_logits)
    check_choice("normalization", normalization, ("mean_one", None))
    # Squares of larger ratios overflow float32.
    check_number("clip", clip, exclusive_minimum=0.0, maximum=40.0)
    ratio = ops.stop_gradient(ops.cast(ops.convert_to_tensor(ratio), "float32"))
    logarithm = ratio if from_logits else ops.log(ops.maximum(ratio, 0.0))
    weights = _WEIGHTS[kind](ops.clip(logarithm, -clip, clip))
    return weights if normalization is None else weights / ops.mean(weights)
