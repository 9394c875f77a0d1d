"""Layers with reparametrized kernels or disturbed features, and ensembles with learned weights."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.layers import (
    test_adversarial_style,
    test_companded_conv2d,
    test_companded_dense,
    test_learnable_ensemble,
    test_weighted_conv1d,
    test_weighted_conv2d,
    test_weighted_conv3d,
)

_CONV = (
    ({"filters": 0}, ValueError, "filters"),
    ({"filters": 2.5}, TypeError, "filters"),
    ({"density": (0.7, 0.7)}, ValueError, "density"),
    ({"density": (-0.7,)}, ValueError, "density"),
    ({"density": 0.7}, TypeError, "density"),
    ({"kernel_size": 4}, ValueError, "kernel_size"),
    ({"trainable_density": 1}, TypeError, "trainable_density"),
)
_COMPANDED = (
    ({"amplitude": 0.0}, ValueError, "amplitude"),
    ({"width": -1.0}, ValueError, "width"),
    ({"learned": "yes"}, TypeError, "learned"),
)


def _weighted(target, module, axes, trainable):
    return Row(
        target,
        "layer",
        inputs=lambda: {"inputs": module.X},
        arguments={
            "filters": 2,
            "kernel_size": (3,) * axes,
            "density": (0.6,),
            "trainable_density": trainable,
        },
        knob={"density": (1.3,)},
        reference=module.reference,
        bad_arguments=_CONV,
    )


def _plain():
    inputs = keras.Input((4,))
    layer = kr.layers.CompandedDense(2, amplitude=0.8, width=0.3, learned=False)
    model = keras.Model(inputs, layer(inputs))
    layer.kernel.assign(np.random.default_rng(2).normal(size=(4, 2)))
    return model


def _folded_weights(model):
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in model.weights)
    return [0.8 * np.arctan(kernel.astype("float64") / 0.3), bias]


ROWS = [
    _weighted(kr.layers.WeightedConv1D, test_weighted_conv1d, 1, False),
    _weighted(kr.layers.WeightedConv2D, test_weighted_conv2d, 2, True),
    _weighted(kr.layers.WeightedConv3D, test_weighted_conv3d, 3, False),
    Row(
        kr.layers.AdversarialStyle,
        "layer",
        inputs=lambda: {"inputs": test_adversarial_style.X},
        reference=test_adversarial_style.reference,
        bad_arguments=(
            ({"adversarial_weight": -1.0}, ValueError, "adversarial_weight"),
            ({"adversarial_weight": "ten"}, TypeError, "adversarial_weight"),
            ({"probabilities": (0.5, 0.5)}, ValueError, "probabilities"),
            ({"probabilities": (1.5, -0.5, 0.0)}, ValueError, "probabilities"),
            ({"probabilities": 0.5}, TypeError, "probabilities"),
            ({"epsilon": 0.0}, ValueError, "epsilon"),
            ({"data_format": "last"}, ValueError, "data_format"),
            ({"seed": 0.5}, TypeError, "seed"),
        ),
    ),
    Row(
        kr.layers.CompandedDense,
        "layer",
        inputs=lambda: {"inputs": test_companded_dense.X},
        arguments={"units": 3, "amplitude": 0.8, "width": 0.3, "learned": True},
        knob={"amplitude": 0.2},
        reference=test_companded_dense.reference,
        bad_arguments=(
            *_COMPANDED,
            ({"units": 0}, ValueError, "units"),
            ({"units": 2.5}, TypeError, "units"),
        ),
    ),
    Row(
        kr.layers.CompandedConv2D,
        "layer",
        inputs=lambda: {"inputs": test_companded_conv2d.X},
        arguments={
            "filters": 2,
            "kernel_size": (3, 2),
            "amplitude": 0.8,
            "width": 0.3,
            "learned": False,
        },
        knob={"amplitude": 0.1},
        reference=test_companded_conv2d.reference,
        bad_arguments=(
            *_COMPANDED,
            ({"filters": 0}, ValueError, "filters"),
            ({"kernel_size": (3, 0)}, ValueError, "kernel_size"),
            ({"kernel_size": "3"}, TypeError, "kernel_size"),
        ),
    ),
    Row(
        kr.layers.fold_kernels,
        "function",
        inputs=lambda: {"model": _plain()},
        outcome=lambda plain: list(plain.weights),
        reference=_folded_weights,
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(
        kr.layers.LearnableEnsemble,
        "object",
        arguments=lambda: {
            "models": test_learnable_ensemble.members(),
            "families": ["small", "large", "small"],
            "from_logits": True,
            "train_members": False,
        },
        outcome=test_learnable_ensemble.mixed,
        knob={"from_logits": False},
        reference=test_learnable_ensemble.reference,
        bad_arguments=(
            ({"models": []}, ValueError, "models"),
            ({"models": ["model"] * 3}, TypeError, "models"),
            ({"families": ["small"]}, ValueError, "families"),
            ({"families": "small"}, TypeError, "families"),
            ({"from_logits": 1}, TypeError, "from_logits"),
            ({"train_members": "no"}, TypeError, "train_members"),
        ),
    ),
]
