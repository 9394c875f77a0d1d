"""Post-training quantization for large inputs and uneven weights, rotations and token weights."""

from __future__ import annotations

import functools
import itertools

import keras
import numpy as np
from keras import ops

import keras_compress as kc
from keras_compress.post_training import LayerProblem, RoundToNearest
from keras_reweight.core.testing import Row
from tests.compress.post_training import (
    test_awq,
    test_codebook,
    test_coordinate_descent,
    test_learned_power,
    test_power_search,
    test_rotated,
    test_sparse_outliers,
)

BITS = 3
WEIGHT = np.random.default_rng(0).normal(size=(8, 3))
HALVES = WEIGHT.astype("float16").astype("float64")
_MIXING = np.eye(8) + 0.1 * np.random.default_rng(2).normal(size=(8, 8))
INPUTS = np.random.default_rng(1).normal(size=(40, 8)) @ _MIXING


def _solved(solver, weight, x):
    return solver.solve(LayerProblem.from_inputs(weight, x, BITS)).values()


_ROW = functools.partial(
    Row, kind="object", inputs=lambda: {"weight": WEIGHT, "x": INPUTS}, outcome=_solved
)
_SOLVER = ({"solver": "gptq"}, TypeError, "solver")
_SEED = ({"seed": -1}, ValueError, "seed")


def _rotated(weight, seed):
    turn = test_rotated.rotation(len(weight), seed)
    return turn @ test_awq.reference_rounding(turn.T @ weight, BITS)


def _split(weight, ratio):
    return test_sparse_outliers.reference_split(weight, np.abs(weight), BITS, ratio)


def _descended(weight, x, sweeps):
    gram = test_coordinate_descent.damped(2.0 / len(x) * x.T @ x)
    low, high = np.minimum(weight.min(axis=0), 0.0), np.maximum(weight.max(axis=0), 0.0)
    scale = (high - low) / (2**BITS - 1)
    zero = np.round(-low / scale)
    levels = scale * (np.arange(2**BITS)[:, None] - zero)
    start = test_awq.reference_rounding(weight, BITS)
    return test_coordinate_descent.reference_descent(
        start, lambda row, output: levels[:, output], gram, gram @ weight, sweeps
    )


def _best_rounding(weight, x):
    """The best of all ways to round the weights of an output up or down."""
    low, high = np.minimum(weight.min(axis=0), 0.0), np.maximum(weight.max(axis=0), 0.0)
    scale = (high - low) / (2**BITS - 1)
    zero = np.round(-low / scale)
    below = np.floor(weight / scale)
    found = np.empty_like(weight)
    for output in range(weight.shape[1]):
        choices = np.array(list(itertools.product((0, 1), repeat=len(weight)))).T
        codes = np.clip(below[:, [output]] + zero[output] + choices, 0, 2**BITS - 1)
        trials = scale[output] * (codes - zero[output])
        errors = np.square(x @ (trials - weight[:, [output]])).sum(axis=0)
        found[:, output] = trials[:, np.argmin(errors)]
    return found


def _power(weight, highest):
    exponents = [a for a in test_power_search.EXPONENTS if a <= highest + 1e-9]
    found = [test_power_search.reference_power(weight, BITS, a) for a in exponents]
    errors = [np.square(values - weight).sum() for values in found]
    return found[int(np.argmin(errors))]


def _clustered(weight, iterations):
    columns = []
    for column in weight.T:
        start = np.quantile(column, (np.arange(4) + 0.5) / 4)
        levels = test_codebook.reference_lloyd(column, start, iterations)
        columns.append(levels[np.argmin(np.abs(column[:, None] - levels), axis=1)])
    return np.stack(columns, axis=1)


def _learned_power(weight, x, steps, learning_rate, exponent_rate, regularization):
    """From the exponent that a search by the outputs finds, unless nothing is gained."""
    gram = 2.0 / len(x) * x.T @ x

    def error(values):
        return np.sum((values - weight) * (gram @ (values - weight)))

    exponents = [1.0, *test_power_search.EXPONENTS]
    errors = [error(test_power_search.reference_power(weight, BITS, a)) for a in exponents]
    best = exponents[int(np.argmin(errors))]
    codes, found = test_learned_power.reference_learned(
        weight,
        gram,
        BITS,
        np.full(weight.shape[1], best),
        int(steps),
        (learning_rate, exponent_rate),
        regularization,
    )
    learned = test_learned_power.decoded(codes, weight, BITS, found)
    nearest = test_power_search.reference_power(weight, BITS, best)
    return learned if error(learned) < error(nearest) else nearest


def _clustered_model(groups=2):
    inputs = keras.Input((3,))
    x = keras.layers.Dense(8, "relu", use_bias=False, name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, use_bias=False, name="last")(x))
    widths = np.array([1.0, 0.1, 1.0, 0.1, 0.1, 1.0, 1.0, 0.1])
    model.set_weights([WEIGHT.T * widths, WEIGHT])
    solver = kc.post_training.Codebook(groups)
    quantized = kc.post_training.quantize(model, solver=solver, bits=2, layers="first")
    return {"quantized": quantized}


def _kernels_and_map(ordered):
    (matrix,) = ordered.matrices.values()
    return [*ordered.model.get_weights(), matrix.grid.arrays()["sizes"]]


def _sorted_kernels(quantized):
    (matrix,) = quantized.matrices.values()
    order = np.argsort(matrix.grid.assignment, kind="stable")
    first, last = quantized.model.get_weights()
    return [first[:, order], last[order], np.bincount(matrix.grid.assignment)]


def _clustered_at_two_bits(solver, weight):
    return solver.solve(LayerProblem(weight, bits=2)).values()


def _signs_of_bits(n):
    """Sylvester's matrix: -1 where the bits that two numbers share are odd in number."""
    return np.array([[(-1.0) ** bin(i & j).count("1") for j in range(n)] for i in range(n)])


def _spread(n, seed):
    signs = np.where(np.random.default_rng([seed, n]).random(n) < 0.5, -1.0, 1.0)
    return signs[:, None] * _signs_of_bits(n) / np.sqrt(n)


def _pair():
    first, second = keras.layers.Dense(8, use_bias=False), keras.layers.Dense(3, use_bias=False)
    first.build((None, 4))
    second.build((None, 8))
    first.kernel.assign(WEIGHT.reshape(4, -1)[:, [0, 1, 2, 3, 4, 5, 0, 1]])
    second.kernel.assign(WEIGHT)
    return {"first": first, "second": second}


def _kernels(rotation, first, second):
    return [ops.convert_to_numpy(layer.kernel) for layer in (first, second)]


def _rotated_kernels(seed):
    turn = _spread(8, int(seed))
    first = WEIGHT.reshape(4, -1)[:, [0, 1, 2, 3, 4, 5, 0, 1]]
    return [first @ turn, turn.T @ WEIGHT]


def _residual_model():
    inputs = keras.Input((3,))
    x = keras.layers.Dense(8, use_bias=False, name="first")(inputs)
    y = keras.layers.RMSNormalization(name="norm")(x)
    y = keras.layers.Dense(8, use_bias=False, name="block")(y)
    x = keras.layers.Add()([x, y])
    model = keras.Model(inputs, keras.layers.Dense(3, use_bias=False, name="last")(x))
    model.set_weights([WEIGHT.T, np.linspace(0.5, 2.0, 8), WEIGHT @ WEIGHT.T, WEIGHT])
    return model


def _turned_weights(seed):
    turn = _spread(8, int(seed))
    block = np.linspace(0.5, 2.0, 8)[:, None] * (WEIGHT @ WEIGHT.T)
    return [WEIGHT.T @ turn, np.ones(8), turn.T @ block @ turn, turn.T @ WEIGHT]


def _folding(ratio=0.5):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.Dense(3, use_bias=False, name="dense"),
        ]
    )
    model.get_layer("dense").kernel.assign(WEIGHT)
    solver = kc.post_training.AWQ(ratio=ratio)
    x = INPUTS.astype("float32")
    return {"quantized": kc.post_training.quantize(model, x, solver=solver, bits=BITS)}


def _norm_and_kernel(folded):
    return [folded.model.get_layer("norm").gamma, *folded.matrices.values()]


def _folded_parts(quantized):
    (matrix,) = quantized.matrices.values()
    gain = 1.0 / np.asarray(matrix.input_scale, "float64")
    return [gain, {"codes": matrix.codes, "shape": list(matrix.shape), "channel_axes": [1]}]


_IDS = np.array([[1, 1, 2, 3], [0, 2, 2, 2]])


def _id_model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Embedding(4, 2)])


def _rare(data, minimum, maximum):
    counts = np.array([[(data == value).sum() for value in row] for row in data])
    low, high = counts.min(axis=1, keepdims=True), counts.max(axis=1, keepdims=True)
    weights = minimum + (high - counts) / (high - low) * (maximum - minimum)
    return weights / weights.mean(axis=1, keepdims=True)


ROWS = [
    _ROW(
        kc.post_training.AWQ,
        inputs=lambda: {"weight": WEIGHT, "x": INPUTS * np.array([9.0, 1, 1, 1, 1, 1, 5, 1])},
        arguments={"num_ratios": 10, "clip": False},
        knob={"num_ratios": 1},
        reference=lambda weight, x: test_awq.reference_awq(weight, x, BITS, 10)[1],
        bad_arguments=(
            _SOLVER,
            ({"ratio": -0.5}, ValueError, "ratio"),
            ({"num_ratios": 0}, ValueError, "num_ratios"),
            ({"clip": "yes"}, TypeError, "clip"),
            ({"objective": "model"}, ValueError, "objective"),
        ),
    ),
    _ROW(
        kc.post_training.Rotated,
        arguments=lambda: {"solver": RoundToNearest(), "seed": 3},
        knob={"seed": 4},
        reference=_rotated,
        bad_arguments=(_SOLVER, _SEED),
    ),
    _ROW(
        kc.post_training.SparseOutliers,
        inputs=lambda: {"weight": HALVES, "x": INPUTS},
        arguments=lambda: {
            "solver": RoundToNearest(),
            "criterion": "magnitude",
            "ratio": 0.2,
            "seed": 1,
        },
        knob={"ratio": 0.5},
        reference=_split,
        bad_arguments=(
            _SOLVER,
            _SEED,
            ({"criterion": "size"}, ValueError, "criterion"),
            ({"ratio": 1.0}, ValueError, "ratio"),
        ),
    ),
    _ROW(
        kc.post_training.CoordinateDescent,
        arguments=lambda: {"solver": RoundToNearest(), "sweeps": 2},
        knob={"damping": 10.0},
        reference=_descended,
        bad_arguments=(
            _SOLVER,
            ({"sweeps": 0}, ValueError, "sweeps"),
            ({"damping": -1.0}, ValueError, "damping"),
            ({"asymmetric": 1}, TypeError, "asymmetric"),
        ),
    ),
    _ROW(
        kc.post_training.LearnedRounding,
        arguments={"steps": 400, "learning_rate": 0.02, "regularization": 20.0},
        knob={"clip": "mse"},
        reference=_best_rounding,
        bad_arguments=(
            ({"steps": 0}, ValueError, "steps"),
            ({"learning_rate": 0.0}, ValueError, "learning_rate"),
            ({"regularization": -1.0}, ValueError, "regularization"),
            ({"clip": "none"}, ValueError, "clip"),
            ({"asymmetric": 1}, TypeError, "asymmetric"),
            ({"activation": "relu"}, TypeError, "activation"),
        ),
    ),
    _ROW(
        kc.post_training.PowerSearch,
        arguments={"highest": 1.1},
        knob={"shared": False},
        reference=_power,
        bad_arguments=(
            ({"shared": 1}, TypeError, "shared"),
            ({"objective": "loss"}, ValueError, "objective"),
            ({"lowest": 0.0}, ValueError, "lowest"),
            ({"highest": 0.1}, ValueError, "highest"),
        ),
    ),
    _ROW(
        kc.post_training.Codebook,
        arguments={"iterations": 2},
        outcome=_clustered_at_two_bits,
        knob={"groups": 1},
        reference=_clustered,
        bad_arguments=(
            ({"groups": 0}, ValueError, "groups"),
            ({"mapping": "random"}, ValueError, "mapping"),
            ({"iterations": 0}, ValueError, "iterations"),
            ({"rounds": 0}, ValueError, "rounds"),
            ({"per_group": "table"}, ValueError, "per_group"),
        ),
    ),
    _ROW(
        kc.post_training.LearnedPower,
        arguments={
            "steps": 30,
            "learning_rate": 0.02,
            "exponent_rate": 0.01,
            "regularization": 50.0,
        },
        knob={"shared": False},
        reference=_learned_power,
        bad_arguments=(
            ({"steps": 0}, ValueError, "steps"),
            ({"learning_rate": 0.0}, ValueError, "learning_rate"),
            ({"exponent_rate": -1.0}, ValueError, "exponent_rate"),
            ({"regularization": -1.0}, ValueError, "regularization"),
            ({"shared": 1}, TypeError, "shared"),
        ),
    ),
    Row(
        kc.post_training.reorder_outputs,
        "function",
        inputs=_clustered_model,
        outcome=_kernels_and_map,
        knob=lambda: _clustered_model(3),
        reference=_sorted_kernels,
        bad_arguments=(({"quantized": "model"}, TypeError, "quantized"),),
    ),
    Row(
        kc.post_training.hadamard_matrix,
        "function",
        arguments={"n": 8},
        knob={"n": 12},
        reference=_signs_of_bits,
        bad_arguments=(
            ({"n": 0}, ValueError, "n"),
            ({"n": 10}, ValueError, "n"),
            ({"n": 4.0}, TypeError, "n"),
        ),
    ),
    Row(
        kc.post_training.random_rotation,
        "function",
        arguments={"n": 8, "seed": 1},
        knob={"seed": 2},
        reference=_spread,
        bad_arguments=(({"n": 0}, ValueError, "n"), _SEED, ({"n": 4.0}, TypeError, "n")),
    ),
    Row(
        kc.post_training.rotate_pair,
        "function",
        inputs=_pair,
        arguments={"seed": 1},
        outcome=_kernels,
        knob={"size": 4},
        reference=_rotated_kernels,
        mutates=True,
        bad_arguments=(
            ({"first": "dense"}, TypeError, "first"),
            ({"second": "dense"}, TypeError, "second"),
            ({"size": 3}, ValueError, "size"),
            _SEED,
        ),
    ),
    Row(
        kc.post_training.rotate_residual_stream,
        "function",
        inputs=lambda: {"model": _residual_model()},
        arguments={"seed": 1},
        knob={"seed": 2},
        reference=_turned_weights,
        bad_arguments=(({"model": "model"}, TypeError, "model"), _SEED),
    ),
    Row(
        kc.post_training.fold_input_scales,
        "function",
        inputs=_folding,
        outcome=_norm_and_kernel,
        knob=lambda: _folding(0.9),
        reference=_folded_parts,
        bad_arguments=(({"quantized": "model"}, TypeError, "quantized"),),
    ),
    Row(
        kc.post_training.token_importance,
        "function",
        inputs=lambda: {"model": _id_model(), "data": _IDS},
        arguments={"strategy": "frequency", "minimum": 0.25, "maximum": 2.0, "batch_size": 1},
        knob={"minimum": 1.0},
        reference=_rare,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"strategy": "loud"}, ValueError, "strategy"),
            ({"minimum": 0.0}, ValueError, "minimum"),
            ({"minimum": 3.0}, ValueError, "minimum"),
            ({"maximum": -1.0}, ValueError, "maximum"),
            ({"layer": "missing"}, ValueError, "layer"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
]
