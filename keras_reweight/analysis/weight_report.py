"""What training has changed, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built, check_choice, check_number
from keras_reweight.core.weight_change import WeightChange
from keras_reweight.signatures.weight_selection import BATCH_NORM, select_weights
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


@dataclass(frozen=True)
class WeightReport:
    """How far the weights of one model are from those of another, layer by layer.

    Made by `weight_report`. `print(report)` shows a table, `report.to_dict()` gives plain numbers
    for a log.

    Args:
        layers: Tuple of records, one for each layer, first to last: `path`, `size` (how many
            numbers), `norm` (before), `change` (norm of the difference), `relative` (their ratio),
            `largest` (absolute difference), `cosine` (between before and after) and
            `share_changed` (of the numbers).
        total: The same for all of them together.

    Returns:
        A record with the arguments as attributes, and `share_of_layers(threshold)`.

    Raises:
        TypeError: From `share_of_layers`, if `threshold` is no number.
        ValueError: From `share_of_layers`, if `threshold` is negative.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    before = kr.WeightSnapshot(model)
    model.layers[1].kernel.assign(2.0 * model.layers[1].kernel)
    report = kr.analysis.weight_report(before, model)
    assert report.share_of_layers(0.1) == 0.5
    ```

    Reference:
        None; a record.
    """

    layers: tuple[WeightChange, ...]
    total: WeightChange

    def share_of_layers(self, threshold: float) -> float:
        """Share of the layers whose relative change is larger than `threshold`."""
        check_number("threshold", threshold, minimum=0.0)
        return sum(row.relative > threshold for row in self.layers) / len(self.layers)

    def to_dict(self) -> dict[str, float]:
        """`<path>/relative`, `<path>/largest` and `<path>/cosine` of each layer and the total."""
        return {
            f"{row.path}/{name}": getattr(row, name)
            for row in (*self.layers, self.total)
            for name in ("relative", "largest", "cosine")
        }

    def __str__(self) -> str:
        rows = (*self.layers, self.total)
        width = max(len(row.path) for row in rows)
        lines = [f"{'layer':<{width}}  {'size':>12}  change/norm   largest    cosine  changed"]
        lines += [
            f"{row.path:<{width}}  {row.size:>12,}  {row.relative:>11.4f}  {row.largest:>8.4f}  "
            f"{row.cosine:>8.5f}  {row.share_changed:>7.1%}"
            for row in rows
        ]
        return "\n".join(lines)


def weight_report(
    before: keras.Model | WeightSnapshot,
    after: keras.Model,
    *,
    layers: Any = None,
    batch_norm: str = "affine",
) -> WeightReport:
    """Compare the weights of two models of one architecture, layer by layer.

    Use it after fine-tuning to see where a change lives: training on corrupted images moves the
    layers nearest to the input most, training on other labels those nearest to the output. That
    says which layers a signature needs, and which may stay frozen. Kernel and bias of a layer count
    as one vector: `||after - before|| / ||before||`, the largest difference, the cosine.

    Weights are compared where they are, so two models trained from different starts are as far
    apart as random ones; bring them together by `keras_reweight.matching` first.

    Args:
        before: A built `keras.Model`, or a `WeightSnapshot` of one.
        after: A built `keras.Model` of the same architecture.
        layers: Layer names, paths, `re.Pattern`, layers of `after`, `shallow(n)`, predicates or a
            list of these; `None` for all. Defaults to `None`.
        batch_norm: `"affine"` compares scale and offset of batch normalization, `"statistics"`
            the moving statistics as well, `"skip"` neither. Defaults to `"affine"`.

    Returns:
        A `WeightReport`.

    Raises:
        TypeError: If `before` or `after` is neither a model nor a snapshot.
        ValueError: If a model is not built, the architectures differ, a layer is unknown, or
            `batch_norm` is no choice.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = kr.WeightSnapshot(model)
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    report = kr.analysis.weight_report(before, model)
    moved_most = max(report.layers, key=lambda row: row.relative).path
    ```

    Reference:
        The difference analysis of "T-VEC: A Telecom-Specific Vectorization Model with Enhanced
        Semantic Understanding via Deep Triplet Loss Fine-Tuning", arXiv 2504.16460.

    Deviations:
        The paper looks at a text embedding model before and after fine-tuning; the numbers here are
        those its analysis names, for any model.

    Cost:
        Host memory of one copy of the weights; no data, no forward pass.
    """
    check_choice("batch_norm", batch_norm, BATCH_NORM)
    check_built(after, "weight_report", "after")
    if not isinstance(before, WeightSnapshot):
        check_built(before, "weight_report", "before")
    new = WeightSnapshot(after)
    old = before if isinstance(before, WeightSnapshot) else WeightSnapshot(before)
    new.architecture.check(old.architecture, "`before`, compared with `after`,")
    chosen = select_weights(after, layers, batch_norm).indices
    groups: dict[str, list[int]] = {}
    for index in chosen:
        path = new.architecture[index].path
        groups.setdefault(path.rpartition("/")[0] or path, []).append(index)

    def change(path, indices):
        return WeightChange.of_parts(path, [(old.arrays[i], new.arrays[i]) for i in indices])

    rows = tuple(change(path, indices) for path, indices in groups.items())
    return WeightReport(rows, _total(rows, change("all", chosen)))


def _total(rows, total):
    if not np.isfinite([row.change for row in rows]).all():
        bad = [row.path for row in rows if not np.isfinite(row.change)]
        raise ValueError(f"The weights of {bad} are not finite, in `before` or in `after`.")
    return total
