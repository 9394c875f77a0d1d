"""Bring the layers of a pruned model back to what they computed before."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.collect_input_statistics import calibrated_layers
from keras_compress.calibration.kernel_rows import kernel_matrix, kernel_of_matrix
from keras_compress.retraining._layer_rows import first_batch, order_of_calls, paired_rows
from keras_compress.retraining._least_squares import Products, masked_least_squares
from keras_compress.retraining._train_block import train_block
from keras_compress.retraining.reconstruction_report import ReconstructionReport
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_choice, check_integer, check_number


def reconstruct(
    model: keras.Model,
    dense_model: keras.Model,
    data: Any,
    *,
    layers: Any = None,
    method: str = "least_squares",
    damping: float = 0.01,
    steps: int = 200,
    learning_rate: float = 5e-4,
    batch_size: int = 32,
) -> ReconstructionReport:
    """Refit the surviving weights of a pruned model, layer by layer, without labels.

    Use it right after pruning, before or instead of retraining, with a few hundred samples. The
    layers get their turn in the order of the forward pass. Each is fitted to the outputs of its
    dense counterpart in `dense_model`, on the inputs that the part before it, pruned and refitted
    already, gives: `min ||X W_dense - X' W||^2` over the weights that are not zero. Zeros stay.

    - `"least_squares"` solves this exactly for the outputs before the activation, kernel and bias
      together, one linear system for each pattern of zeros among the output units;
    - `"gradient"` trains with AdamW on the mean squared error of what the layer returns, with
      warm-up and linear decay. `layers` may then name any layer that takes one tensor, also a block
      of several layers, whose trainable weights are fitted together.

    Normalization statistics stay as they are. The model is changed in place.

    Args:
        model: The pruned `keras.Model`; it is changed.
        dense_model: The same model before pruning; it is left alone.
        data: Calibration inputs: arrays, `(x, ...)`, `PyDataset`, `tf.data`, `DataLoader` or
            batches; labels are ignored. Every layer takes a pass over them.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            for all dense, einsum, convolution and depthwise layers, also inside attention.
            Defaults to `None`.
        method: `"least_squares"` or `"gradient"`. Defaults to `"least_squares"`.
        damping: Float > 0, of `"least_squares"`: share of the mean square of the inputs that pulls
            weights to their values before. Defaults to `0.01`.
        steps: Integer >= 1, of `"gradient"`: steps a layer. Defaults to `200`.
        learning_rate: Float > 0, of `"gradient"`. Defaults to `5e-4`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `32`.

    Returns:
        A `ReconstructionReport` with the errors of the layers before and after.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the models are not built or not alike, a number is outside its range,
            a layer is unknown or none can be refitted.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu", name="first"),
                              keras.layers.Dense(2, name="last")])
    pruned = keras.models.clone_model(dense)
    pruned.set_weights(dense.get_weights())
    kc.prune_magnitude(pruned, 0.5)
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    report = kc.retraining.reconstruct(pruned, dense, x)
    assert report.after["last"] < report.before["last"]
    assert kc.sparsity_report(pruned).sparsity >= 0.5
    ```

    Reference:
        Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
        arXiv 2312.15230, section 3.4 (`"gradient"`); Frantar and Alistarh, "SparseGPT: Massive
        Language Models Can be Accurately Pruned in One-Shot", ICML 2023, arXiv 2301.00774,
        equation 2 (the exact solution for a given mask).

    Deviations:
        SparseGPT approximates the solution for the mask in one sweep and takes the outputs for the
        inputs of the pruned part as its target; here the targets are the outputs of the dense
        model, so errors of earlier layers are corrected, too.

    Cost:
        A forward pass of both models for each layer. `"least_squares"`: for each pattern a linear
        system of the size of the surviving inputs. `"gradient"`: inputs and outputs of one layer
        are held on the host, and `steps` steps through the layer.
    """
    check_built(model, "reconstruct")
    check_built(dense_model, "reconstruct", "dense_model")
    check_choice("method", method, ["least_squares", "gradient"])
    check_number("damping", damping, exclusive_minimum=0.0)
    check_integer("steps", steps, minimum=1)
    check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
    check_integer("batch_size", batch_size, minimum=1)
    counterparts = _counterparts(model, dense_model)
    sync_model(model)
    if method == "least_squares" or layers is None:
        chosen = calibrated_layers(model, layers)
    else:
        touched = select_layers(model, layers, candidates=all_layers(model)).touched
        path_of = {id(layer): path for path, layer in layers_by_path(model).items()}
        chosen = {path_of[id(layer)]: layer for layer in touched}
    paths = list(chosen)
    order = order_of_calls(model, list(chosen.values()), first_batch(data, batch_size))
    skipped = {path: "not called" for n, path in enumerate(paths) if n not in order}
    before, after = {}, {}
    for path in [paths[number] for number in order]:
        layer = chosen[path]
        pair = (layer, counterparts[id(layer)])
        if method == "least_squares":
            found = _solve((model, dense_model), pair, data, damping, batch_size)
        else:
            found = train_block((model, dense_model), pair, data, steps, learning_rate, batch_size)
        before[path], after[path] = found
    return ReconstructionReport(before, after, skipped)


def _counterparts(model, dense_model):
    """`id` of every layer -> the layer of the dense model in its place."""
    ours, theirs = all_layers(model), all_layers(dense_model)
    shapes = [[tuple(v.shape) for v in one.weights] for one in (model, dense_model)]
    if len(ours) != len(theirs) or shapes[0] != shapes[1]:
        raise ValueError(
            f"`dense_model` ({dense_model!r:.60}, {len(theirs)} layers) must have the layers and "
            f"weight shapes of `model` ({len(ours)} layers); it is the model before pruning."
        )
    return {id(our): their for our, their in zip(ours, theirs, strict=True)}


def _solve(models, pair, data, damping, batch_size):
    """Least squares for one layer; its relative errors before and after."""
    layer, dense = pair
    kernel, goal = _by_group(layer), _by_group(dense)
    groups, rows, outputs = kernel.shape
    bias = _bias(layer, groups * outputs)
    products = [Products.zeros(rows + (bias is not None), outputs) for _ in range(groups)]
    goal_bias = None if bias is None else _host(dense.bias).reshape(groups, outputs)
    for inputs, wanted in paired_rows(models, pair, data, batch_size):
        for group, sums in enumerate(products):
            targets = wanted[:, group] @ goal[group]
            known = inputs[:, group]
            if bias is not None:
                targets = targets + goal_bias[group]
                known = np.concatenate([known, np.ones((len(known), 1))], axis=1)
            sums.add(known, targets)
    starts = kernel
    if bias is not None:
        starts = np.concatenate([kernel, bias.reshape(groups, 1, outputs)], axis=1)
    masks = starts != 0
    if bias is not None:
        masks[:, -1] = True
    found = np.stack(
        [
            masked_least_squares(sums, start, mask, damping)
            for sums, start, mask in zip(products, starts, masks, strict=True)
        ]
    )
    if not np.isfinite(found).all():
        raise ValueError(f"`data` leads to inputs of layer {layer.path!r} that are not finite.")
    solved = found[:, :rows]
    # A solution can round to zero in the dtype of the kernel only if it is negligible.
    layer.kernel.assign(kernel_of_matrix(layer, solved if groups > 1 else solved[0]))
    if bias is not None:
        layer.bias.assign(found[:, -1].reshape(layer.bias.shape))
    energy = sum(sums.energy for sums in products) or 1.0
    errors = [
        sum(sums.error(weight) for sums, weight in zip(products, weights, strict=True))
        for weights in (starts, found)
    ]
    return errors[0] / energy, errors[1] / energy


def _by_group(layer):
    matrix = kernel_matrix(layer).astype("float64")
    return matrix if matrix.ndim == 3 else matrix[None]


def _bias(layer, outputs):
    """The bias as a vector, or `None` if there is none for every single output."""
    bias = getattr(layer, "bias", None)
    if bias is None or int(np.prod(bias.shape)) != outputs:
        return None
    return _host(bias).reshape(-1)


def _host(variable):
    return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")
