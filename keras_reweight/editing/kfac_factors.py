"""Collecting Kronecker factors of a model's layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.kronecker import kronecker_refusal, make_kronecker_sums
from keras_reweight.core.loss_sums import LossSums
from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.editing._drawn_labels import label_sampler
from keras_reweight.editing.kronecker_factors import KroneckerFactors
from keras_reweight.signatures.architecture import Architecture


def kfac_factors(
    model: keras.Model,
    data: Any,
    *,
    layers: Any = None,
    labels: str = "sampled",
    loss: Any = None,
    batch_size: int = 64,
    seed: int = 0,
) -> KroneckerFactors:
    """Kronecker factors of layers: what goes in, and which gradients come back.

    For every kernel, `A = E[x x^T]` of the rows it multiplies and `G = E[g g^T]` of the gradients
    of the sample losses at its outputs, before the activation; means over samples and positions
    (time steps, pixels of a convolution), weighted by `sample_weight`. With sampled labels the
    curvature is that of the Fisher information and no labels are needed.

    Use a few thousand samples like the training data, but not those themselves where the model has
    learned them by heart: it is certain about them, and gradients of sampled labels vanish. Then
    see `curvature_edit`. Positions without a target, such as the last one of a language model, get
    a weight of zero: weights of shape `(num_samples, positions)`.

    Args:
        model: A built `keras.Model`; with one output for sampled labels.
        data: Inputs of shape `(num_samples, ...)` and any dtype, a tuple `(x, y)` or
            `(x, y, sample_weight)` of float or integer arrays of that shape, a
            `keras.utils.PyDataset`, `tf.data.Dataset` or torch `DataLoader`.
        layers: Names, a `re.Pattern`, a predicate, layers or a list of these, to choose among the
            Dense, EinsumDense, Conv1D and Conv2D layers; `None` takes all of them.
        labels: `"sampled"` for one draw a prediction from the predicted distribution, for
            cross-entropies, or `"data"`. Defaults to `"sampled"`.
        loss: Loss name, function or `keras.losses.Loss`. Defaults to `None`, the compiled loss.
        batch_size: Integer, for arrays. Defaults to `64`.
        seed: Integer >= 0, of the sampled labels. Defaults to `0`.

    Returns:
        `KroneckerFactors` of the kernels.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range, no layer can be treated or one is not
            called, all weights are zero, or data, loss and model do not fit each other.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    hidden = keras.layers.Dense(4, "relu", name="hidden")
    model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    factors = kr.editing.kfac_factors(model, x, layers="hidden")
    ```

    Reference:
        Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
        Curvature", ICML 2015, arXiv 1503.05671, section 3; Grosse and Martens, "A
        Kronecker-factored Approximate Fisher Matrix for Convolution Layers", ICML 2016, arXiv
        1602.01407.

    Deviations:
        The bias is no row of `A`, as in the code of the curvature edit. `A` of convolutions is a
        mean over positions, not a sum, which changes no share of the spectrum.

    Cost:
        A forward and backward pass of the data, and one more forward pass for sampled labels;
        `in ** 2 + out ** 2` operations a layer and position.
    """
    check_choice("labels", labels, ["sampled", "data"])
    check_integer("batch_size", batch_size, minimum=1)
    check_integer("seed", seed, minimum=0)
    check_built(model, "kfac_factors")
    refusal = kronecker_refusal(model)
    chosen = select_layers(model, layers, candidates=all_layers(model), accept=refusal).touched
    sample = label_sampler(model, loss, seed, "kfac_factors") if labels == "sampled" else None
    totals: Any = None
    for x, y, weights in LossSums.batches(data, batch_size):
        weights = _as_array(weights)
        if sample is not None:
            y = sample(x)
        # The weights count where the moments are summed; the loss only has what is not there out.
        present = (weights > 0).astype("float32")
        arguments = check_arguments(
            "kfac_factors",
            model,
            x,
            y,
            loss=loss,
            sample_weight=present,
            per_sample=True,
            of_inputs=True,
        )

        def build(spec=arguments.spec):
            objective = Objective(model, spec, training=False)
            return make_kronecker_sums(objective.samples, chosen, model.variables)

        key = ("kfac_factors", tuple(id(layer) for layer in chosen), arguments.key())
        function = cached(model, key, (arguments.spec, chosen), build)
        sums = [
            [ops.convert_to_numpy(part).astype("float64") for part in parts]
            for parts in function(weights, *arguments.data)
        ]
        if totals is None:
            totals = sums
        else:
            totals = [
                [a + b for a, b in zip(*pair, strict=True)]
                for pair in zip(totals, sums, strict=True)
            ]
    if totals is None:
        raise ValueError("kfac_factors: `data` holds no samples.")
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    factors = {}
    for layer, (inner, outer, weight) in zip(chosen, totals, strict=True):
        if not weight > 0:
            raise ValueError(
                f"`data`: all weights are zero for layer {layer.path!r}, got {weight}."
            )
        factors[position[id(layer.kernel)]] = (inner / weight, outer / weight)
    return KroneckerFactors(Architecture.of(model), factors)


def _as_array(weights):
    if not isinstance(weights, np.ndarray) or weights.ndim > 2:
        raise ValueError(
            "kfac_factors: `sample_weight` must be one array of shape (num_samples,) or "
            f"(num_samples, positions), got {weights!r:.80}."
        )
    return weights.astype("float32")
