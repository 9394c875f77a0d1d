"""What structured pruning changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from keras_compress.analysis.count_macs import count_macs
from keras_reweight.core.selection import layers_by_path


@dataclass(frozen=True)
class LayerChange:
    """One row of a `StructuralReport`: `(before, after)` each."""

    path: str
    kind: str
    channels: tuple[int, int]
    num_parameters: tuple[int, int]
    macs: tuple[int, int]


@dataclass(frozen=True)
class StructuralReport:
    """Channels, parameters and MACs of every layer, before and after.

    Made by `structural_report`; `print(report)` shows a table.

    Args:
        layers: Tuple of `LayerChange`, one for each layer with weights.

    Returns:
        A record with the argument as attribute, and the properties `num_parameters` and `macs`,
        pairs of integers before and after.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    report = kc.structured.structural_report(model, kc.prune_structured(model, 0.5))
    assert report.layers[0].channels == (8, 4) and report.macs == (40, 20)
    ```

    Reference:
        None; a record.
    """

    layers: tuple[LayerChange, ...]

    @property
    def num_parameters(self) -> tuple[int, int]:
        return _sums([row.num_parameters for row in self.layers])

    @property
    def macs(self) -> tuple[int, int]:
        return _sums([row.macs for row in self.layers])

    def __str__(self) -> str:
        width = max([len(row.path) for row in self.layers], default=0)
        lines = [
            f"{row.path:<{width}}  {row.kind:<20} channels {_arrow(row.channels, 6)}  "
            f"parameters {_arrow(row.num_parameters, 11)}  MACs {_arrow(row.macs, 14)}"
            for row in self.layers
        ]
        lines += [
            f"{name}: {_arrow(pair)} ({_share(pair):.1%})"
            for name, pair in (("parameters", self.num_parameters), ("MACs", self.macs))
        ]
        return "\n".join(lines)


def structural_report(
    before: keras.Model, after: keras.Model, *, input_shapes: Any = None
) -> StructuralReport:
    """Compare two models layer by layer: channels, parameters, multiply-accumulates.

    Layers are matched by their paths, so it works for whatever keeps the names. For what counts as
    a MAC see `count_macs`.

    Args:
        before: A built `keras.Model`.
        after: A built `keras.Model` made from it.
        input_shapes: As for `count_macs`, for models with axes without a size. Defaults to `None`.

    Returns:
        A `StructuralReport`.

    Raises:
        TypeError: If `before` or `after` is no `keras.Model`, or a shape no tuple of integers.
        ValueError: If a model is not built, or an axis of its inputs has no size.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    print(kc.structured.structural_report(model, kc.prune_structured(model, 0.5)))
    ```

    Reference:
        None; a report.
    """
    for name, model in (("before", before), ("after", after)):
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"`{name}` must be a keras.Model, got {model!r} of type {type(model).__name__}."
            )
    rows = [{row.path: row for row in _rows(model, input_shapes)} for model in (before, after)]
    layers = [layers_by_path(model) for model in (before, after)]
    changes = []
    for path in dict.fromkeys([*rows[0], *rows[1]]):
        pair = [each.get(path) for each in rows]
        changes.append(
            LayerChange(
                path,
                next(row.kind for row in pair if row is not None),
                _pair(
                    _channels(each.get(path), row) for each, row in zip(layers, pair, strict=True)
                ),
                _pair(row.num_parameters if row else 0 for row in pair),
                _pair(row.macs if row else 0 for row in pair),
            )
        )
    return StructuralReport(tuple(changes))


def _rows(model, input_shapes):
    return count_macs(model, input_shapes).layers


def _channels(layer, row):
    if row is None or not row.output_shape:
        return 0
    first = getattr(layer, "data_format", None) == "channels_first"
    return row.output_shape[0 if first else -1]


def _pair(values):
    before, after = values
    return before, after


def _sums(pairs):
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def _arrow(pair, width=0):
    return f"{pair[0]:>{width},} -> {pair[1]:>{width},}"


def _share(pair):
    return pair[1] / pair[0] if pair[0] else 1.0
