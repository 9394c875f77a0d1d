"""What dynamic channels save on some data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DynamicComputeReport:
    """What the dynamic channels of a model would save on some data.

    Made by `dynamic_macs`; `print(report)` shows a table.

    Args:
        dense: Integer, multiply-accumulates of the model for one sample, all channels on, without
            the heads.
        heads: Integer, those of the heads that predict.
        dynamic: Float, mean over the samples with the channels that are on, heads included.
        active_fraction: Dict from the path of a gate to its mean share of active channels.

    Returns:
        A record with the arguments as attributes, and `saved`, the share of `dense` that is saved.

    Raises:
        None.

    Example:

    ```python
    from keras_compress.dynamic import DynamicComputeReport

    report = DynamicComputeReport(1000, 50, 650.0, {"conv": 0.6})
    assert abs(report.saved - 0.35) < 1e-12
    ```

    Reference:
        None; a record.
    """

    dense: int
    heads: int
    dynamic: float
    active_fraction: dict[str, float]

    @property
    def saved(self) -> float:
        return 1.0 - self.dynamic / self.dense if self.dense else 0.0

    def __str__(self) -> str:
        lines = [f"{path}  {share:.1%} active" for path, share in self.active_fraction.items()]
        return "\n".join(
            [
                *lines,
                f"{self.dense:,} MACs with all channels, {self.dynamic:,.0f} on average "
                f"({self.heads:,} of them to predict): {self.saved:.1%} saved, if a kernel skips "
                "channels.",
            ]
        )
