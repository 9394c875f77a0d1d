"""Several losses: what each of them counts."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.layers import test_arl_fusion
from tests.reweight.meta.models import steps
from tests.reweight.tasks import (
    models,
    solvers,
    test_dynamic_weight_average,
    test_grad_norm,
    test_gradient_annealing,
    test_gradient_influence,
    test_lagrangian,
    test_recap,
    test_samo,
    test_uncertainty_weights,
)

GRADIENTS = np.array([[1.0, 0.0, 0.5], [-1.0, 1.0, 0.0]], "float32")


def given(**statistics):
    """Statistics of two losses as the inputs of a row."""
    gram = GRADIENTS @ GRADIENTS.T
    return {"losses": np.array([2.0, 0.5], "float32"), "gram": gram, **statistics}


def weighed(balancer, losses, gram, largest=None, mean=None, step=0, epoch=0):
    """The weights of the first step."""
    state = {key: ops.convert_to_tensor(value) for key, value in balancer.initial(2).items()}
    arrays = [
        None if part is None else ops.convert_to_tensor(part) for part in (gram, largest, mean)
    ]
    clock = [ops.cast(number, "int32") for number in (step, epoch)]
    statistics = kr.tasks.TaskStatistics(ops.convert_to_tensor(losses), *arrays, *clock)
    return balancer.weights(statistics, state)[0]


_THREE = np.array([[1.0, 0.2, 0.1], [-0.4, 1.0, 0.3], [0.1, -0.6, 0.8]], "float32")
_EPOCHS = np.array([[[2.0, 5.0]], [[1.0, 4.0]], [[0.9, 1.0]], [[0.5, 0.9]]], "float32")
_CONSTRAINED = [[3.0, 2.0], [2.0, 1.5], [1.0, 0.2], [1.0, 0.1]]


def _all_steps(balancer, shown):
    return solvers.run(balancer, shown)[0]


def _last_step(balancer, shown):
    return solvers.run(balancer, shown)[0][-1]


def _after_a_step(trainer):
    trainer.compile(keras.optimizers.SGD(models.RATE), {"a": "mse", "b": "mse"}, **steps())
    trainer.fit(models.X, models.Y, batch_size=8, verbose=0)
    return models.values_of(trainer.model)


ROWS = [
    Row(kr.tasks.TaskBalancer, "base"),
    Row(kr.tasks.TaskStatistics, "record"),
    Row(
        kr.tasks.LossBalancing,
        "object",
        arguments=lambda: {
            "model": models.model(),
            "balancer": kr.tasks.FixedWeights([0.5, 3.0]),
            "shared": ["trunk"],
        },
        outcome=_after_a_step,
        reference=lambda: models.after_a_step([0.5, 3.0]),
        knob=lambda: {"balancer": kr.tasks.FixedWeights([1.0, 0.0])},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"balancer": "equal"}, TypeError, "balancer"),
            ({"objectives": 3}, TypeError, "objectives"),
            ({"shared": ["tail"]}, ValueError, "shared"),
            ({"perturb": 0.05}, TypeError, "perturb"),
        ),
    ),
    Row(
        kr.callbacks.BalanceLosses,
        "callback",
        arguments=lambda: {"balancer": kr.tasks.Lagrangian(0.01, learning_rate=0.5)},
        knob=lambda: {"balancer": kr.tasks.Lagrangian(0.02, learning_rate=0.1)},
        bad_arguments=(
            ({"balancer": "dwa"}, TypeError, "balancer"),
            ({"balancer": kr.tasks.PCGrad()}, ValueError, "balancer"),
        ),
    ),
    Row(
        kr.callbacks.HypervolumeWeight,
        "callback",
        arguments={"metrics": ["loss"], "modes": ["min"], "reference": [9.0], "gain": 0.8},
        knob={"minimum": 0.1},
        bad_arguments=(
            ({"metrics": []}, ValueError, "metrics"),
            ({"metrics": 3}, TypeError, "metrics"),
            ({"metrics": ["accuracy_of_nobody"]}, ValueError, "metrics"),
            ({"modes": "up"}, ValueError, "modes"),
            ({"modes": ["min", "max"]}, ValueError, "modes"),
            ({"reference": [1.0, 2.0]}, ValueError, "reference"),
            ({"reference": 1.0}, TypeError, "reference"),
            ({"minimum": -0.1}, ValueError, "minimum"),
            ({"gain": 0.0}, ValueError, "gain"),
        ),
    ),
    Row(
        kr.functional.hypervolume,
        "function",
        inputs=lambda: {
            "points": np.array([[0.5, 0.2, 0.5], [0.6, 0.3, 0.4], [0.4, 0.6, 0.9]], "float32"),
            "reference": np.array([0.0, 0.0, 1.0], "float32"),
        },
        arguments={"modes": ["max", "max", "min"]},
        knob={"reference": np.array([-0.5, 0.0, 1.0], "float32")},
        reference="tests.reweight.functional.test_hypervolume:reference",
        bad_arguments=(
            ({"points": np.zeros((2, 2), "float32")}, ValueError, "points"),
            ({"reference": np.zeros((1, 3), "float32")}, ValueError, "reference"),
            ({"modes": "up"}, ValueError, "modes"),
            ({"modes": ["max"]}, ValueError, "modes"),
        ),
    ),
    Row(
        kr.layers.ARLFusion,
        "object",
        arguments={"units": 3, "mode": "sum", "temperature": 4.0, "clip": 0.2, "start_step": 0},
        outcome=test_arl_fusion.outcome,
        reference=test_arl_fusion.reference_outcome,
        knob={"temperature": 1.0},
        bad_arguments=(
            ({"units": 0}, ValueError, "units"),
            ({"units": 2.5}, TypeError, "units"),
            ({"mode": "product"}, ValueError, "mode"),
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"clip": 0.0}, ValueError, "clip"),
            ({"start_step": -1}, ValueError, "start_step"),
            ({"start_step": 0.5}, TypeError, "start_step"),
        ),
    ),
    Row(
        kr.tasks.SAMO,
        "object",
        arguments={"rho": 0.3, "beta": 0.7, "mu": 0.02, "adaptive": True, "seed": 2},
        outcome=test_samo.outcome,
        reference=test_samo.reference_outcome,
        knob={"rho": 0.6},
        bad_arguments=(
            ({"rho": 0.0}, ValueError, "rho"),
            ({"beta": 1.5}, ValueError, "beta"),
            ({"beta": "half"}, TypeError, "beta"),
            ({"mu": 0.0}, ValueError, "mu"),
            ({"adaptive": 1}, TypeError, "adaptive"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.tasks.FixedWeights,
        "object",
        arguments={"values": [0.5, 2.0]},
        inputs=given,
        outcome=weighed,
        reference=lambda values: np.array(values),
        knob={"values": [1.0, 2.0]},
        bad_arguments=(
            ({"values": "many"}, TypeError, "values"),
            ({"values": [1.0, -2.0]}, ValueError, "values"),
        ),
    ),
    Row(
        kr.tasks.PCGrad,
        "object",
        inputs=given,
        outcome=weighed,
        # <g1, g2> = -1, |g1|^2 = 1.25, |g2|^2 = 2.
        reference=lambda: np.array([1.0 + 1.0 / 1.25, 1.0 + 0.5]),
        bad_arguments=(
            ({"seed": -1}, ValueError, "seed"),
            ({"seed": 0.5}, TypeError, "seed"),
        ),
    ),
    Row(
        kr.tasks.MGDA,
        "object",
        arguments={"iterations": 200},
        inputs=lambda: {"gradients": _THREE},
        outcome=solvers.weights,
        reference=lambda gradients: solvers.shortest(gradients @ gradients.T),
        knob={"iterations": 1},
        bad_arguments=(
            ({"iterations": 0}, ValueError, "iterations"),
            ({"iterations": 1.5}, TypeError, "iterations"),
        ),
    ),
    Row(
        kr.tasks.CAGrad,
        "object",
        arguments={"c": 0.3, "iterations": 300},
        inputs=lambda: {"gradients": _THREE},
        outcome=solvers.weights,
        reference=lambda gradients, c: solvers.conflict_averse(gradients @ gradients.T, c),
        knob={"c": 0.6},
        bad_arguments=(
            ({"c": 1.0}, ValueError, "c"),
            ({"c": "far"}, TypeError, "c"),
            ({"iterations": 0}, ValueError, "iterations"),
        ),
    ),
    Row(
        kr.tasks.UPGrad,
        "object",
        arguments={"iterations": 300},
        inputs=lambda: {"gradients": _THREE},
        outcome=solvers.weights,
        reference=lambda gradients: solvers.unconflicting(gradients @ gradients.T),
        knob={"iterations": 1},
        bad_arguments=(
            ({"iterations": 0}, ValueError, "iterations"),
            ({"iterations": None}, TypeError, "iterations"),
        ),
    ),
    Row(
        kr.tasks.DynamicWeightAverage,
        "object",
        arguments={"temperature": 0.7},
        inputs=lambda: {"shown": test_dynamic_weight_average.shown(_EPOCHS)},
        outcome=_all_steps,
        reference=lambda temperature: test_dynamic_weight_average.reference(_EPOCHS, temperature),
        knob={"temperature": 2.0},
        bad_arguments=(
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"temperature": "hot"}, TypeError, "temperature"),
        ),
    ),
    Row(
        kr.tasks.RECAP,
        "object",
        arguments={"window": 2, "temperature": 0.5, "alpha": 0.25},
        inputs=lambda: {"shown": test_recap.shown(test_recap.HISTORY)},
        outcome=_last_step,
        reference=lambda temperature, alpha: test_recap.reference(
            test_recap.HISTORY, temperature, alpha
        ),
        knob={"alpha": None},
        bad_arguments=(
            ({"window": 0}, ValueError, "window"),
            ({"window": "long"}, TypeError, "window"),
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"alpha": 1.5}, ValueError, "alpha"),
        ),
    ),
    Row(
        kr.tasks.Lagrangian,
        "object",
        arguments={"limits": [None, 0.5], "learning_rate": 0.3, "maximum": 0.4, "momentum": 0.5},
        inputs=lambda: {"shown": test_lagrangian.shown(_CONSTRAINED)},
        outcome=_all_steps,
        reference=lambda limits, learning_rate, maximum, momentum: test_lagrangian.reference(
            _CONSTRAINED, limits, learning_rate, maximum, momentum
        ),
        knob={"momentum": 0.0},
        bad_arguments=(
            ({"limits": "low"}, TypeError, "limits"),
            ({"limits": [None, None]}, ValueError, "limits"),
            ({"learning_rate": 0.0}, ValueError, "learning_rate"),
            ({"maximum": 0.0}, ValueError, "maximum"),
            ({"momentum": 1.0}, ValueError, "momentum"),
        ),
    ),
    Row(
        kr.tasks.GradientAnnealing,
        "object",
        arguments={"alpha": 0.2, "every": 2, "denominator": "plain", "clip": (0.1, 20.0)},
        inputs=lambda: {"shown": test_gradient_annealing.shown(4)},
        outcome=_all_steps,
        # Twice 4 / 0.15, clipped to 20.
        reference=lambda: np.array([[1.0, 1.0], [1.0, 4.8], [1.0, 4.8], [1.0, 7.84]]),
        knob={"denominator": "weighted"},
        bad_arguments=(
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"alpha": "some"}, TypeError, "alpha"),
            ({"every": 0}, ValueError, "every"),
            ({"denominator": "both"}, ValueError, "denominator"),
            ({"clip": (2.0, 1.0)}, ValueError, "clip"),
        ),
    ),
    Row(
        kr.tasks.UncertaintyWeights,
        "object",
        arguments={"classification": True, "initial_log_variance": -0.3},
        outcome=test_uncertainty_weights.after_two_steps,
        reference=test_uncertainty_weights.reference,
        knob={"classification": False},
        bad_arguments=(
            ({"classification": 1}, TypeError, "classification"),
            ({"initial_log_variance": float("inf")}, ValueError, "initial_log_variance"),
            ({"initial_log_variance": "low"}, TypeError, "initial_log_variance"),
        ),
    ),
    Row(
        kr.tasks.GradNorm,
        "object",
        arguments={"alpha": 0.5, "learning_rate": 0.1},
        inputs=lambda: {"shown": test_grad_norm.shown()},
        outcome=_all_steps,
        reference=test_grad_norm.reference,
        knob={"learning_rate": 0.2},
        bad_arguments=(
            ({"alpha": -0.1}, ValueError, "alpha"),
            ({"alpha": None}, TypeError, "alpha"),
            ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ),
    ),
    Row(
        kr.tasks.GradientInfluence,
        "object",
        arguments={"rate": 0.3, "minimum": 0.2},
        inputs=lambda: {"shown": test_gradient_influence.shown()},
        outcome=_all_steps,
        reference=test_gradient_influence.reference,
        knob={"minimum": 0.0},
        bad_arguments=(
            ({"rate": 0.0}, ValueError, "rate"),
            ({"rate": "slow"}, TypeError, "rate"),
            ({"minimum": 1.0}, ValueError, "minimum"),
        ),
    ),
]
