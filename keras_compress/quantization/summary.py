"""The record of what is quantized in a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuantizedLayer:
    """One row of a `QuantizationSummary`."""

    path: str
    kind: str
    weight_bits: dict[str, int]
    activation_bits: int | dict[str, int] | None
    float_bytes: int
    packed_bytes: int


@dataclass(frozen=True)
class QuantizationSummary:
    """The quantized layers of a model, the others with a reason, and sizes in bytes.

    What `quantization_summary` returns; `print` it for a table. It describes the model as it is,
    so it is the same after saving and loading.

    Args:
        layers: List of rows, one per quantized layer, with `path`, `kind`, `weight_bits` (matrix
            name to bits), `activation_bits` (or `None`; a dict by inner layer where they differ),
            `float_bytes` and `packed_bytes`. `QuantizeActivation` layers have no weights.
        skipped: Dict from the paths of the other layers, and of what was left float inside of
            quantized ones, to the reasons.
        float_bytes: Integer, bytes of all weights as they are in training, scales left out.
        packed_bytes: Integer, bytes of all weights with packed codes, see `packed_size`.

    Returns:
        A record; `str` of it is a table.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.ReLU()])
    summary = kc.quantization.quantization_summary(kc.quantize_aware(model, weights=3))
    assert summary.layers[0].weight_bits == {"kernel": 3}
    ```

    Reference:
        None; a report.
    """

    layers: list[QuantizedLayer]
    skipped: dict[str, str]
    float_bytes: int
    packed_bytes: int

    def __str__(self) -> str:
        rows = [("layer", "type", "weights", "input", "float bytes", "packed bytes")]
        for row in self.layers:
            bits = ", ".join(f"{name} int{bits}" for name, bits in row.weight_bits.items())
            inputs = _bits(row.activation_bits)
            sizes = (str(row.float_bytes), str(row.packed_bytes))
            rows.append((row.path, row.kind, bits or "float", inputs, *sizes))
        rows.append(("total", "", "", "", str(self.float_bytes), str(self.packed_bytes)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += [f"not quantized: {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def _bits(found):
    if isinstance(found, dict):
        return ", ".join(f"{name} int{bits}" for name, bits in found.items())
    return f"int{found}" if found else "float"
