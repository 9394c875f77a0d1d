"""Looking at compressed models: size, similarity, connectivity, collapse."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional
from tests.core import test_js_divergence, test_linear_cka

_RNG = np.random.default_rng(7)
_FEATURES = _RNG.normal(size=(12, 3)), _RNG.normal(size=(12, 4))
_SCORES = _RNG.normal(size=(2, 6, 4))
_X, _Y = _RNG.normal(size=(12, 4)).astype("float32"), np.arange(12) % 3
_LAYERS = ({"layers": "missing"}, ValueError, "layers")
_FINAL = np.array([0.5, 0.2, 0.9, 0.4, 0.8])
_ARRAYS = (
    ({"first": "scores"}, TypeError, "first"),
    ({"second": np.ones(3)}, ValueError, "second"),
)


def _pruned():
    model = functional()
    kernel = keras.ops.convert_to_numpy(model.layers[1].kernel).copy()
    kernel[:, 1:] = 0.0
    model.layers[1].kernel.assign(kernel)
    return model


def _collapsed():
    model = _pruned()
    model.layers[2].kernel.assign(np.zeros((5, 3)))
    return model


def _other():
    model = functional()
    for variable in model.weights:
        variable.assign(0.5 * keras.ops.convert_to_numpy(variable)[::-1])
    return model


def _logits(weights):
    kernel, bias, last, last_bias = (np.asarray(weight, "float64") for weight in weights)
    return np.tanh(_X @ kernel + bias) @ last + last_bias


def _path_losses(points):
    ends = [
        [keras.ops.convert_to_numpy(v) for v in make().weights] for make in (functional, _other)
    ]
    values = []
    for t in np.linspace(0.0, 1.0, points):
        logits = _logits([(1 - t) * a + t * b for a, b in zip(*ends, strict=True)])
        values.append(np.mean((logits - np.eye(3)[_Y]) ** 2))
    return {"positions": np.linspace(0.0, 1.0, points), "values": np.array(values)}


def _hidden(model):
    kernel, bias = (keras.ops.convert_to_numpy(v) for v in model.weights[:2])
    return np.tanh(_X.astype("float64") @ kernel + bias)


def _tau(x, y):
    """All pairs, one by one."""
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs]
    return np.sum(signs) / len(pairs)


def _exact_p(x, y):
    """Of all orders of five, those whose |tau| is as large."""
    import itertools

    taus = [abs(_tau(x, order)) for order in itertools.permutations(np.arange(len(x)))]
    return np.mean(np.array(taus) >= abs(_tau(x, y)) - 1e-12)


def _oracle_numbers():
    before = np.arange(5.0)
    return {
        "pruned": before,
        "final": _FINAL,
        "tau": _tau(before, _FINAL),
        "p_value": _exact_p(before, _FINAL),
        "anomaly_ratio": np.mean(_FINAL < _FINAL[0]),
    }


def _report_numbers():
    # Kernels 4 x 5 with 4 weights left and 5 x 3, biases of zero width aside.
    weights = [keras.ops.convert_to_numpy(v) for v in _pruned().weights]
    return {
        "num_parameters": 43,
        "num_nonzero": sum(int(np.count_nonzero(weight)) for weight in weights),
        "num_bytes": 4 * 43,
        "macs": 20 + 15,
        "effective_macs": 4 + 15,
        "sparsity": [0.8, 0.0],
    }


def _numbers(report):
    names = ("num_parameters", "num_nonzero", "num_bytes", "macs", "effective_macs")
    found = {name: getattr(report, name) for name in names}
    return {**found, "sparsity": [row.sparsity for row in report.layers]}


def _hidden_index(p, q):
    """The index of the four weights that are left, once as the mean and once of the layer."""
    sizes = np.abs(keras.ops.convert_to_numpy(_pruned().weights[0])[:, 0].astype("float64"))
    return [1.0 - np.mean(sizes**p) ** (1 / p) / np.mean(sizes**q) ** (1 / q)] * 2


ROWS = [
    Row(
        kc.analysis.compression_report,
        "function",
        inputs=lambda: {"model": _pruned(), "baseline": functional()},
        arguments={"batch_size": 4},
        knob=lambda: {"model": functional()},
        outcome=_numbers,
        reference=_report_numbers,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"baseline": "model"}, TypeError, "baseline"),
            ({"data": "data"}, TypeError, "data"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(kc.analysis.CompressionReport, "record"),
    Row(
        kc.analysis.plot_sparsity,
        "function",
        inputs=lambda: {"report": {"first": 0.5, "second": 0.9}},
        outcome=lambda ax: [bar.get_height() for bar in ax.patches],
        reference=lambda: [0.5, 0.9],
        knob={"report": {"first": 0.1, "second": 0.9}},
        bad_arguments=(
            ({"report": {"first": 1.5}}, ValueError, "report"),
            ({"report": 0.5}, TypeError, "report"),
            ({"ax": 3}, TypeError, "ax"),
        ),
    ),
    Row(
        kc.analysis.linear_cka,
        "function",
        inputs=lambda: dict(zip("xy", _FEATURES, strict=True)),
        reference=test_linear_cka.reference,
        knob={"y": _FEATURES[1][::-1]},
        bad_arguments=(
            ({"x": np.ones((1, 2))}, ValueError, "x"),
            ({"y": np.ones((3, 2))}, ValueError, "y"),
        ),
    ),
    Row(
        kc.analysis.feature_cka,
        "function",
        inputs=lambda: {"model1": functional(), "model2": _other(), "data": _X},
        arguments={"layers": ["hidden"], "batch_size": 5},
        knob=lambda: {"model2": functional()},
        reference=lambda: {
            "hidden": test_linear_cka.reference(_hidden(functional()), _hidden(_other()))
        },
        bad_arguments=(
            _LAYERS,
            ({"model1": "model"}, TypeError, "model"),
            ({"data": "data"}, TypeError, "data"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kc.analysis.linear_mode_connectivity,
        "function",
        inputs=lambda: {
            "model1": functional(),
            "model2": _other(),
            "data": (_X, np.eye(3, dtype="float32")[_Y]),
        },
        arguments={"points": 4, "loss": keras.losses.MeanSquaredError(), "batch_size": 5},
        knob={"points": 3},
        reference=_path_losses,
        bad_arguments=(
            ({"points": 1}, ValueError, "points"),
            ({"points": 2.0}, TypeError, "points"),
            ({"loss": "no such loss"}, ValueError, "loss"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(kc.analysis.ModeConnectivity, "record"),
    Row(
        kc.analysis.prediction_agreement,
        "function",
        inputs=lambda: dict(zip(("first", "second"), _SCORES, strict=True)),
        reference=lambda first, second: np.mean(first.argmax(-1) == second.argmax(-1)),
        knob={"second": _SCORES[0]},
        bad_arguments=_ARRAYS,
    ),
    Row(
        kc.analysis.js_divergence,
        "function",
        inputs=lambda: dict(zip(("first", "second"), _SCORES, strict=True)),
        arguments={"from_logits": True},
        reference=lambda first, second: test_js_divergence.reference(
            *map(test_js_divergence.softmax, (first, second))
        ),
        knob={"second": _SCORES[0] + [0.0, 0.1, 0.0, 0.0]},
        bad_arguments=(*_ARRAYS, ({"from_logits": False}, ValueError, "first")),
    ),
    Row(
        kc.analysis.kendall_tau,
        "function",
        inputs=lambda: {"x": np.arange(5.0), "y": _FINAL},
        reference=lambda x, y: (_tau(x, y), _exact_p(x, y)),
        knob={"y": _FINAL[::-1]},
        bad_arguments=(
            ({"x": np.ones((2, 2))}, ValueError, "x"),
            ({"y": np.ones(3)}, ValueError, "y"),
        ),
    ),
    Row(
        kc.analysis.pruning_oracle_report,
        "function",
        inputs=lambda: {
            "prune": lambda number: (number, float(number)),
            "retrain": lambda candidate: _FINAL[candidate],
        },
        arguments={"n": 5, "repeats": 2, "higher_is_better": False},
        knob={"higher_is_better": True},
        reference=_oracle_numbers,
        bad_arguments=(
            ({"prune": 3}, TypeError, "prune"),
            ({"retrain": "fit"}, TypeError, "retrain"),
            ({"n": 1}, ValueError, "n"),
            ({"repeats": 0}, ValueError, "repeats"),
        ),
    ),
    Row(kc.analysis.OracleReport, "record"),
    Row(
        kc.pruning.collapsed_layers,
        "function",
        inputs=lambda: {"model": _collapsed()},
        arguments={"min_share": 0.25, "trace": True},
        knob={"min_share": 0.0},
        outcome=lambda found: [int(why.split()[0]) for why in found.values() if "left" in why],
        reference=lambda: [4, 0],
        bad_arguments=(
            _LAYERS,
            ({"model": "model"}, TypeError, "model"),
            ({"min_share": 1.0}, ValueError, "min_share"),
            ({"trace": "yes"}, TypeError, "trace"),
        ),
    ),
    Row(kc.pruning.LayerCollapseWarning, "record"),
    Row(
        kc.callbacks.PQIndexMonitor,
        "object",
        arguments={"p": 0.4, "q": 1.2, "scope": "layer", "layers": "hidden", "name": "pq"},
        inputs=lambda: {"model": _pruned()},
        outcome=lambda monitor, model: list(monitor.measure(model).values()),
        reference=_hidden_index,
        knob={"p": 0.5},
        accepts_any=("name",),
        bad_arguments=(
            _LAYERS,
            ({"p": 2.0}, ValueError, "q"),
            ({"q": "one"}, TypeError, "q"),
            ({"scope": "word"}, ValueError, "scope"),
        ),
    ),
]
