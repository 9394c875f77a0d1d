"""What a short retraining trains."""

from __future__ import annotations

from dataclasses import dataclass, field

import keras


@dataclass(frozen=True)
class RetrainableReport:
    """Which variables are trained after `perp_retrainable`, which are not, and why.

    `print(report)` shows a table, `report.restore()` puts the `trainable` flags back as they were
    before (`compile` again afterwards).

    Args:
        touched: Dict from the path of a trained variable to its number of weights.
        skipped: Dict from the path of a frozen variable to the reason.
        share: Float, share of the weights of the model that is trained.
        flags: Pairs of a `keras.Variable` and its flag before.

    Returns:
        A record with the arguments as attributes.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.ReLU()])
    report = kc.retraining.perp_retrainable(model, ["bias"])
    assert list(report.touched.values()) == [16] and report.share == 16 / 144
    report.restore()
    assert len(model.trainable_variables) == 2
    ```

    Reference:
        None; a record.
    """

    touched: dict[str, int]
    skipped: dict[str, str]
    share: float
    flags: tuple[tuple[keras.Variable, bool], ...] = field(default=(), repr=False)

    def restore(self) -> None:
        """Make trainable again what was."""
        for variable, flag in self.flags:
            variable.trainable = flag

    def __str__(self) -> str:
        width = max(len(path) for path in [*self.touched, *self.skipped])
        lines = [f"{path:<{width}}  {size} weights" for path, size in self.touched.items()]
        lines += [f"{path:<{width}}  frozen: {why}" for path, why in self.skipped.items()]
        return "\n".join([*lines, f"{self.share:.2%} of the weights are trained"])
