"""How far pruned layers are from what they computed before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReconstructionReport:
    """Relative squared errors of layer outputs before and after `reconstruct`.

    An error of 0 is the output of the dense layer, one of 1 is as far from it as no output at all.
    Errors are measured on the calibration data, on the inputs that the pruned part before a layer
    gives. `print(report)` shows a table.

    Args:
        before: Dict from the path of a layer to its error when its turn came.
        after: Dict from the path of a layer to its error afterwards.
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

    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    pruned = keras.models.clone_model(dense)
    pruned.set_weights(dense.get_weights())
    kc.prune_magnitude(pruned, 0.5)
    x = np.random.default_rng(0).normal(1.0, 1.0, (32, 4)).astype("float32")
    report = kc.retraining.reconstruct(pruned, dense, x)
    assert report.after["dense"] < report.before["dense"]
    ```

    Reference:
        None; a record.
    """

    before: dict[str, float]
    after: dict[str, float]
    skipped: dict[str, str]

    def __str__(self) -> str:
        width = max(len(path) for path in [*self.after, *self.skipped])
        lines = [
            f"{path:<{width}}  relative error {self.before[path]:.4g} -> {error:.4g}"
            for path, error in self.after.items()
        ]
        lines += [f"{path:<{width}}  skipped: {why}" for path, why in self.skipped.items()]
        return "\n".join(lines)
