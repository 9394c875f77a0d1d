"""What went into a layer, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class InputStatistics:
    """Moments of the inputs of one layer over calibration data.

    One entry a row of the layer's kernel, in the order of `kernel.reshape(rows, outputs)`: the
    features of a `Dense` layer, the `kernel positions x channels` of a convolution (as the kernel
    meets them, zeros of the padding included), the contracted axes of an `EinsumDense`. With
    groups, as in depthwise convolutions, every array has a leading axis of groups and `rows`
    are those of one group. Layers without a kernel: one entry a channel.

    Args:
        count: Integer, number of samples times positions that were seen; masked ones do not count.
        mean: Float64 array of shape `(rows,)`, or `None` if it was not asked for, as below.
        var: Float64 array of shape `(rows,)`, the variance, divided by `count`.
        second_moment: Float64 array of shape `(rows,)`, the mean of the squares.
        gram: Float64 array of shape `(rows, rows)`, the sum of the outer products `x x^T`.

    Returns:
        A record with these attributes.

    Raises:
        None.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="dense")])
    x = np.array([[1.0, 2.0], [3.0, 6.0]], "float32")
    found = kc.calibration.collect_input_statistics(model, x)["dense"]
    assert found.count == 2 and found.mean.tolist() == [2.0, 4.0]
    assert found.var.tolist() == [1.0, 4.0]
    ```

    Reference:
        None; the result of `collect_input_statistics`.
    """

    count: int
    mean: Any = None
    var: Any = None
    second_moment: Any = None
    gram: Any = None


class RunningMoments:
    """Count, mean and sum of (products of) deviations, pooled exactly batch by batch."""

    def __init__(self):
        self.count = 0.0
        self.mean: Any = 0.0
        self.squares: Any = 0.0
        self.products: Any = None

    def add(self, part: dict[str, np.ndarray]) -> None:
        """Take in a batch: `count`, `center`, and sums of deviations from this center.

        `sum` corrects the center, which was rounded; `squares` and `products` are about it.
        """
        part = {name: np.asarray(value, "float64") for name, value in part.items()}
        count = float(part["count"])
        if not count:
            return
        correction = part["sum"] / count
        mean = part["center"] + correction
        away, total = mean - self.mean, self.count + count
        between = self.count * count / total
        squares = part["squares"] - count * np.square(correction)
        self.squares = self.squares + np.maximum(squares, 0.0) + between * np.square(away)
        if "products" in part:
            products = part["products"] - count * _outer(correction)
            products += between * _outer(away)
            self.products = products if self.products is None else self.products + products
        self.mean = self.mean + away * (count / total)
        self.count = total

    def statistics(self, moments: tuple[str, ...]) -> InputStatistics:
        """The record, with the moments that are asked for."""
        var = self.squares / self.count
        found = InputStatistics(
            count=round(self.count),
            mean=self.mean,
            var=var,
            second_moment=var + np.square(self.mean),
        )
        for name in ("mean", "var", "second_moment"):
            if name not in moments:
                setattr(found, name, None)
        if "gram" in moments:
            found.gram = self.products + self.count * _outer(self.mean)
        return found


def _outer(vector):
    return vector[..., :, None] * vector[..., None, :]
