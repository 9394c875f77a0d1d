"""Long-tailed classes: weights and losses from class frequencies."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import labels, logits, losses

_COUNTS = [50, 20, 4]
_BAD_COUNTS = (
    ({"class_counts": [3, 0, 1]}, ValueError, "class_counts"),
    ({"class_counts": 3}, TypeError, "class_counts"),
)
_OTHER_CLASSES = ({"class_counts": [3, 1]}, ValueError, "class_counts")
_BY_CLASS = {"kind": "weighting", "signal": "y_true", "gradient_of": ""}
_BAD_NORMALIZATION = ({"normalization": "sum_one"}, ValueError, "normalization")
_PER_SAMPLE = ("nonnegative", "permutation_equivariant")


def _probabilities():
    scores = np.exp(logits())
    scores = (scores / scores.sum(-1, keepdims=True)).astype("float32")
    return {"losses": losses(), "y_true": labels(), "y_pred": scores}


ROWS = [
    Row(
        kr.data.class_counts,
        "function",
        inputs=lambda: {"y": np.array([0, 2, 2, 1, 2, 0, 2])},
        arguments={"num_classes": 4, "minimum": 1},
        knob={"minimum": 2},
        reference="tests.reweight.data.test_class_counts:reference",
        bad_arguments=(
            ({"y": np.array([0, 4])}, ValueError, "num_classes"),
            ({"y": np.array([0, -2])}, ValueError, "y"),
            ({"y": {"a": 1}}, TypeError, "y"),
            ({"num_classes": 0}, ValueError, "num_classes"),
            ({"minimum": -1}, ValueError, "minimum"),
            ({"ignore_class": 0.5}, TypeError, "ignore_class"),
            ({"verbose": 2}, ValueError, "verbose"),
        ),
    ),
    Row(
        kr.functional.class_weights,
        "function",
        inputs=lambda: {"class_counts": _COUNTS},
        arguments={"method": "class_balanced", "beta": 0.9},
        knob={"beta": 0.99},
        reference="tests.reweight.functional.test_class_weights:reference",
        bad_arguments=(
            *_BAD_COUNTS,
            ({"method": "guess"}, ValueError, "method"),
            ({"power": -1.0}, ValueError, "power"),
            ({"beta": 1.0}, ValueError, "beta"),
        ),
    ),
    Row(
        kr.functional.class_weights,
        "function",
        name="class_weights_inverse_frequency",
        inputs=lambda: {"class_counts": _COUNTS},
        arguments={"method": "inverse_frequency", "power": 0.5},
        knob={"method": "log_frequency"},
        reference="tests.reweight.functional.test_class_weights:reference",
        bad_arguments=_BAD_COUNTS,
    ),
    Row(
        kr.weightings.ClassBalanced,
        arguments={"class_counts": _COUNTS, "beta": 0.9, "normalization": "mean_one"},
        knob={"beta": 0.5},
        invariants=("mean_one",),
        reference="tests.reweight.weightings.test_class_balanced:reference",
        bad_arguments=(*_BAD_COUNTS, _BAD_NORMALIZATION, ({"beta": 1.0}, ValueError, "beta")),
        **_BY_CLASS,
    ),
    Row(
        kr.weightings.InverseFrequency,
        arguments={"class_counts": _COUNTS, "power": 0.5},
        knob={"power": 1.0},
        reference="tests.reweight.weightings.test_inverse_frequency:reference",
        bad_arguments=(*_BAD_COUNTS, _BAD_NORMALIZATION, ({"power": -1.0}, ValueError, "power")),
        **_BY_CLASS,
    ),
    Row(
        kr.weightings.LogFrequency,
        arguments={"class_counts": _COUNTS},
        knob={"normalization": None},
        invariants=("mean_one",),
        reference="tests.reweight.weightings.test_log_frequency:reference",
        bad_arguments=(*_BAD_COUNTS, _BAD_NORMALIZATION),
        **_BY_CLASS,
    ),
    Row(
        kr.weightings.Focal,
        "weighting",
        arguments={"gamma": 1.5, "from_logits": True, "stop_gradient": False},
        knob={"gamma": 0.5},
        schedulable=("gamma",),
        signal="y_pred",
        gradient_of="y_pred",
        reference="tests.reweight.weightings.test_focal:reference",
        bad_arguments=(
            ({"gamma": -1.0}, ValueError, "gamma"),
            ({"probability": "entropy"}, ValueError, "probability"),
            _BAD_NORMALIZATION,
        ),
    ),
    Row(
        kr.weightings.Focal,
        "weighting",
        name="Focal_of_probabilities",
        inputs=_probabilities,
        arguments={"gamma": 1.5, "normalization": "mean_one"},
        knob={"gamma": 0.5},
        signal="y_pred",
        gradient_of="y_pred",
        invariants=("mean_one",),
        reference="tests.reweight.weightings.test_focal:reference",
        bad_arguments=(({"from_logits": "yes"}, TypeError, "from_logits"),),
    ),
    Row(
        kr.weightings.Focal,
        "weighting",
        name="Focal_of_losses",
        arguments={"gamma": 1.5, "probability": "loss", "stop_gradient": False},
        knob={"gamma": 0.5},
        reference="tests.reweight.weightings.test_focal:reference",
        bad_arguments=(({"stop_gradient": 1}, TypeError, "stop_gradient"),),
    ),
    Row(
        kr.losses.BalancedSoftmaxLoss,
        "loss",
        arguments={"class_counts": _COUNTS},
        knob={"class_counts": [10, 20, 4]},
        reference="tests.reweight.losses.test_balanced_softmax:reference",
        invariants=_PER_SAMPLE,
        bad_arguments=(*_BAD_COUNTS, _OTHER_CLASSES),
    ),
    Row(
        kr.losses.LogitAdjustedLoss,
        "loss",
        arguments={"class_counts": _COUNTS, "tau": 1.5, "epsilon": 1e-6},
        knob={"tau": 0.5},
        reference="tests.reweight.losses.test_logit_adjusted:reference",
        invariants=_PER_SAMPLE,
        bad_arguments=(
            *_BAD_COUNTS,
            _OTHER_CLASSES,
            ({"tau": -1.0}, ValueError, "tau"),
            ({"epsilon": -1.0}, ValueError, "epsilon"),
        ),
    ),
    Row(
        kr.losses.LDAMLoss,
        "loss",
        arguments={"class_counts": _COUNTS, "max_margin": 0.4, "scale": 4.0},
        knob={"max_margin": 0.1},
        reference="tests.reweight.losses.test_ldam:reference",
        invariants=_PER_SAMPLE,
        bad_arguments=(
            *_BAD_COUNTS,
            _OTHER_CLASSES,
            ({"max_margin": -1.0}, ValueError, "max_margin"),
            ({"scale": 0.0}, ValueError, "scale"),
        ),
    ),
    Row(
        kr.losses.EqualizationLoss,
        "loss",
        arguments={"class_counts": _COUNTS, "threshold": 0.1},
        knob={"threshold": 0.5},
        reference="tests.reweight.losses.test_equalization:reference",
        invariants=_PER_SAMPLE,
        bad_arguments=(
            *_BAD_COUNTS,
            _OTHER_CLASSES,
            ({"threshold": 1.5}, ValueError, "threshold"),
        ),
    ),
    Row(
        kr.losses.SoftmaxEqualizationLoss,
        "loss",
        arguments={
            "class_counts": _COUNTS,
            "threshold": 0.3,
            "drop_probability": 0.5,
            "seed": 3,
        },
        knob={"drop_probability": 0.9},
        reference="tests.reweight.losses.test_softmax_equalization:reference",
        invariants=_PER_SAMPLE,
        bad_arguments=(
            *_BAD_COUNTS,
            _OTHER_CLASSES,
            ({"threshold": -0.5}, ValueError, "threshold"),
            ({"drop_probability": 1.5}, ValueError, "drop_probability"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.losses.LADELoss,
        "loss",
        arguments={"class_counts": _COUNTS, "weight": 0.5, "regularization": 0.2},
        knob={"cross_entropy": False},
        reference="tests.reweight.losses.test_lade:reference",
        invariants=("permutation_invariant",),
        bad_arguments=(
            *_BAD_COUNTS,
            _OTHER_CLASSES,
            ({"weight": -1.0}, ValueError, "weight"),
            ({"weight": 0.0, "cross_entropy": False}, ValueError, "cross_entropy"),
            ({"regularization": -1.0}, ValueError, "regularization"),
        ),
    ),
    Row(
        kr.losses.SeesawLoss,
        "loss",
        arguments={
            "class_counts": _COUNTS,
            "num_classes": 3,
            "mitigation": 0.5,
            "compensation": 1.0,
            "epsilon": 0.05,
        },
        knob={"compensation": 3.0},
        reference="tests.reweight.losses.test_seesaw:reference",
        reference_gradient="tests.reweight.losses.test_seesaw:reference_gradient",
        invariants=_PER_SAMPLE,
        bad_arguments=(
            *_BAD_COUNTS,
            ({"num_classes": 4}, ValueError, "num_classes"),
            ({"mitigation": -1.0}, ValueError, "mitigation"),
            ({"epsilon": 0.0}, ValueError, "epsilon"),
        ),
    ),
    Row(
        kr.layers.LogitAdjustment,
        "layer",
        inputs=lambda: {"inputs": logits()},
        arguments={"class_counts": _COUNTS, "tau": 1.5, "epsilon": 1e-6},
        knob={"tau": 0.5},
        reference="tests.reweight.layers.test_logit_adjustment:reference",
        bad_arguments=(
            *_BAD_COUNTS,
            _OTHER_CLASSES,
            ({"tau": -1.0}, ValueError, "tau"),
            ({"epsilon": -1.0}, ValueError, "epsilon"),
            ({"from_logits": "no"}, TypeError, "from_logits"),
        ),
    ),
    Row(
        kr.layers.NormedDense,
        "layer",
        arguments={"units": 3, "scale": 4.0},
        knob={"scale": 2.0},
        reference="tests.reweight.layers.test_normed_dense:reference",
        bad_arguments=(
            ({"units": 0}, ValueError, "units"),
            ({"scale": 0.0}, ValueError, "scale"),
            ({"kernel_initializer": "nothing"}, ValueError, "kernel_initializer"),
        ),
    ),
    Row(
        kr.callbacks.DeferredReweighting,
        "callback",
        arguments=lambda: {"weighting": kr.weightings.ClassBalanced(_COUNTS), "start": 0.5},
        knob={"start": 0},
        bad_arguments=(
            ({"weighting": "class_balanced"}, TypeError, "weighting"),
            ({"weighting": [3, 0, 1]}, ValueError, "weighting"),
            ({"start": -1}, ValueError, "start"),
            ({"start": 1.5}, ValueError, "start"),
            ({"start": "late"}, TypeError, "start"),
            ({"granularity": "word"}, ValueError, "granularity"),
            ({"token_weighted": 1}, TypeError, "token_weighted"),
        ),
    ),
]
