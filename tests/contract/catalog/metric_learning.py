"""Metric and contrastive learning: pairs, views, prototypes, and what feeds them."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, tasks
from tests.reweight.functional.test_shrink_loss import STRONG, WEAK
from tests.reweight.losses.test_shrink_match import batch as shrink_match_batch
from tests.reweight.metric_learning.pairs import LABELS, batch, embeddings, similarities

_METRIC = "tests.reweight.metric_learning.test_"
_LOSSES = "tests.reweight.losses.test_"


def _called(made, similarity, positives, negatives):
    return made(similarity, positives, negatives)


def _miner(target, module, **row):
    return Row(
        target,
        "object",
        inputs=batch,
        outcome=_called,
        reference=f"{_METRIC}{module}:reference",
        **row,
    )


def _pair_loss(target, module, **row):
    return Row(
        target,
        "loss",
        reference=f"{_LOSSES}{module}:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        **row,
    )


def _views(number):
    rng = np.random.default_rng(4)
    labels = (np.arange(9) % 3).astype("int32")
    y_pred = rng.normal(size=(9, 1, 4)) + 0.7 * rng.normal(size=(9, number, 4))
    return {"y_true": labels, "y_pred": y_pred.astype("float32")}


def _samples():
    return {"x": np.arange(24.0).reshape(12, 2), "y": np.arange(12) % 3}


def _first_batch(dataset):
    """Number of classes, samples of each, and whether the inputs belong to the targets."""
    x, y = dataset[0]
    numbers = np.unique(y, return_counts=True)[1]
    return {"numbers": numbers, "same": (x[:, 0] // 2).astype(int) % 3 == y}


_OBJECTS = [
    Row(kr.metric_learning.PairMiner, "base"),
    Row(kr.metric_learning.PairWeighting, "base"),
    Row(
        kr.metric_learning.AllPairs,
        "object",
        inputs=batch,
        outcome=_called,
        reference=lambda positives, negatives: (positives, negatives),
    ),
    _miner(kr.metric_learning.BatchHardMiner, "batch_hard_miner"),
    _miner(
        kr.metric_learning.MultiSimilarityMiner,
        "multi_similarity_miner",
        arguments={"epsilon": 0.3, "drop_duplicates": True},
        knob={"epsilon": 0.0},
        bad_arguments=(
            ({"epsilon": -0.1}, ValueError, "epsilon"),
            ({"drop_duplicates": 1}, TypeError, "drop_duplicates"),
        ),
    ),
    _miner(
        kr.metric_learning.BinomialDevianceWeighting,
        "binomial_deviance_weighting",
        arguments={"alpha": 3.0, "beta": 8.0, "base": 0.3},
        knob={"beta": 4.0},
        bad_arguments=(
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"beta": -1.0}, ValueError, "beta"),
        ),
    ),
    _miner(
        kr.metric_learning.ContrastiveWeighting,
        "contrastive_weighting",
        arguments={"positive_margin": 0.3, "negative_margin": -0.2},
        knob={"negative_margin": 0.4},
        bad_arguments=(({"positive_margin": "high"}, TypeError, "positive_margin"),),
    ),
    _miner(
        kr.metric_learning.LiftedStructureWeighting,
        "lifted_structure_weighting",
        arguments={"margin": 0.4},
        knob={"margin": -3.1},
        bad_arguments=(({"margin": None}, TypeError, "margin"),),
    ),
    _miner(
        kr.metric_learning.MultiSimilarityWeighting,
        "multi_similarity_weighting",
        arguments={"alpha": 3.0, "beta": 20.0, "base": 0.3},
        knob={"beta": 10.0},
        bad_arguments=(
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"beta": -1.0}, ValueError, "beta"),
        ),
    ),
    _miner(
        kr.metric_learning.NPairWeighting,
        "n_pair_weighting",
        arguments={"temperature": 0.4, "contrast": "all"},
        knob={"contrast": "negatives"},
        bad_arguments=(({"temperature": 0.0}, ValueError, "temperature"),),
    ),
    _miner(
        kr.metric_learning.TripletWeighting,
        "triplet_weighting",
        arguments={"margin": 0.1, "triplets": "semi_hard", "soft": True},
        knob={"triplets": "all"},
        bad_arguments=(
            ({"triplets": "hard"}, ValueError, "triplets"),
            ({"soft": 1}, TypeError, "soft"),
        ),
    ),
]

_LOSS_ROWS = [
    _pair_loss(
        kr.losses.PairLoss,
        "pair_loss",
        arguments=lambda: {
            "weighting": kr.metric_learning.NPairWeighting(0.5),
            "miner": kr.metric_learning.MultiSimilarityMiner(0.3),
            "anchors": "both",
        },
        knob={"similarity": "dot"},
        bad_arguments=(
            ({"weighting": "n_pair"}, TypeError, "weighting"),
            ({"miner": "hard"}, TypeError, "miner"),
            ({"anchors": "all"}, ValueError, "anchors"),
        ),
    ),
    _pair_loss(
        kr.losses.MultiSimilarityLoss,
        "multi_similarity",
        arguments={"alpha": 3.0, "beta": 20.0, "base": 0.4, "epsilon": 0.3},
        knob={"beta": 5.0},
        bad_arguments=(
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"epsilon": -0.1}, ValueError, "epsilon"),
            ({"mining": "yes"}, TypeError, "mining"),
        ),
    ),
    _pair_loss(
        kr.losses.MultiSimilarityLoss,
        "multi_similarity",
        name="MultiSimilarityLoss of scalar products",
        arguments={"beta": 10.0, "mining": False, "normalize": False, "anchors": "any"},
        knob={"normalize": True},
        bad_arguments=(({"anchors": "one"}, ValueError, "anchors"),),
    ),
    _pair_loss(
        kr.losses.ContrastiveLoss,
        "contrastive",
        arguments={"positive_margin": 0.9, "negative_margin": 0.1},
        knob={"negative_margin": 0.6},
        bad_arguments=(({"positive_margin": "high"}, TypeError, "positive_margin"),),
    ),
    _pair_loss(
        kr.losses.TripletLoss,
        "triplet",
        arguments={"margin": 0.6, "triplets": "semi_hard", "soft": True},
        knob={"margin": 0.1},
        bad_arguments=(
            ({"triplets": "hard"}, ValueError, "triplets"),
            ({"soft": 1}, TypeError, "soft"),
        ),
    ),
    _pair_loss(
        kr.losses.TripletLoss,
        "triplet",
        name="TripletLoss of all triplets",
        arguments={"triplets": "all", "similarity": "cosine"},
        knob={"triplets": "hardest"},
        bad_arguments=(({"similarity": "l1"}, ValueError, "similarity"),),
    ),
    _pair_loss(
        kr.losses.LiftedStructureLoss,
        "lifted_structure",
        arguments={"margin": 0.5},
        knob={"similarity": "cosine"},
        bad_arguments=(({"margin": None}, TypeError, "margin"),),
    ),
    _pair_loss(
        kr.losses.BinomialDevianceLoss,
        "binomial_deviance",
        arguments={"alpha": 3.0, "beta": 8.0, "base": 0.3},
        knob={"beta": 4.0},
        bad_arguments=(({"alpha": 0.0}, ValueError, "alpha"), ({"beta": 0}, ValueError, "beta")),
    ),
    _pair_loss(
        kr.losses.NPairLoss,
        "n_pair",
        arguments={"temperature": 0.5, "contrast": "all"},
        knob={"contrast": "negatives"},
        bad_arguments=(({"temperature": 0.0}, ValueError, "temperature"),),
    ),
    Row(
        kr.losses.FeatureSeparationLoss,
        "loss",
        # A class of one sample among the others.
        inputs=lambda: {"y_true": np.repeat(np.arange(4), [5, 4, 2, 1]), "y_pred": tasks.logits()},
        arguments={"temperature": 0.4},
        knob={"temperature": 0.8},
        reference=f"{_LOSSES}feature_separation:reference",
        invariants=("nonnegative", "permutation_invariant"),
        bad_arguments=(({"temperature": 0.0}, ValueError, "temperature"),),
    ),
    _pair_loss(
        kr.losses.ProtoTripletLoss,
        "proto_triplet",
        arguments={"margin": 0.8, "prototypes": "leave_one_out"},
        knob={"prototypes": "batch"},
        bad_arguments=(
            ({"margin": "wide"}, TypeError, "margin"),
            ({"prototypes": "all"}, ValueError, "prototypes"),
        ),
    ),
    Row(
        kr.losses.ICNNLoss,
        "loss",
        # Classes of different size: backwards, the predictions get other neighbors.
        inputs=lambda: {"y_true": np.repeat(np.arange(3), [5, 4, 3]), "y_pred": tasks.logits()},
        arguments={"num_neighbors": 3},
        knob={"num_neighbors": 5},
        reference=f"{_LOSSES}icnn:reference",
        invariants=("permutation_invariant",),
        bad_arguments=(
            ({"num_neighbors": 0}, ValueError, "num_neighbors"),
            ({"num_neighbors": 2.0}, TypeError, "num_neighbors"),
        ),
    ),
    _pair_loss(
        kr.losses.InfoNCELoss,
        "info_nce",
        inputs=lambda: _views(2),
        arguments={"temperature": 0.3, "exclude_same_label": True},
        knob={"symmetric": False},
        bad_arguments=(
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"symmetric": None}, TypeError, "symmetric"),
        ),
    ),
    _pair_loss(
        kr.losses.FocalInfoNCELoss,
        "focal_info_nce",
        inputs=lambda: _views(4),
        arguments={"gamma": 1.5, "temperature": 0.4},
        knob={"gamma": 0.0},
        reference_gradient=f"{_LOSSES}focal_info_nce:reference_gradient",
        bad_arguments=(
            ({"gamma": -1.0}, ValueError, "gamma"),
            ({"temperature": 0.0}, ValueError, "temperature"),
        ),
    ),
    _pair_loss(
        kr.losses.CommunalContrastiveLoss,
        "communal_contrastive",
        inputs=lambda: _views(2),
        arguments={"temperature": 0.6, "gamma": 2.0, "node_weight": 0.5, "community_weight": 1.5},
        knob={"gamma": 0.0},
        reference_gradient=f"{_LOSSES}communal_contrastive:reference_gradient",
        bad_arguments=(
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"kernel": "linear"}, ValueError, "kernel"),
            ({"node_weight": -1.0}, ValueError, "node_weight"),
        ),
    ),
    _pair_loss(
        kr.losses.ShrinkMatchLoss,
        "shrink_match",
        inputs=shrink_match_batch,
        arguments={"threshold": 0.8, "unlabeled_weight": 2.0, "momentum": 0.9},
        knob={"threshold": 0.6},
        reference_gradient=f"{_LOSSES}shrink_match:reference_gradient",
        bad_arguments=(
            ({"threshold": 1.0}, ValueError, "threshold"),
            ({"unlabeled_weight": -1.0}, ValueError, "unlabeled_weight"),
            ({"momentum": 1.0}, ValueError, "momentum"),
        ),
    ),
]

ROWS = [
    *_OBJECTS,
    *_LOSS_ROWS,
    Row(
        kr.functional.pair_weights,
        "function",
        inputs=lambda: {
            "similarity": similarities(embeddings()).astype("float32"),
            "labels": LABELS,
        },
        arguments=lambda: {
            "weighting": kr.metric_learning.MultiSimilarityWeighting(beta=20.0),
            "miner": kr.metric_learning.MultiSimilarityMiner(0.2),
        },
        knob={"weighting": "triplet"},
        reference="tests.reweight.functional.test_pair_weights:reference",
        jit=True,
        invariants=("nonnegative",),
        bad_arguments=(
            ({"weighting": "circle"}, ValueError, "weighting"),
            ({"miner": "hard"}, TypeError, "miner"),
            ({"mask": np.ones((8, 8), bool)}, ValueError, "mask"),
            ({"similarity": np.zeros((8, 3), "float32")}, ValueError, "similarity"),
            ({"labels": np.zeros(7)}, ValueError, "labels"),
        ),
    ),
    Row(
        kr.functional.shrink_loss,
        "function",
        inputs=lambda: {
            "weak_probabilities": np.array(WEAK, "float32"),
            "strong_logits": np.array(STRONG, "float32"),
        },
        arguments={"threshold": 0.8, "weight_by_confidence": False},
        knob={"threshold": 0.95},
        reference="tests.reweight.functional.test_shrink_loss:reference",
        gradient_of="strong_logits",
        jit=True,
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"threshold": 1.0}, ValueError, "threshold"),
            ({"strong_logits": np.zeros((4, 3), "float32")}, ValueError, "strong_logits"),
        ),
    ),
    Row(
        kr.data.ClassBalancedBatches,
        "object",
        arguments=lambda: {**_samples(), "classes_per_batch": 2, "samples_per_class": 3},
        outcome=_first_batch,
        reference=lambda classes_per_batch, samples_per_class: {
            "numbers": np.full(classes_per_batch, samples_per_class),
            "same": np.ones(classes_per_batch * samples_per_class, bool),
        },
        knob={"samples_per_class": 2},
        bad_arguments=(
            ({"classes_per_batch": 4}, ValueError, "classes_per_batch"),
            ({"samples_per_class": 0}, ValueError, "samples_per_class"),
            ({"x": np.zeros((11, 2))}, ValueError, "x"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
]
