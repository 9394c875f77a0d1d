"""Whether a good start after pruning is a good end after retraining."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OracleReport:
    """What `pruning_oracle_report` measured.

    A high `tau` says that candidates may be compared right after pruning; a high `anomaly_ratio`
    that the best of them by that measure is beaten by many others. `print(report)` shows both.

    Args:
        pruned: Float array of shape `(n,)`, loss right after pruning.
        final: Float array of shape `(n,)`, measure after retraining, a mean over the repeats.
        tau: Float, Kendall's rank correlation of the two, positive where a lower loss after pruning
            goes with a better end; NaN if one of them is constant.
        p_value: Float, of the hypothesis that they have nothing to do with each other.
        anomaly_ratio: Float, share of the candidates that end better than the one with the lowest
            loss after pruning.

    Returns:
        A record with the arguments as attributes, and the property `correlated`, whether `tau` is
        above 0.2 and `p_value` at most 0.05.

    Raises:
        None.

    Example:

    ```python
    import keras_compress as kc

    report = kc.analysis.pruning_oracle_report(
        lambda number: (number, float(number)), lambda candidate: 2.0 * candidate, n=5
    )
    assert report.tau == 1.0 and report.anomaly_ratio == 0.0
    ```

    Reference:
        Feng et al., "Is Oracle Pruning the True Oracle?", arXiv 2412.00143.
    """

    pruned: np.ndarray
    final: np.ndarray
    tau: float
    p_value: float
    anomaly_ratio: float

    @property
    def correlated(self) -> bool:
        return bool(self.tau > 0.2 and self.p_value <= 0.05)

    def __str__(self) -> str:
        return (
            f"{len(self.pruned)} candidates: tau {self.tau:.2f} (p {self.p_value:.1e}), "
            f"{self.anomaly_ratio:.1%} end better than the one with the lowest loss after pruning"
        )
