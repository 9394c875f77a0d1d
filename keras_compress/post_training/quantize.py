"""Post-training quantization of a whole model, layer by layer."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np

from keras_compress._copy_model import copy_model
from keras_compress.post_training._finished_layers import FinishedLayers
from keras_compress.post_training._layer_by_layer import LayerByLayer
from keras_compress.post_training._loss_gradients import loss_gradients
from keras_compress.post_training._targets import find_targets, host_value, weight_of
from keras_compress.post_training._token_weights import token_weigher
from keras_compress.post_training.gptq import GPTQ
from keras_compress.post_training.post_training_report import PostTrainingReport
from keras_compress.post_training.solver import Solver
from keras_compress.quantization.quantized_model import QuantizedModel
from keras_compress.retraining._layer_rows import first_batch
from keras_reweight.core.files import digest
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import (
    check_boolean,
    check_built,
    check_choice,
    check_integer,
)


def quantize(
    model: keras.Model,
    data: Any = None,
    *,
    solver: Solver | None = None,
    bits: Any = 4,
    group_size: int | None = None,
    symmetric: bool = False,
    layers: Any = None,
    token_weights: Any = None,
    loss: Any = None,
    batch_size: int = 32,
    copy: bool = True,
    directory: str | os.PathLike | None = None,
    verbose: int = 0,
) -> QuantizedModel:
    """Quantize the weights of a trained model with a few hundred samples and no training.

    A copy of the model is quantized in the order of its forward pass. Each layer is solved for the
    inputs that the part before it, quantized already, gives; layers with the same input, such as
    the projections of an attention layer, are solved together. Dense, einsum, convolution and
    depthwise layers are quantized, also inside attention layers, nested and subclassed models;
    everything else is left as it is and listed with the reason. Embeddings are rounded to nearest
    if `layers` names them. Statistics are gathered batch by batch on the host, so memory does not
    grow with the data.

    Args:
        model: A built `keras.Model`.
        data: Calibration inputs: array of shape `(num_samples, ...)` and any dtype, `(x, y)`,
            `PyDataset`, `tf.data`, `DataLoader` or batches, in the same order in every pass. Labels
            are used only where a solver needs gradients. `None` for solvers that need no data.
        solver: A `Solver`; `None` for `GPTQ()`. Defaults to `None`.
        bits: Integer from 1 to 8, or a mapping from layer names, paths, glob patterns or
            `re.Pattern` to integers; layers that nothing matches stay as they are. Defaults to `4`.
        group_size: Integer >= 1, consecutive inputs that share a scale, or `None` for one scale an
            output. Defaults to `None`.
        symmetric: Boolean, whether grids have zero in their middle. Defaults to `False`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all that can be calibrated. Defaults to `None`.
        token_weights: What a token counts in the products of inputs: float array of shape
            `(num_samples, positions)`, or a function `(inputs, *, x, model, layer) -> array` of the
            inputs of a layer (NumPy), the batch, the model as it is by then, and the layer. Scaled
            to mean one within each sample. Defaults to `None`.
        loss: Loss for solvers that need gradients; `None` for the compiled one.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `32`.
        copy: Boolean, `False` to change `model` itself, for subclassed models that cannot be
            copied from their configuration. Defaults to `True`.
        directory: Folder that keeps finished layers; a run with the same settings goes on from
            there. Defaults to `None`.
        verbose: `0`, `1` or `2`, progress bar over layers as in Keras. Defaults to `0`.

    Returns:
        A `QuantizedModel`: `model`, a plain Keras model that computes with the quantized weights,
        `matrices` with their codes, and `report`, a `PostTrainingReport`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the model is not built or cannot be copied, a number is outside its range, a
            layer is unknown, cannot be quantized or none is left, inputs are not finite, `data` or
            labels are missing, or `directory` is of another run.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "relu", name="first"),
                              keras.layers.Dense(2, name="last")])
    x = np.random.default_rng(0).normal(size=(128, 6)).astype("float32")
    quantized = kc.quantize_post_training(model, x, bits={"first": 3, "last": 8})
    print(quantized.report)
    predictions = quantized.model(x)
    ```

    Reference:
        Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
        Transformers", ICLR 2023, arXiv 2210.17323 (layer by layer on quantized inputs).

    Cost:
        For each group of layers with one input a forward pass over the data up to there, twice as
        many for solvers with targets in the float model, and what the solver costs.
    """
    check_built(model, "quantize")
    solver = GPTQ() if solver is None else solver
    if not isinstance(solver, Solver):
        raise TypeError(f"`solver` must be a Solver, such as GPTQ(), got {solver!r}.")
    if group_size is not None:
        check_integer("group_size", group_size, minimum=1)
    check_boolean("symmetric", symmetric)
    check_boolean("copy", copy)
    check_integer("batch_size", batch_size, minimum=1)
    check_choice("verbose", verbose, [0, 1, 2])
    if directory is not None and not isinstance(directory, (str, os.PathLike)):
        raise TypeError(f"`directory` must be a path or None, got {directory!r}.")
    token_weigher(token_weights, model, [])
    if data is None and (solver.needs or token_weights is not None):
        raise ValueError(f"`data` is None, but {solver!r} needs {sorted(solver.needs)} of inputs.")
    targets, skipped = find_targets(model, layers, bits)
    sync_model(model)
    example = None if data is None else first_batch(data, batch_size)
    changed = copy_model(model, "quantize", example) if copy else model
    settings = {
        "solver": keras.saving.serialize_keras_object(solver),
        "group_size": group_size,
        "symmetric": bool(symmetric),
        "bits": {target.path: target.bits for target in targets},
        "weights": _fingerprint([host_value(variable) for variable in model.weights]),
        "data": _fingerprint(example),
        "token_weights": _fingerprint(token_weights),
    }
    finished = FinishedLayers(directory, settings)
    gradients: list[np.ndarray] | None = None
    if "gradient" in solver.needs:
        variables = [weight_of(target.layer) for target in targets]
        gradients = loss_gradients(model, variables, data, batch_size, loss)
    run = LayerByLayer(model, changed, targets, solver, group_size, bool(symmetric), gradients)
    lines = run(data, example, batch_size, finished, token_weights, verbose)
    skipped.update(run.not_called)
    return QuantizedModel(changed, run.matrices, report=PostTrainingReport(lines, skipped))


def _fingerprint(structure: Any) -> str | None:
    """Tells data apart; functions are known by their name."""
    if structure is None:
        return None
    leaves = keras.tree.flatten(structure)
    if not all(hasattr(leaf, "shape") for leaf in leaves):
        return getattr(structure, "__name__", type(structure).__name__)
    return digest({str(number): np.asarray(leaf) for number, leaf in enumerate(leaves)})
