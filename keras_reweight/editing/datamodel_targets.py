"""What a model trained again would say, from models trained on parts of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.validation import check_number

# Relative to the largest eigenvalue; among these the leave-one-out error chooses.
_GRID = np.logspace(-6.0, 2.0, 33)


def datamodel_targets(
    masks: Any, outputs: Any, *, current: Any, forget: Any, ridge: float | None = None
) -> np.ndarray:
    """Predict the outputs of a model trained without some samples, by a linear datamodel.

    Train `num_models` small runs on random parts of the data, note who was in (`masks`) and what
    they say at the points of interest (`outputs`). Ridge regressions of every output on the masks
    give an effect `beta_i` for each sample or group, and leaving out `forget` gives
    `current - sum_{i in forget} beta_i`. Those are targets for `match_outputs`. The runs serve any
    number of requests to forget.

    Columns of `masks` may stand for groups of samples (users, sources, shards): with fewer columns
    than runs the regression is far better. Not for one request and a model that is cheap to train
    again, nor where no runs can be paid: `kr.scores.predict_removal` needs only gradients.

    Args:
        masks: Boolean or 0/1 integer array of shape `(num_models, num_columns)`.
        outputs: Float array of shape `(num_models, num_points, ...)`; logits rather than
            probabilities.
        current: Float array of shape `(num_points, ...)`, outputs of the model to edit.
        forget: Integer array of shape `(num_forget,)`, columns of `masks`.
        ridge: Float > 0, penalty of the squared effects, or `None` to choose the one with the least
            leave-one-out error. Defaults to `None`.

    Returns:
        Float32 NumPy array of shape `(num_points, ...)`.

    Raises:
        TypeError: If an argument is no array of numbers.
        ValueError: If shapes do not fit each other, there are fewer than two models, masks hold
            other values than 0 and 1, a column to forget does not exist or is the same in all
            models, numbers are not finite, or `ridge` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    masks = rng.random((40, 5)) < 0.5
    effects = rng.normal(size=(5, 3, 2))
    outputs = np.einsum("mi,ipc->mpc", masks, effects)
    found = kr.editing.datamodel_targets(
        masks, outputs, current=effects.sum(axis=0), forget=np.array([1])
    )
    np.testing.assert_allclose(found, effects.sum(axis=0) - effects[1], atol=1e-3)
    ```

    Reference:
        Georgiev et al., "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", arXiv
        2410.23232, section 4; Ilyas et al., "Datamodels: Predicting Predictions from Training
        Data", ICML 2022, arXiv 2202.00622, section 2.

    Deviations:
        Ilyas et al. fit with a penalty of the absolute effects and on far more runs; a squared one
        has a closed form and an exact leave-one-out error.

    Cost:
        One eigenvalue decomposition of `num_models` rows.
    """
    masks = _numbers("masks", masks)
    outputs, current = _numbers("outputs", outputs), _numbers("current", current)
    if masks.ndim != 2 or len(masks) < 2 or not np.isin(masks, (0.0, 1.0)).all():
        raise ValueError(
            "`masks` must be zeros and ones of shape (num_models, num_columns) with at least two "
            f"models, got shape {masks.shape} and values from {masks.min()} to {masks.max()}."
        )
    if outputs.ndim < 2 or len(outputs) != len(masks):
        raise ValueError(
            f"`outputs` must have shape (num_models, num_points, ...) for {len(masks)} models, got "
            f"{outputs.shape}."
        )
    if current.shape != outputs.shape[1:]:
        raise ValueError(f"`current` must have shape {outputs.shape[1:]}, got {current.shape}.")
    columns = _columns(forget, masks)
    if ridge is not None:
        check_number("ridge", ridge, exclusive_minimum=0.0)
    inside = masks - masks.mean(axis=0)
    said = outputs.reshape(len(outputs), -1)
    said = said - said.mean(axis=0)
    values, vectors = np.linalg.eigh(inside @ inside.T)
    values = np.maximum(values, 0.0)
    rotated = vectors.T @ said
    if ridge is None:
        ridge = _least_error(values, vectors, rotated, said)
    dual = (vectors / (values + ridge)) @ rotated
    effect = inside[:, columns].sum(axis=1) @ dual
    return (current - effect.reshape(current.shape)).astype("float32")


def _numbers(argument, value):
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{argument}` must be an array of numbers, got {value!r:.80}.")
    array = array.astype("float64")
    if not array.size or not np.isfinite(array).all():
        raise ValueError(f"`{argument}` must be finite numbers, got {value!r:.80}.")
    return array


def _columns(forget, masks):
    columns = np.asarray(forget)
    if columns.dtype.kind not in "iu" or columns.ndim != 1 or not columns.size:
        raise TypeError(f"`forget` must be an array of integers, got {forget!r:.80}.")
    if columns.min() < 0 or columns.max() >= masks.shape[1] or len(set(columns)) < len(columns):
        raise ValueError(
            f"`forget` must hold different columns of `masks`, 0 to {masks.shape[1] - 1}, got "
            f"{forget!r:.80}."
        )
    same = [int(column) for column in columns if np.ptp(masks[:, column]) == 0.0]
    if same:
        raise ValueError(
            f"`masks` do not vary in the columns {same} of `forget`, so their effect is unknown."
        )
    return columns


def _least_error(values, vectors, rotated, said):
    """The ridge whose predictions of every model from the others are best."""
    found = []
    for ridge in _GRID * values.max():
        share = values / (values + ridge)
        fitted = (vectors * share) @ rotated
        # The mean takes one degree of freedom, spread over all models.
        leverage = np.einsum("ij,j,ij->i", vectors, share, vectors) + 1.0 / len(values)
        left_out = (said - fitted) / np.maximum(1.0 - leverage, 1e-12)[:, None]
        found.append((np.mean(left_out**2), ridge))
    return min(found)[1]
