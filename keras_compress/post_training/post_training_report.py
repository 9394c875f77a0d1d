"""What post-training quantization did to every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class QuantizedLayerLine(NamedTuple):
    """One layer of a `PostTrainingReport`."""

    path: str
    bits: int
    bits_per_weight: float
    nearest_error: float
    error: float
    seconds: float


@dataclass(frozen=True)
class PostTrainingReport:
    """Bits, errors and time of every quantized layer, and the layers that were left alone.

    An error of 0 is the output of the float weights, one of 1 is as far from it as no output at
    all; bias and activation do not count. Errors are measured on the calibration data, on the
    inputs that the part quantized before the layer gives; without data they are those of the
    weights. `print(report)` shows a table.

    Args:
        layers: List of lines, in the order in which the layers were quantized, with `path`, `bits`,
            `bits_per_weight` (all that is stored for the matrix, scales included),
            `nearest_error` (relative squared error of the output if the weights were rounded to
            the nearest level), `error` (that of the solution) and `seconds`.
        skipped: Dict from the path of a layer to the reason why it was left alone.

    Returns:
        A record with the arguments as attributes.

    Raises:
        None.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    x = np.random.default_rng(0).normal(1.0, 1.0, (32, 4)).astype("float32")
    report = kc.post_training.quantize(model, x, bits=3).report
    assert report.layers[0].path == "dense" and report.layers[0].bits == 3
    ```

    Reference:
        None; a record.
    """

    layers: list[QuantizedLayerLine]
    skipped: dict[str, str]

    def __str__(self) -> str:
        rows = [("layer", "bits", "stored", "error if rounded", "error", "seconds")]
        for line in self.layers:
            errors = (f"{line.nearest_error:.4g}", f"{line.error:.4g}")
            stored = f"{line.bits_per_weight:.2f}"
            rows.append((line.path, str(line.bits), stored, *errors, f"{line.seconds:.1f}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += [f"not quantized: {path}: {reason}" for path, reason in self.skipped.items()]
        return "\n".join(lines)
