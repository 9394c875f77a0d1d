"""What dynamic channels would save."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_compress.analysis.count_macs import count_macs
from keras_compress.dynamic.dynamic_compute_report import DynamicComputeReport
from keras_compress.dynamic.set_gate_weight import find_gates
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.selection import layers_by_path


def dynamic_macs(
    model: keras.Model, data: Any, *, batch_size: int = 32, input_shapes: Any = None
) -> DynamicComputeReport:
    """Count the multiply-accumulates that dynamic channels would save on some data.

    A gated layer needs the share of its multiplications that belongs to the channels that are on;
    the head that predicts them is counted on top. That the next layer could skip channels that are
    zero is not counted. Counted, not realized: the kernels of Keras compute all channels.

    Args:
        model: A built `keras.Model` with `DynamicChannelGate` layers.
        data: Inputs: float array of shape `(samples, ...)`, a tuple `(x,)` or `(x, y)`, or batches.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.
        input_shapes: As for `count_macs`, where axes of the input have no size. Defaults to `None`.

    Returns:
        A `DynamicComputeReport`.

    Raises:
        TypeError: If `model` is no model or `data` cannot be read.
        ValueError: If the model is not built, has no gates, or `data` is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    gate = kc.layers.DynamicChannelGate(keras.layers.Dense(8, activation="relu"))
    model = keras.Sequential([keras.Input((4,)), gate])
    report = kc.dynamic.dynamic_macs(model, np.ones((6, 4), "float32"))
    assert report.dense == 32 and report.heads == 32
    ```

    Reference:
        Elkerdawy et al., "Fire Together Wire Together", CVPR 2022, arXiv 2110.08232 (its FLOPs are
        counted in the same way, those of the heads included).

    Cost:
        One eager forward pass over the data.
    """
    gates = find_gates(model, None, caller="dynamic_macs")
    active, count = _active_channels(model, gates, data, batch_size)
    if not count:
        raise ValueError("`data` holds no samples.")
    names = {id(layer): path for path, layer in layers_by_path(model).items()}
    rows = count_macs(model, input_shapes).layers
    heads, saved, fractions = 0, 0.0, {}
    for gate, share in zip(gates, active, strict=True):
        path = names[id(gate)]
        head = f"{path}/{gate.head.name}"
        heads += sum(row.macs for row in rows if row.path == head)
        inside = [row for row in rows if row.path.startswith(f"{path}/") and row.path != head]
        # Only the layer that makes the channels can leave some out.
        last = [row.macs for row in inside if row.macs][-1:]
        saved += (1.0 - share) * sum(last)
        fractions[path] = share
    dense = sum(row.macs for row in rows) - heads
    return DynamicComputeReport(dense, heads, dense + heads - saved, fractions)


def _active_channels(model, gates, data, batch_size):
    """Mean share of active channels of each gate, and the number of samples."""
    sums, calls, count = [0.0] * len(gates), [0] * len(gates), 0

    def observe(position):
        def add(found):
            found = np.asarray(ops.convert_to_numpy(found))
            sums[position] += float(found.mean(axis=-1).sum())
            calls[position] += len(found)

        return add

    for position, gate in enumerate(gates):
        gate.observer = observe(position)
    try:
        for x, _, _ in iterate_batches(data, batch_size):
            model(tree.map_structure(ops.convert_to_tensor, x), training=False)
            count += len(tree.flatten(x)[0])
    finally:
        for gate in gates:
            gate.observer = None
    return [total / max(number, 1) for total, number in zip(sums, calls, strict=True)], count
