"""From scores of layers and a budget to bits for each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.bits import _allocation
from keras_compress.bits._weight_layers import WeightLayer, chosen_layers, weight_layers
from keras_compress.bits.bit_plan import BitPlan
from keras_compress.grids.bit_packing import packed_length
from keras_compress.quantization.size import variable_bytes
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_built, check_choice, check_integer, check_number

_METHODS = ("greedy", "knapsack", "closed_form", "split")


def allocate_bits(
    model: keras.Model,
    scores: Mapping[str, Any],
    *,
    mean_bits: float | None = None,
    max_bytes: int | None = None,
    choices: Sequence[int] = (2, 3, 4, 8),
    method: str = "greedy",
    fixed: Mapping[str, int | None] | None = None,
) -> BitPlan:
    """A bit width for each layer, within a budget that is never exceeded.

    Use it where one width for all layers is too coarse for some and wasted on others. `scores` come
    from `layer_importance`: either one number for a layer, or, better, its loss at each of the
    choices. Where a method needs losses, a single number `c` stands for `c 4**(-bits)`, four times
    less for each bit.

    - `"greedy"`: from one width for all on, always the step that wins most for its bits; never
      worse than any one width that fits.
    - `"knapsack"`: the least total loss under the budget, found by dynamic programming.
    - `"closed_form"`: `equal_loss_rates`, rounded down to choices, the rest spent greedily; for
      single numbers.
    - `"split"`: the most important layers get the higher of two choices, in order, wherever it
      still fits; for single numbers of any kind, such as `"lim"` and `"zd"`.

    Ties go to the layer that comes first in the model. The model is not changed.

    Args:
        model: A built `keras.Model`, not quantized yet.
        scores: Dict from layer names or paths to a float, or to a dict from each of `choices` to
            a float: larger is more important, or a loss.
        mean_bits: Float, the budget as the mean over the weights of the layers that get bits, those
            of `fixed` included. Defaults to `None`.
        max_bytes: Integer, the budget as bytes of all weights of the model, as `packed_size` counts
            them with one scale for each output channel. Exactly one of the two must be given.
            Defaults to `None`.
        choices: Bit widths from 1 to 8, rising. Defaults to `(2, 3, 4, 8)`.
        method: One of the names above. Defaults to `"greedy"`.
        fixed: Dict from layer names or paths to bits that are not up for choice, or to `None` for
            layers that stay float. Layers without a score must be here. Defaults to `None`.

    Returns:
        A `BitPlan`, which `quantize_aware(weights=plan)` and other arguments for bits take.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a layer is unknown, without a score or in both dicts, scores are not finite,
            negative or incomplete where that matters, `choices` are not rising from 1 to 8, or the
            budget is missing, given twice, or too small for the lowest choice.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(64, name="first"),
                              keras.layers.Dense(64, name="second")])
    scores = kc.bits.layer_importance(model, method="relative_mse")
    plan = kc.bits.allocate_bits(model, scores, mean_bits=4.0, choices=(2, 4, 8))
    assert plan.mean_bits <= 4.0
    quantized = kc.quantize_aware(model, weights=plan)
    ```

    Reference:
        Zhang et al., "BAQ: Efficient Bit Allocation Quantization for Large Language Models",
        arXiv 2506.05664 (`"closed_form"`); Dumitru et al., "Layer-Wise Quantization", arXiv
        2406.17415 (`"split"`).

    Deviations:
        BAQ allocates any number of levels to columns; here layers get whole bits. The split of the
        layer-wise paper counts layers, here it counts their weights.

    Cost:
        Arithmetic on a few numbers for each layer; `"knapsack"` a few thousand steps for each.
    """
    check_built(model, "allocate_bits")
    check_choice("method", method, _METHODS)
    choices = _check_choices(choices, method)
    units, kept, unquantized = _resolve(model, scores, {} if fixed is None else fixed)
    values = _losses_and_scores(units, choices, method)
    overhead = _overhead(model, [unit for unit, _ in [*units, *kept]])
    costs, budget = _costs(units, kept, choices, mean_bits, max_bytes, overhead)
    if method == "closed_form":
        sizes = np.array([unit.size for unit, _ in units])
        chosen = _allocation.closed_form(values, sizes, choices, costs, budget)
    else:
        chosen = getattr(_allocation, method)(values, costs, budget)
    bits = {unit.path: choices[index] for (unit, _), index in zip(units, chosen, strict=True)}
    bits.update({unit.path: number for unit, number in kept})
    found = {unit.path: unit for unit, _ in [*units, *kept]}
    order = [path for path in layers_by_path(model) if path in bits]
    return BitPlan(
        bits={path: int(bits[path]) for path in order},
        sizes={path: found[path].size for path in order},
        num_bytes=overhead + sum(_code_bytes(found[path], bits[path]) for path in order),
        scores={unit.path: score for unit, score in units},
        unquantized=unquantized,
    )


def _check_choices(choices, method):
    if isinstance(choices, str) or not isinstance(choices, (Sequence, np.ndarray)):
        raise TypeError(f"`choices` must be a list of bit widths, got {choices!r}.")
    for each in choices:
        check_integer("choices", each, minimum=1, maximum=8)
    if not len(choices) or list(choices) != sorted(set(choices)):
        raise ValueError(f"`choices` must be rising bit widths, at least one, got {choices!r}.")
    if method == "split" and len(choices) != 2:
        raise ValueError(
            f"`choices` must be two bit widths for method 'split', a low and a high one, got "
            f"{choices!r}."
        )
    return [int(each) for each in choices]


def _resolve(model, scores, fixed):
    """`(layer, score)` of those to choose for, `(layer, bits)` of fixed ones, and the rest."""
    every, unquantized = weight_layers(model)
    paths: dict[str, dict[str, Any]] = {}
    units: dict[str, WeightLayer] = {}
    for argument, given in (("scores", scores), ("fixed", fixed)):
        if not isinstance(given, Mapping):
            raise TypeError(f"`{argument}` must be a dict from layers to numbers, got {given!r}.")
        paths[argument] = {}
        for name, value in given.items():
            unit = _one(model, argument, name, (every, unquantized))
            _check_apart(argument, unit, units)
            units[unit.path], paths[argument][unit.path] = unit, value
    if not paths["scores"]:
        raise ValueError(f"`scores` must name at least one layer, got {scores!r}.")
    for path, value in paths["fixed"].items():
        if value is None:
            unquantized[path] = "`fixed` leaves it float"
        else:
            check_integer(f"fixed[{path!r}]", value, minimum=1, maximum=8)
    missing = [path for path in every if not _covered(path, units)]
    if missing:
        raise ValueError(
            f"`scores` lacks layers {missing}. Give them bits in `fixed`, or None to leave them "
            "float."
        )
    return (
        [(units[path], score) for path, score in paths["scores"].items()],
        [(units[path], bits) for path, bits in paths["fixed"].items() if bits is not None],
        unquantized,
    )


def _one(model, argument, name, known):
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must have layer names or paths as keys, got {name!r}.")
    try:
        found = chosen_layers(model, name, known)
    except ValueError as error:
        raise ValueError(f"`{argument}`: {error}") from error
    if len(found) != 1:
        raise ValueError(f"`{argument}`: {name!r} names the layers {[u.path for u in found]}.")
    return found[0]


def _check_apart(argument, unit, others):
    for path in others:
        if path == unit.path or _inside(path, unit.path) or _inside(unit.path, path):
            raise ValueError(f"`{argument}`: layer {unit.path!r} got a value twice, with {path!r}.")


def _inside(path, outer):
    return path.startswith(f"{outer}/")


def _covered(path, units):
    return any(path == each or _inside(path, each) for each in units)


def _losses_and_scores(units, choices, method):
    """An array of losses `(layers, choices)`, or of scores `(layers,)`."""
    ranked = method in ("closed_form", "split")
    rows = []
    for unit, score in units:
        name = f"scores[{unit.path!r}]"
        if isinstance(score, Mapping):
            if ranked:
                raise ValueError(
                    f"`{name}`={score!r}: method {method!r} takes one number for each layer."
                )
            missing = [bits for bits in choices if bits not in score]
            if missing:
                raise ValueError(f"`{name}`={score!r} has no loss at {missing} bits.")
            for bits in choices:
                check_number(f"{name}[{bits}]", score[bits])
            rows.append([float(score[bits]) for bits in choices])
            continue
        check_number(name, score)
        if method != "split" and score < 0.0:
            raise ValueError(
                f"`{name}`={score!r} is negative and no loss. Take method 'split', which only "
                "ranks, or losses at each of `choices` (`layer_importance` with several `bits`)."
            )
        rows.append(score if ranked else [score * 4.0**-bits for bits in choices])
    return np.asarray(rows, "float64")


def _costs(units, kept, choices, mean_bits, max_bytes, overhead):
    """What each choice costs each layer, `(layers, choices)`, and the budget, in bits or bytes."""
    if (mean_bits is None) == (max_bytes is None):
        raise ValueError(
            f"Give exactly one of `mean_bits`={mean_bits!r} and `max_bytes`={max_bytes!r}."
        )
    if max_bytes is None:
        check_number("mean_bits", mean_bits, exclusive_minimum=0.0)
        costs = [[unit.size * bits for bits in choices] for unit, _ in units]
        total = sum(unit.size for unit, _ in [*units, *kept])
        # 1e-9: a mean such as 10 / 3 times its number of weights is a whole number of bits.
        budget = math.floor(mean_bits * total + 1e-9 * total)
        budget -= sum(unit.size * bits for unit, bits in kept)
        name, value, of = "mean_bits", mean_bits, "bits"
    else:
        check_integer("max_bytes", max_bytes, minimum=1)
        costs = [[_code_bytes(unit, bits) for bits in choices] for unit, _ in units]
        budget = max_bytes - overhead - sum(_code_bytes(unit, bits) for unit, bits in kept)
        name, value, of = "max_bytes", max_bytes, "bytes"
    if (least := sum(cost[0] for cost in costs)) > budget:
        raise ValueError(
            f"`{name}`={value!r} leaves {budget} {of} for the weights to choose for, but even "
            f"{choices[0]} bits for each, the lowest of `choices`, take {least} {of}."
        )
    return np.array(costs), budget


def _overhead(model, units):
    """Bytes of everything but codes: scales, biases, layers that stay float."""
    coded = {id(variable) for unit in units for variable in unit.variables}
    scales = sum(_num_scales(matrix) for unit in units for matrix in unit.matrices)
    return 4 * scales + sum(variable_bytes(v) for v in model.weights if id(v) not in coded)


def _num_scales(matrix):
    if matrix.axis is None:
        return 1
    return math.prod(matrix.variable.shape[axis] for axis in matrix.axis)


def _code_bytes(unit, bits):
    return sum(packed_length(math.prod(v.shape), bits) for v in unit.variables)
