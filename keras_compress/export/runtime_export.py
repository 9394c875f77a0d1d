"""What an export to a runtime has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RuntimeExport:
    """What became of every quantized weight and input in an exported file.

    Look at `left_float` before you rely on the size or the speed of the file: what a runtime cannot
    say stays float, with the values it has.

    Args:
        path: String, the file.
        num_bytes: Integer, its size.
        weights: Dict from paths of weights to how they are stored, such as `"int8"`.
        inputs: Tuple of paths of layers whose inputs are quantized in the file.
        left_float: Dict from paths of weights, or of layers for their inputs, to why they are
            float in the file.

    Returns:
        A record with these attributes; `print` it for a table.

    Raises:
        Nothing.

    Example:

    ```python
    import keras_compress as kc

    found = kc.export.RuntimeExport("model.onnx", 1024, {"dense/kernel": "int8"}, (), {})
    assert "dense/kernel" in str(found)
    ```

    Reference:
        None; result of `export_onnx` and `export_litert`.
    """

    path: str
    num_bytes: int
    weights: dict[str, str]
    inputs: tuple[str, ...]
    left_float: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.num_bytes} bytes"]
        lines += [f"  weight {name}: {kind}" for name, kind in self.weights.items()]
        lines += [f"  input of {name}: quantized" for name in self.inputs]
        lines += [f"  float: {name}: {reason}" for name, reason in self.left_float.items()]
        return "\n".join(lines)
