"""How near the weights of two models are, beyond their distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_reweight.core.channels.symmetries import Symmetries
from keras_reweight.core.selection import layers_by_path
from keras_reweight.matching._descent import permuted_weights
from keras_reweight.matching._sources import check_source, read_source
from keras_reweight.matching.channel_matching import ChannelMatching
from keras_reweight.matching.permute import check_matching
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


@dataclass(frozen=True)
class AlignmentReport:
    """Alignment of the kernels of two models, and the distance of all their trained weights.

    Made by `alignment_report`.

    Args:
        alignment: Dict from the path of a kernel to a float in `[-1, 1]`.
        distance: Float, Euclidean norm of the difference of all trainable weights.

    Returns:
        A record with the arguments as attributes, the property `mean`, the mean alignment, and a
        table as `str`.

    Raises:
        None.

    Example:

    ```python
    import keras_reweight as kr

    report = kr.matching.AlignmentReport({"hidden/kernel": 0.2, "head/kernel": 0.6}, 3.5)
    assert abs(report.mean - 0.4) < 1e-12
    ```

    Reference:
        Ito et al., "Analysis of Linear Mode Connectivity via Permutation-Based Weight Matching:
        With Insights into Other Permutation Search Methods", ICLR 2025, arXiv 2402.04051.
    """

    alignment: Mapping[str, float]
    distance: float

    @property
    def mean(self) -> float:
        """Mean alignment of the kernels."""
        return float(np.mean(list(self.alignment.values())))

    def __str__(self) -> str:
        lines = [f"{path}: {value:.3f}" for path, value in self.alignment.items()]
        return "\n".join([*lines, f"distance: {self.distance:.4g}"])


def alignment_report(
    model1: keras.Model,
    model2: keras.Model | WeightSnapshot,
    matching: ChannelMatching | Mapping[str, np.ndarray] | None = None,
) -> AlignmentReport:
    """How well the strong directions of the kernels of two models agree.

    Matching channels hardly brings two models nearer to each other, and yet the barrier between
    them goes. What changes is this: the singular vectors with large singular values turn towards
    each other. Compare the report without and with a matching. With `A` and `B` the kernels of a
    layer as matrices with one column an output channel, and `s_i` their singular values in falling
    order, the alignment is `<A, B> / sum_i s_i(A) s_i(B)`: 1 if all singular vectors agree, around
    0 for unrelated kernels.

    Args:
        model1: A built Functional or Sequential `keras.Model`.
        model2: A `keras.Model` of the same architecture, or a `WeightSnapshot` of one.
        matching: From `match_weights(model1, model2)` or `match_activations`; `None` for `model2`
            as it is. Defaults to `None`.

    Returns:
        An `AlignmentReport`: a dict `alignment`, the number `distance`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a model is not built, `model2` has other weights, `matching` does not fit, or
            there are no kernels.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden")]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    report = kr.matching.alignment_report(model, model)
    assert abs(report.mean - 1.0) < 1e-6 and report.distance == 0.0
    ```

    Reference:
        Ito et al., "Analysis of Linear Mode Connectivity via Permutation-Based Weight Matching:
        With Insights into Other Permutation Search Methods", ICLR 2025, arXiv 2402.04051.

    Deviations:
        The normalization is ours: `<A, B>` is the sum over all pairs of singular vectors of their
        products, weighted by the singular values, and von Neumann's trace inequality bounds it by
        the denominator. The paper looks at the pairs above a threshold.

    Cost:
        Singular values of every kernel of both models.
    """
    check_source(model1, model1, "alignment_report", "model1")
    check_source(model1, model2, "alignment_report", "model2")
    trained = {id(variable) for variable in model1.trainable_variables}
    indices = [number for number, v in enumerate(model1.weights) if id(v) in trained]
    first, second = read_source(model1, indices), _read(model1, model2, indices, matching)
    paths = _paths(model1)
    alignment = {
        paths[index]: _alignment(first[index], second[index])
        for index in indices
        if first[index].ndim > 1
    }
    if not alignment:
        raise ValueError(f"`model1`: {model1.name!r} has no trainable kernels to compare.")
    squared = sum(float(np.sum((first[index] - second[index]) ** 2)) for index in indices)
    return AlignmentReport(alignment, float(np.sqrt(squared)))


def _read(model: keras.Model, source: keras.Model | WeightSnapshot, indices, matching):
    weights = read_source(source, indices)
    if matching is None:
        return weights
    symmetries = Symmetries(model, "alignment_report", "model1")
    orders = check_matching(symmetries, matching)
    everything = read_source(source, symmetries.indices)
    moved = permuted_weights(symmetries.groups, orders, everything)
    return {index: moved.get(index, array) for index, array in weights.items()}


def _paths(model):
    """Path of each weight, without the name of the model."""
    found = {}
    for path, layer in layers_by_path(model).items():
        for variable in layer.weights:
            # Containers come first, what holds the weight itself last.
            found[id(variable)] = f"{path}/{variable.name}"
    return {
        number: found.get(id(variable), variable.path)
        for number, variable in enumerate(model.weights)
    }


def _alignment(first: np.ndarray, second: np.ndarray) -> float:
    first, second = (each.reshape(-1, each.shape[-1]) for each in (first, second))
    strengths = [np.linalg.svd(each, compute_uv=False) for each in (first, second)]
    bound = float(strengths[0] @ strengths[1])
    return float(np.vdot(first, second)) / bound if bound > 0.0 else 0.0
