"""Weight space: patches, signatures, snapshots and what puts them on a model."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, tasks
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import (
    models,
    test_reestimate_batch_norm,
    test_transfer,
    test_weight_digest,
)
from tests.reweight.signatures.test_signature_patcher import make, reference_patched

_NO_MODEL = (({"model": "model"}, TypeError, "model"),)


def _patch(scale=0.1):
    return make(models.dense(), "shift", scale=scale)


def _deltas():
    rng = np.random.default_rng(0)
    shapes = [tuple(variable.shape) for variable in models.dense().weights[:2]]
    return [rng.normal(scale=0.1, size=shape) for shape in shapes]


def _patch_arguments(kind):
    patch = _patch()
    return {
        "architecture": patch.architecture,
        "entries": patch._entries,
        "name": "shift",
        "kind": kind,
        "coefficient": 0.5,
    }


_PATCH = {
    "kind": "object",
    "outcome": lambda patch: [patch.delta(index) for index in patch.indices],
    "knob": {"coefficient": 2.0},
    "reference": lambda coefficient: [coefficient * delta for delta in _deltas()],
    "accepts_any": ("name", "kind"),
    "bad_arguments": (
        ({"entries": {}}, ValueError, "entries"),
        ({"coefficient": float("inf")}, ValueError, "coefficient"),
        ({"name": ""}, ValueError, "name"),
        ({"name": 3}, TypeError, "name"),
    ),
}


def _weights_inside(context):
    with context as model:
        return [np.array(array) for array in read_weights(model).values()]


def _patched_reference(model, alpha):
    expected = reference_patched(read_weights(model), {"shift": (_patch(), alpha)})
    return list(expected.values())


def _patcher_reference():
    expected = reference_patched(read_weights(models.dense()), {"shift": (_patch(), 0.5)})
    return None, list(expected.values())


def _callback_patch():
    keras.utils.set_random_seed(0)
    model = tasks.functional()
    delta = np.ones(model.weights[0].shape)
    return kr.Patch.from_deltas(model, [(model.weights[0], delta)], name="shift")


def _statistics_deltas(model, data, batch_size):
    found = []
    names = ("early_norm", "late_norm")
    moments = test_reestimate_batch_norm.reference_statistics(model, data, batch_size)
    for name, pair in zip(names, moments, strict=True):
        layer = model.get_layer(name)
        before = [layer.moving_mean, layer.moving_variance]
        found += [new - np.asarray(old) for new, old in zip(pair, before, strict=True)]
    return found


def _statistics_of(patch, model):
    owned = [model.get_layer(name) for name in ("early_norm", "late_norm")]
    variables = [v for layer in owned for v in (layer.moving_mean, layer.moving_variance)]
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    return [patch.delta(position[id(variable)]) for variable in variables]


def _robust(*seeds):
    return [kr.WeightSnapshot(models.functional(seed)) for seed in seeds]


def _average_deltas(model, robust):
    expected = []
    for index, variable in enumerate(model.weights):
        if "moving" in variable.path:
            arrays = [snapshot.arrays[index].astype("float64") for snapshot in robust]
            expected.append(sum(arrays) / len(arrays) - np.asarray(variable))
    return expected


ROWS = [
    Row(kr.Patch, arguments=lambda: _patch_arguments("edit"), **_PATCH),
    Row(kr.WeightSignature, arguments=lambda: _patch_arguments("rws"), **_PATCH),
    Row(
        kr.WeightSnapshot,
        "object",
        arguments=lambda: {"model": models.dense()},
        outcome=lambda snapshot: snapshot.arrays,
        knob=lambda: {"model": models.dense(seed=1)},
        reference=lambda model: tuple(read_weights(model).values()),
        bad_arguments=_NO_MODEL,
    ),
    Row(
        kr.SignaturePatcher,
        "object",
        arguments=lambda: {"model": models.dense()},
        outcome=lambda patcher: (
            patcher.apply(_patch(), alpha=0.5),
            list(read_weights(patcher.model).values()),
        ),
        knob=lambda: {"model": models.dense(seed=1)},
        reference=_patcher_reference,
        bad_arguments=_NO_MODEL,
    ),
    Row(
        kr.patched,
        "function",
        inputs=lambda: {"model": models.dense(), "signatures": _patch()},
        arguments={"alpha": 0.5},
        outcome=_weights_inside,
        knob={"alpha": 2.0},
        reference=_patched_reference,
        bad_arguments=(
            *_NO_MODEL,
            ({"signatures": {}}, ValueError, "signatures"),
            ({"alpha": float("nan")}, ValueError, "alpha"),
            ({"alpha": {"missing": 1.0}}, ValueError, "alpha"),
        ),
    ),
    Row(
        kr.signatures.EvaluatePatched,
        "callback",
        arguments=lambda: {
            "signatures": _callback_patch(),
            "x": tasks.features(),
            "y": tasks.labels(),
            "alpha": 0.5,
            "batch_size": 4,
        },
        knob=None,
        bad_arguments=(
            ({"signatures": {}}, ValueError, "signatures"),
            ({"alpha": "strong"}, TypeError, "alpha"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kr.shallow,
        "function",
        inputs=lambda: {"model": models.dense()},
        arguments={"num_layers": 1, "head": False},
        outcome=lambda chosen, model: [model.layers.index(y) for y in chosen.resolve(model)],
        knob={"num_layers": 2},
        reference=lambda num_layers: list(range(num_layers)),
        bad_arguments=(
            ({"num_layers": 0}, ValueError, "num_layers"),
            ({"head": "yes"}, ValueError, "head"),
        ),
    ),
    Row(
        kr.signatures.transfer,
        "function",
        inputs=lambda: {"patch": _patch(), "model": test_transfer.other_head()},
        outcome=lambda patch: [
            patch.delta(f"backbone/first/{name}") for name in ("kernel", "bias")
        ],
        knob=lambda: {"patch": _patch(scale=0.2)},
        reference=lambda: _deltas(),
        bad_arguments=(
            *_NO_MODEL,
            ({"patch": "patch"}, TypeError, "patch"),
        ),
    ),
    Row(
        kr.signatures.average_batch_norm,
        "function",
        inputs=lambda: {"model": models.functional(), "robust": _robust(1, 2)},
        outcome=_statistics_of,
        knob=lambda: {"robust": _robust(1, 3)},
        reference=_average_deltas,
        accepts_any=("name",),
        bad_arguments=(
            *_NO_MODEL,
            ({"robust": []}, ValueError, "robust"),
            ({"robust": "models"}, TypeError, "robust"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
    Row(
        kr.weight_digest,
        "function",
        inputs=lambda: {"model": models.dense()},
        outcome=lambda digest: list(bytes.fromhex(digest)),
        knob=lambda: {"model": models.dense(seed=1)},
        reference=lambda model: list(
            bytes.fromhex(
                test_weight_digest.reference_weight_digest(list(read_weights(model).values()))
            )
        ),
        bad_arguments=_NO_MODEL,
    ),
    Row(
        kr.signatures.reestimate_batch_norm,
        "function",
        inputs=lambda: {"model": models.functional(), "data": models.images(2, 8)},
        arguments={"batch_size": 4},
        outcome=_statistics_of,
        knob={"data": models.images(3, 8)},
        reference=_statistics_deltas,
        accepts_any=("name",),
        bad_arguments=(
            *_NO_MODEL,
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
]
