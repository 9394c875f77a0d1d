"""What lies between two models once their channels are lined up."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_reweight.core.linear_mode_connectivity import linear_mode_connectivity
from keras_reweight.core.mode_connectivity import ModeConnectivity
from keras_reweight.core.validation import check_built
from keras_reweight.matching.channel_matching import ChannelMatching
from keras_reweight.matching.permute import permute


def interpolation_curve(
    model1: keras.Model,
    model2: keras.Model,
    data: Any,
    matching: ChannelMatching | Mapping[str, np.ndarray] | None = None,
    *,
    points: int = 11,
    loss: Any = None,
    batch_norm_data: Any = None,
    batch_size: int = 128,
) -> ModeConnectivity:
    """Error or loss on the straight line from `model1` to the permuted `model2`.

    The proof of a matching: without it the middle of the line between two trainings is as bad as
    chance; after a good one it is nearly as good as the ends, and `barrier` is small. At each point
    the statistics of batch normalization are estimated anew, as means of weights do not have the
    mean of the statistics. Both models are left as they are, bit for bit.

    Args:
        model1: A built `keras.Model`.
        model2: A `keras.Model` of the same architecture.
        data: Labeled samples `(x, y)`: arrays, `PyDataset`, `tf.data`, `DataLoader` or batches
            that do not shuffle.
        matching: From `match_weights(model1, model2)` or `match_activations`; `None` for the line
            to `model2` as it is. Defaults to `None`.
        points: Integer >= 2. Defaults to `11`.
        loss: `keras.losses.Loss`, function `(y_true, y_pred) -> values of the samples`, or the name
            of one; `None` for the classification error, with class ids or one-hot labels. Defaults
            to `None`.
        batch_norm_data: Inputs that the statistics of batch normalization are estimated on, like
            `data` with or without labels: training data, if `data` are held out. `None` takes
            `data`. Only for models with batch normalization. Defaults to `None`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `128`.

    Returns:
        A `ModeConnectivity`: arrays `positions` and `values`, and the numbers `barrier` and
        `connectivity`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a model is not built, the weights differ in shape, `matching` does not fit,
            `points` is less than 2, or `data` holds no labels.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden")]
    model1 = keras.Sequential([*layers, keras.layers.Dense(2)])
    model2 = keras.models.clone_model(model1)
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    matching = kr.matching.match_weights(model1, model2)
    curve = kr.matching.interpolation_curve(model1, model2, (x, y), matching, points=3)
    assert curve.values.shape == (3,) and curve.barrier >= 0.0
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836, section 2; Jordan et al., "REPAIR: REnormalizing Permuted Activations for
        Interpolation Repair", ICLR 2023, arXiv 2211.08403, for the statistics.

    Cost:
        A forward pass over the data for each point, two for models with batch normalization.
    """
    check_built(model1, "interpolation_curve", "model1")
    check_built(model2, "interpolation_curve", "model2")
    patch = None if matching is None else permute(model2, matching)
    with contextlib.nullcontext() if patch is None else patch.patched(model2):
        return linear_mode_connectivity(
            model1,
            model2,
            data,
            points,
            loss=loss,
            batch_norm_data=batch_norm_data,
            batch_size=batch_size,
        )
