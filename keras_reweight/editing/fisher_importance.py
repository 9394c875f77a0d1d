"""Importance of weights from gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.batches import as_arrays, batch_length, iterate_batches
from keras_reweight.core.layer_calls import gives_probabilities, without_last_activation
from keras_reweight.core.loss_sums import LossSums
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.editing._drawn_labels import Relabeled, label_sampler, predicted
from keras_reweight.editing.weight_importance import KINDS, WeightImportance
from keras_reweight.signatures.architecture import Architecture

# Compiled functions are remembered by the loss; this one belongs to label-free importance alone.
_SQUARED_OUTPUTS = keras.losses.MeanSquaredError()


def fisher_importance(
    model: keras.Model,
    data: Any,
    *,
    kind: str = "batch",
    labels: str = "data",
    loss: Any = None,
    variables: Any = None,
    batch_size: int = 64,
    seed: int = 0,
) -> WeightImportance:
    """How much the loss on some data depends on each weight.

    For `selective_dampening`, which compares what a part of the data needs with what all of it
    needs, and for any penalty or ranking by importance. In inference mode:

    - `kind="batch"`: mean over batches of `(d mean loss / d w)^2`, as the published code of
      selective synaptic dampening has it. Gradients of a batch cancel each other, so it depends
      strongly on `batch_size`: compare only importances with the same one.
    - `kind="sample"`: mean over samples of `(d loss_i / d w)^2`, the diagonal of the Fisher
      information; `batch_size` only says how many are worked on together. With `labels="sampled"`
      it is the true Fisher information, with the labels of the data the empirical one.
    - `kind="label_free"`: mean over batches of `|d mean ||logits||^2 / d w|`; needs no labels.

    Not for data that the model fits without any loss: with gradients of zero nothing is important.

    Args:
        model: A built `keras.Model`; with one output for `"label_free"` and sampled labels.
        data: Tuple `(x, y)` or `(x, y, sample_weight)` of float or integer arrays of shape
            `(num_samples, ...)`, a `keras.utils.PyDataset`, `tf.data.Dataset` or torch
            `DataLoader`. Labels are not read for `"label_free"` and sampled labels.
        kind: `"batch"`, `"sample"` or `"label_free"`. Defaults to `"batch"`.
        labels: `"data"`, or `"sampled"` for one draw a sample from the predicted distribution, for
            cross-entropies. Defaults to `"data"`.
        loss: Loss name, function or `keras.losses.Loss`. Defaults to `None`, the compiled loss.
        variables: List of `keras.Variable` of the model, or a selection of layers. Defaults to
            `model.trainable_variables`.
        batch_size: Integer, for arrays. Defaults to `64`.
        seed: Integer >= 0, of the sampled labels. Defaults to `0`.

    Returns:
        A `WeightImportance`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range, the data are empty, or data, loss and model
            do not fit each other.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    importance = kr.editing.fisher_importance(model, (x, y), kind="sample")
    ```

    Reference:
        Foster, Schoepf and Brintrup, "Fast Machine Unlearning Without Retraining Through Selective
        Synaptic Dampening", AAAI 2024, arXiv 2308.07707, section 4;
        if-loops/selective-synaptic-dampening (`"batch"`). Foster, Schoepf and Brintrup, "Loss-Free
        Machine Unlearning", arXiv 2402.19308 (`"label_free"`). Kunstner, Balles and Hennig, arXiv
        1905.12558, for the difference between sampled labels and those of the data.

    Deviations:
        The paper speaks of the diagonal of the Fisher information, which is `"sample"`; its code
        squares gradients of batches. A smaller last batch counts as much as the others there and
        here. Sample weights multiply losses (`"sample"`: squared gradients).

    Cost:
        A forward and backward pass of the data, with `"sample"` one sample at a time (vectorized on
        JAX and torch). Host memory of a float64 copy of the weights.
    """
    check_choice("kind", kind, KINDS)
    check_choice("labels", labels, ["data", "sampled"])
    check_integer("batch_size", batch_size, minimum=1)
    check_integer("seed", seed, minimum=0)
    check_built(model, "fisher_importance")
    options = {"variables": variables, "batch_size": batch_size, "caller": "fisher_importance"}
    in_arrays = as_arrays(data) is not None
    if kind == "label_free":
        totals, sums = _label_free(model, data, options)
    else:
        options["loss"] = loss
        if labels == "sampled":
            sample = label_sampler(model, loss, seed, "fisher_importance")
            data = Relabeled(data, batch_size, sample)
        sums = LossSums(model, data, **options)
        if kind == "sample":
            totals = sums.squared_gradients(data) / sums.count(data)
        else:
            totals = _of_batches(sums, data, np.square)
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    indices = [position[id(variable)] for variable in sums.variables]
    return WeightImportance(
        Architecture.of(model),
        dict(zip(indices, _parts(sums, totals), strict=True)),
        kind=kind,
        batch_size=batch_size if in_arrays else None,
    )


def _of_batches(sums, data, function):
    """Mean over batches of a function of the gradient of their mean loss."""
    counts = [batch_length((x, y)) for x, y, _ in iterate_batches(data, sums.batch_size)]
    total = np.zeros(sums.size)
    for count, gradient in zip(counts, sums.batch_gradients(data), strict=True):
        total += function(gradient / count)
    return total / len(counts)


def _label_free(model, data, options):
    x = next((x for x, _, _ in iterate_batches(data, options["batch_size"])), None)
    if x is None:
        raise ValueError("fisher_importance: `data` holds no samples.")
    shape = predicted(model, x, "fisher_importance").shape[1:]
    inputs = Relabeled(
        data, options["batch_size"], lambda x: np.zeros((batch_length(x), *shape), "float32")
    )
    sums = LossSums(model, inputs, loss=_SQUARED_OUTPUTS, **options)
    if not gives_probabilities(model):
        totals = _of_batches(sums, inputs, np.abs)
    else:
        with without_last_activation(model):
            totals = _of_batches(sums, inputs, np.abs)
    return totals * np.prod(shape), sums


def _parts(sums, vector):
    ends = np.cumsum([int(np.prod(variable.shape)) for variable in sums.variables])[:-1]
    parts = np.split(vector, ends)
    return [
        part.reshape(tuple(variable.shape))
        for part, variable in zip(parts, sums.variables, strict=True)
    ]
