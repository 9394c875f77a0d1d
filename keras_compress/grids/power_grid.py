"""Levels that are evenly spaced after a power."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from keras_compress.grids.grid import Grid, check_bits, check_fields, float_array


class PowerGrid(Grid):
    """Symmetric levels, finer near zero: `value = sign(k) * |k * scale| ** (1 / exponent)`.

    `k = code - 2**(bits - 1)` is the signed code, from `-(2**(bits - 1) - 1)` on. With exponent 1
    this is a symmetric `AffineGrid`.

    Args:
        bits: Integer, bits of a code, 2 to 8.
        scale: Float array of a shape that broadcasts to `(rows, outputs)`, the step after the
            power.
        exponent: Float > 0, or a float array of a shape that broadcasts to `(rows, outputs)`.

    Returns:
        An object with `decode(codes)` and `encode(matrix)`.

    Raises:
        ValueError: If an argument is outside its range, or not finite and positive.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    grid = kc.grids.PowerGrid(3, scale=0.5, exponent=0.5)
    codes = grid.encode(np.array([[0.2, -1.0, 5.0]]))
    assert np.allclose(grid.decode(codes), [[0.25, -1.0, 2.25]])
    ```

    Reference:
        Yvinec et al., "NUPES: Non-Uniform Post-Training Quantization via Power Exponent Search",
        arXiv 2308.05600.
    """

    kind: ClassVar[str] = "power"

    def __init__(self, bits: int, *, scale: Any, exponent: Any):
        self.bits = check_bits(bits)
        if self.bits < 2:
            raise ValueError("`bits` must be at least 2 for a symmetric grid with a zero.")
        self.scale = float_array("scale", scale)
        self.exponent = float_array("exponent", exponent).astype(self.scale.dtype)
        if not np.all(self.scale > 0.0) or not np.all(self.exponent > 0.0):
            raise ValueError("`scale` and `exponent` must be positive everywhere.")

    @property
    def highest(self) -> int:
        """The largest signed code."""
        return 2 ** (self.bits - 1) - 1

    def decode(self, codes: np.ndarray) -> np.ndarray:
        signed = np.asarray(codes).astype(self.scale.dtype) - 2 ** (self.bits - 1)
        return np.sign(signed) * np.abs(signed * self.scale) ** (1.0 / self.exponent)

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        matrix = np.asarray(matrix, "float64")
        signed = np.rint(np.sign(matrix) * np.abs(matrix) ** self.exponent / self.scale)
        return (np.clip(signed, -self.highest, self.highest) + 2 ** (self.bits - 1)).astype("uint8")

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: a for name, a in self._parts().items() if a.ndim}

    def settings(self) -> dict[str, Any]:
        numbers = {name: float(a) for name, a in self._parts().items() if not a.ndim}
        return {"bits": self.bits, **numbers}

    @classmethod
    def read(
        cls, settings: dict[str, Any], arrays: dict[str, np.ndarray], shape: tuple[int, int]
    ) -> PowerGrid:
        names = {"bits", "scale", "exponent"}
        check_fields(settings, arrays, names, names)
        fields: dict[str, Any] = {**settings, **arrays}
        grid = cls(**fields)
        for name, array in grid._parts().items():
            if array.ndim and (
                array.ndim != 2
                or any(one not in (1, size) for one, size in zip(array.shape, shape, strict=True))
            ):
                raise ValueError(f"{name} of shape {array.shape} does not fit {shape}.")
        return grid

    def _parts(self):
        return {"scale": self.scale, "exponent": self.exponent}
