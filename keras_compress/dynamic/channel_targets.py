"""Which channels of a sample are strong: the targets of predicted masks."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_choice, check_number

KINDS = ("mass", "uniform")
#: Shares up to here count as nothing.
_NOTHING = 1e-5


def channel_targets(heat: Any, share: float = 0.9, *, kind: str = "mass") -> Any:
    """Which channels each sample needs, from how strongly they fire.

    With `n = heat / sum(heat)`, `"mass"` keeps the fewest channels whose `n` add up to `share`, so
    that the number differs from sample to sample: sorted descending, a channel stays while the sum
    of those before it is below `share`. `"uniform"` drops the weakest
    `int((1 - share) * channels)` of every sample. Channels with `n <= 1e-5` go in either case. A
    sample that fires nowhere says nothing, and keeps all.

    Args:
        heat: Float array of shape `(samples, channels)`, not negative: the largest magnitude of
            each channel, for example.
        share: Float in `(0, 1]`, share of the heat, or of the channels, to keep. Defaults to `0.9`.
        kind: `"mass"` or `"uniform"`. Defaults to `"mass"`.

    Returns:
        Float tensor of the shape and dtype of `heat`, 1 where a channel stays, 0 elsewhere.

    Raises:
        TypeError: If `share` is not a number.
        ValueError: If `share` is outside `(0, 1]` or `kind` unknown.

    Example:

    ```python
    import numpy as np
    from keras import ops
    import keras_compress as kc

    heat = np.array([[4.0, 3.0, 2.0, 1.0]], "float32")
    targets = kc.dynamic.channel_targets(heat, 0.7)
    assert ops.convert_to_numpy(targets).tolist() == [[1.0, 1.0, 0.0, 0.0]]
    ```

    Reference:
        Elkerdawy et al., "Fire Together Wire Together: A Dynamic Pruning Approach with
        Self-Supervised Mask Prediction", CVPR 2022, arXiv 2110.08232, section 3.2; official code
        github.com/selkerdawy/FTWT.

    Deviations:
        The official code also drops the channel with which the sum passes the share, and with it
        everything where the strongest channel alone does; it divides by zero where nothing fires.
        Its number for `"uniform"` is the share to drop.
    """
    check_number("share", share, exclusive_minimum=0.0, maximum=1.0)
    check_choice("kind", kind, KINDS)
    heat = ops.convert_to_tensor(heat)
    channels = heat.shape[-1]
    total = ops.sum(heat, axis=-1, keepdims=True)
    mass = heat / ops.where(total > 0, total, 1.0)
    if kind == "uniform":
        rank = ops.argsort(ops.argsort(heat, axis=-1), axis=-1)
        # 1e-9: nine tenths of ten are nine, whatever the rounding of the product.
        strong = rank >= int((1.0 - share) * channels + 1e-9)
    else:
        order = ops.argsort(-heat, axis=-1)
        rank = ops.argsort(order, axis=-1)
        ordered = ops.take_along_axis(mass, order, axis=-1)
        before = ops.take_along_axis(ops.cumsum(ordered, axis=-1) - ordered, rank, axis=-1)
        strong = ops.logical_or(before < share - _NOTHING, rank == 0)
    fires = mass > _NOTHING
    silent = ops.logical_not(ops.any(fires, axis=-1, keepdims=True))
    targets = ops.logical_or(ops.logical_and(strong, fires), silent)
    return ops.cast(targets, heat.dtype)
