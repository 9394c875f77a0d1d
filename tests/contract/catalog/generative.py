"""Preferences, segmentation, learned loss weights and variational autoencoders."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, Task, tasks
from tests.reweight.functional.test_relevance_scores import LATENT, VARIANCE, decode


def _pairs():
    rng = np.random.default_rng(5)
    targets = rng.uniform(-20.0, -5.0, (12, 3))
    targets[:, 2] = rng.integers(1, 9, 12)
    y_pred = rng.uniform(-20.0, -5.0, (12, 2))
    return {"y_true": targets.astype("float32"), "y_pred": y_pred.astype("float32")}


def _counts():
    rng = np.random.default_rng(6)
    counts = rng.integers(0, 4, (12, 5)).astype("float32")
    return {"y_true": counts, "y_pred": rng.normal(size=(12, 5)).astype("float32")}


def _volumes():
    rng = np.random.default_rng(7)
    shape = (4, 2, 3, 4, 1)
    labels = (rng.random(shape) > 0.7).astype("float32")
    return {"y_true": labels, "y_pred": rng.normal(size=shape).astype("float32")}


def _regression():
    rng = np.random.default_rng(8)
    return {name: rng.normal(size=(12, 3)).astype("float32") for name in ("y_true", "y_pred")}


def _parameters():
    return {"inputs": np.random.default_rng(9).normal(size=(6, 8)).astype("float32")}


def _with_layer(layer):
    """The hidden units of the task become mean and log-variance of two latent axes."""
    return Task(
        middle=lambda: [keras.layers.Dense(4, name="encoded"), layer(0.5, seed=4)], draws=True
    )


def _with_kl():
    return _with_layer(kr.layers.KLRegularizer)


def _with_prior():
    return _with_layer(kr.layers.ARDPrior)


_DPO_BAD = (
    ({"beta": 0.0}, ValueError, "beta"),
    ({"beta": "x"}, TypeError, "beta"),
    ({"label_smoothing": 0.5}, ValueError, "label_smoothing"),
)
_SAMPLING = {
    "kind": "layer",
    "inputs": _parameters,
    "reference": "tests.reweight.layers.test_gaussian_sampling:reference",
}
_KL_BAD = (
    ({"initial_weight": -1.0}, ValueError, "initial_weight"),
    ({"initial_weight": "x"}, TypeError, "initial_weight"),
    ({"seed": 0.5}, TypeError, "seed"),
)
_AUTO_BAD = (
    ({"learning_rate": 0.0}, ValueError, "learning_rate"),
    ({"initial_variance": -1.0}, ValueError, "initial_variance"),
    ({"learning_rate": "x"}, TypeError, "learning_rate"),
)

ROWS = [
    Row(
        kr.losses.DPOLoss,
        "loss",
        arguments={"beta": 0.3, "label_smoothing": 0.1},
        knob={"beta": 0.1},
        inputs=_pairs,
        reference="tests.reweight.losses.test_dpo:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=_DPO_BAD,
    ),
    Row(
        kr.losses.RPOLoss,
        "loss",
        arguments={"beta": 0.3, "eta": 0.4, "sft": "average", "label_smoothing": 0.1},
        knob={"sft": "cumulative"},
        inputs=_pairs,
        reference="tests.reweight.losses.test_rpo:reference",
        invariants=("permutation_equivariant",),
        bad_arguments=(
            *_DPO_BAD,
            ({"eta": -1.0}, ValueError, "eta"),
            ({"sft": "total"}, ValueError, "sft"),
        ),
    ),
    Row(
        kr.losses.StableMaxCrossentropy,
        "loss",
        arguments={"label_smoothing": 0.1},
        knob={"label_smoothing": 0.0},
        reference="tests.reweight.losses.test_stable_max_crossentropy:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"label_smoothing": 1.0}, ValueError, "label_smoothing"),
            ({"label_smoothing": "x"}, TypeError, "label_smoothing"),
        ),
    ),
    Row(
        kr.losses.MultinomialNLL,
        "loss",
        arguments={"normalize": True},
        knob={"normalize": False},
        inputs=_counts,
        reference="tests.reweight.losses.test_multinomial_nll:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(({"normalize": "yes"}, TypeError, "normalize"),),
    ),
    Row(
        kr.losses.FocalTverskyLoss,
        "loss",
        arguments={"alpha": 0.6, "gamma": 0.5, "smooth": 0.5, "from_logits": True},
        knob={"alpha": 0.2},
        inputs=_volumes,
        reference="tests.reweight.losses.test_focal_tversky:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"alpha": 1.5}, ValueError, "alpha"),
            ({"gamma": 0.0}, ValueError, "gamma"),
            ({"smooth": 0.0}, ValueError, "smooth"),
            ({"from_logits": "yes"}, TypeError, "from_logits"),
        ),
    ),
    Row(
        kr.losses.MIPLoss,
        "loss",
        arguments={
            "axes": [1, 2, -2],
            "volume_weight": 0.6,
            "mip_weight": 0.5,
            "from_logits": True,
        },
        knob={"axes": [1]},
        inputs=_volumes,
        reference="tests.reweight.losses.test_mip:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"base_loss": 3}, TypeError, "base_loss"),
            ({"axes": []}, ValueError, "axes"),
            ({"axes": [0]}, ValueError, "axes"),
            ({"axes": 2}, TypeError, "axes"),
            ({"volume_weight": -1.0}, ValueError, "volume_weight"),
            ({"mip_weight": -1.0}, ValueError, "mip_weight"),
        ),
    ),
    Row(
        kr.losses.AutoWeightedLoss,
        "loss",
        arguments=lambda: {
            "losses": ["mse", keras.losses.MeanAbsoluteError()],
            "learning_rate": 0.2,
            "initial_variance": 2.0,
        },
        knob={"initial_variance": 0.5},
        inputs=_regression,
        reference="tests.reweight.losses.test_auto_weighted:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"losses": []}, ValueError, "losses"),
            ({"losses": "mse"}, TypeError, "losses"),
            *_AUTO_BAD,
        ),
    ),
    Row(
        kr.callbacks.AutoWeightedLosses,
        "callback",
        arguments={"learning_rate": 0.2, "initial_variance": 2.0},
        knob={"learning_rate": 1.0},
        bad_arguments=_AUTO_BAD,
    ),
    Row(
        kr.layers.GaussianSampling,
        bad_arguments=(({"seed": 0.5}, TypeError, "seed"),),
        **_SAMPLING,
    ),
    Row(kr.layers.KLRegularizer, bad_arguments=_KL_BAD, **_SAMPLING),
    Row(kr.layers.ARDPrior, bad_arguments=_KL_BAD, **_SAMPLING),
    Row(
        kr.callbacks.KLAnnealing,
        "callback",
        arguments={"total_steps": 8, "maximum": 0.5, "kind": "sigmoid", "layers": None},
        knob={"kind": "linear"},
        inputs=_with_kl,
        bad_arguments=(
            ({"total_steps": -1}, ValueError, "total_steps"),
            ({"maximum": -1.0}, ValueError, "maximum"),
            ({"kind": "cosine"}, ValueError, "kind"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
    Row(
        kr.callbacks.ARDPriorUpdate,
        "callback",
        arguments=lambda: {
            "x": tasks.features(),
            "num_samples": 6,
            "batch_size": 4,
            "seed": 2,
        },
        knob={"num_samples": 12},
        inputs=_with_prior,
        bad_arguments=(
            ({"x": np.zeros((0, 4))}, ValueError, "x"),
            ({"num_samples": 0}, ValueError, "num_samples"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.functional.relevance_scores,
        "function",
        arguments={"step": 0.5},
        knob={"step": 0.1},
        inputs=lambda: {"decoder": decode, "latent": LATENT, "prior_variance": VARIANCE},
        reference="tests.reweight.functional.test_relevance_scores:reference",
        invariants=("nonnegative",),
        bad_arguments=(
            ({"decoder": 3}, TypeError, "decoder"),
            ({"latent": np.zeros((3,))}, ValueError, "latent"),
            ({"prior_variance": np.ones((2,))}, ValueError, "prior_variance"),
            ({"step": 0.0}, ValueError, "step"),
        ),
    ),
]
