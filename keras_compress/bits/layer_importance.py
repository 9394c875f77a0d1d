"""How much a layer suffers from few bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.bits import _scores
from keras_compress.bits._weight_layers import chosen_layers
from keras_reweight.core.loss_sums import LossSums
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_choice, check_integer

#: Methods, whether they need data, and whether they round weights.
_METHODS = {
    "fisher": (True, True),
    "gradient_x_weight": (True, False),
    "hessian": (True, True),
    "lim": (True, False),
    "measured": (True, True),
    "relative_mse": (False, True),
    "zd": (False, False),
}
_WITH_LABELS = ("fisher", "gradient_x_weight", "hessian", "measured")


def layer_importance(
    model: keras.Model,
    data: Any = None,
    *,
    method: str = "fisher",
    bits: int | Sequence[int] | None = None,
    loss: Any = None,
    layers: Any = None,
    blocks: Sequence[Any] | None = None,
    num_probes: int = 4,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, Any]:
    """A score for each layer with weight matrices: the larger, the more bits it should keep.

    Where `q(w)` is `w` rounded to nearest, with a scale for each output channel:

    - `"fisher"`: `sum F (q(w) - w)^2` with the mean squared gradients `F` of the samples. The
      default; about as good as measuring, for one backward pass a sample.
    - `"measured"`: the rise of the loss when this layer alone is rounded. The most direct, one
      forward pass over the data for each layer and bit width.
    - `"hessian"`: mean curvature (Hutchinson's estimate of the trace) times `sum (q(w) - w)^2`.
    - `"gradient_x_weight"`: `sum |g w|`.
    - `"relative_mse"`: `sum (q(w) - w)^2 / sum w^2`, without data.
    - `"zd"`: minus the share of weights that stick out, `z_score_share`, without data.
    - `"lim"`: minus the cosine between input and output of the block a layer is in; for residual
      blocks, whose input and output have one width.

    The first three estimate losses, which `allocate_bits` may weigh against bits; all give a
    ranking. Layers inside one that is quantized as a whole get one score. The model is left as it
    was, bit for bit.

    Args:
        model: A built `keras.Model`.
        data: Calibration data: arrays `(x, y)` of shape `(num_samples, ...)` and any dtype, or
            `(x, y, sample_weight)`, or batches of such, which must not shuffle; inputs suffice for
            `"lim"`; `None` for methods without data. Defaults to `None`.
        method: One of the names above. Defaults to `"fisher"`.
        bits: Integer from 1 to 8 or several of them, for methods that round. `None` means `4` there
            and is the only value for the others. Defaults to `None`.
        loss: Anything that `compile` takes, for methods that look at the loss; `None` for the
            compiled loss. Defaults to `None`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; a container
            gets one score for all it holds. Defaults to `None`, all that can be quantized.
        blocks: For `"lim"`: list of blocks as for `block_importance`, layers or pairs
            `(first, last)`, whose layers (in the order of the model) all get the score of the
            block; layers in no block get none. Defaults to `None`, each layer by itself.
        num_probes: Integer >= 1, random vectors of `"hessian"`. Defaults to `4`.
        batch_size: Integer >= 1, samples worked on together, for arrays. Defaults to `32`.
        seed: Integer >= 0, of the random vectors. Defaults to `0`.

    Returns:
        Dict from layer path to float; with several `bits`, to a dict from bits to float.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the model is not built, quantized already, has no loss or a weight that is
            not finite, a layer or block is unknown, an argument is outside its range, or data,
            `bits` or `blocks` are missing or not used by the method.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="first"),
                              keras.layers.Dense(1, name="last")])
    model.compile("adam", "mse")
    losses = kc.bits.layer_importance(model, (x, x[:, :1]), method="measured", bits=(2, 4, 8))
    assert list(losses) == ["first", "last"] and list(losses["first"]) == [2, 4, 8]
    plan = kc.bits.allocate_bits(model, losses, mean_bits=4.0, choices=(2, 4, 8))
    ```

    Reference:
        Dumitru et al., "Layer-Wise Quantization: A Pragmatic and Effective Method for Quantizing
        LLMs Beyond Integer Bit-Levels", arXiv 2406.17415 (`"lim"`, `"zd"`); Dong et al., "HAWQ-V2:
        Hessian Aware trace-Weighted Quantization of Neural Networks", arXiv 1911.03852
        (`"hessian"`); Yvinec et al., "Gradient-Based Post-Training Quantization: Challenging the
        Status Quo", arXiv 2308.07662 (`"gradient_x_weight"`).

    Deviations:
        A negative curvature counts as zero; `"gradient_x_weight"` averages over batches, so it
        depends a little on `batch_size`.

    Cost:
        `"fisher"`: a forward and a backward pass a sample; `"hessian"`: about four passes a probe;
        `"measured"`: a forward pass over the data for each layer and bit width; `"lim"`: one.
    """
    check_built(model, "layer_importance")
    check_choice("method", method, _METHODS)
    needs_data, rounds = _METHODS[method]
    check_integer("num_probes", num_probes, minimum=1)
    check_integer("batch_size", batch_size, minimum=1)
    check_integer("seed", seed, minimum=0)
    numbers = _check_bits(bits, method, rounds)
    if needs_data and data is None:
        raise ValueError(f"`data`: method {method!r} needs calibration data, got None.")
    if not needs_data and data is not None:
        raise ValueError(f"`data`: method {method!r} looks at weights only; leave `data` out.")
    if blocks is not None and method != "lim":
        raise ValueError(f"`blocks`={blocks!r} are for method 'lim', not for {method!r}.")
    if loss is not None and method not in _WITH_LABELS:
        raise ValueError(f"`loss`={loss!r} has no use with method {method!r}.")
    if isinstance(data, Iterator):
        # Read more than once below.
        data = list(data)
    units = chosen_layers(model, layers)
    sync_model(model)
    if method == "zd":
        return _scores.z_score_scores(units)
    if method == "lim":
        return _scores.input_output_scores(model, data, units, blocks, batch_size)
    if method == "relative_mse":
        table = _scores.rounding_scores(units, numbers, _square, relative=True)
    else:
        sums = LossSums(
            model,
            data,
            loss=loss,
            variables=[variable for unit in units for variable in unit.variables],
            batch_size=batch_size,
            caller="layer_importance",
        )
        if method == "gradient_x_weight":
            return _scores.gradient_scores(sums, data, units)
        if method == "measured":
            table = _scores.measured_scores(sums, data, units, numbers)
        elif method == "fisher":
            table = _scores.rounding_scores(units, numbers, _scores.fisher_cost(sums, data))
        else:
            cost = _scores.hessian_cost(sums, data, num_probes, seed)
            table = _scores.rounding_scores(units, numbers, cost)
    if isinstance(bits, Sequence):
        return table
    return {path: losses[numbers[0]] for path, losses in table.items()}


def _check_bits(bits, method, rounds):
    if bits is None:
        return [4]
    if not rounds:
        raise ValueError(f"`bits`={bits!r} has no use with method {method!r}, leave it out.")
    if isinstance(bits, str) or not isinstance(bits, Sequence):
        check_integer("bits", bits, minimum=1, maximum=8)
        return [bits]
    if not len(bits) or len(set(bits)) != len(bits):
        raise ValueError(f"`bits` must hold different numbers, at least one, got {bits!r}.")
    for each in bits:
        check_integer("bits", each, minimum=1, maximum=8)
    return [int(each) for each in bits]


def _square(variable, change):
    return float(np.sum(np.square(change)))
