"""Criteria, schedules, allocations and patterns combine freely."""

import itertools

import keras
import numpy as np
import pytest

from keras_compress import pruning as kp
from keras_compress import schedules
from keras_compress.callbacks import Pruning
from tests.compress.pruning.models import X, fit, kernels

L = keras.layers

CRITERIA = {"magnitude": kp.Magnitude(), "random": kp.RandomScores(seed=1)}
PATTERNS = {
    "weights": kp.Pattern(),
    "2:4": kp.NMPattern(2, 4),
    "blocks": kp.BlockPattern((2, 3)),
    "gates": kp.TiedGates(),
}
ALLOCATIONS = {
    "uniform": kp.UniformAllocation(),
    "uniform+": kp.UniformPlusAllocation(),
    "global": kp.GlobalAllocation(),
    "global with a minimum": kp.GlobalAllocation(min_keep=0.02),
    "LAMP": kp.LAMPAllocation(),
    "ERK": kp.ERKAllocation(),
    "alpha": kp.AlphaAllocation(),
    "RD": kp.RateDistortionAllocation(X, levels=2),
}
SCHEDULES = {
    "constant": schedules.Constant(0.4),
    "cubic": schedules.PolynomialDecay(0.0, 0.4, end_step=4),
    "linear": schedules.Linear(0.1, 0.4, end_step=4),
    "rounds": schedules.ExponentialSparsity(0.2254, round_steps=2, num_rounds=2),
    "SAP": kp.SAP(beta=0.2),
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Reshape((3, 2)),
            L.Conv1D(6, 2, padding="same"),
            L.GRU(4),
            L.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


@pytest.fixture(scope="module")
def start(model):
    return model.get_weights()


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_one_shot(model, start, allocation):
    for criterion, pattern in itertools.product(CRITERIA, PATTERNS):
        model.set_weights(start)
        before = kernels(model)
        report = kp.prune_weights(
            model,
            0.4,
            criterion=CRITERIA[criterion],
            allocation=ALLOCATIONS[allocation],
            pattern=PATTERNS[pattern],
        )
        case = f"{criterion}, {pattern}"
        units = zeros = 0
        for mask, old, new in zip(report.masks.values(), before, kernels(model), strict=True):
            np.testing.assert_array_equal(new, np.where(mask, old, 0.0), err_msg=case)
            assert mask.any(), case
            units, zeros = units + mask.size, zeros + int((~mask).sum())
        # Uniform rounds each kernel; blocks and gates count units; 2:4 keeps what fills a group.
        slack = 2 if pattern == "weights" else 30
        assert abs(zeros - 0.4 * units) <= slack, case


@pytest.mark.parametrize(
    ("schedule", "allocation", "pattern", "criterion"),
    [
        ("cubic", "ERK", "2:4", "magnitude"),
        ("linear", "LAMP", "gates", "magnitude"),
        ("rounds", "RD", "blocks", "magnitude"),
        ("constant", "uniform+", "2:4", "random"),
        ("SAP", "alpha", "weights", "magnitude"),
    ],
)
def test_in_training(model, start, schedule, allocation, pattern, criterion):
    model.set_weights(start)
    callback = Pruning(
        SCHEDULES[schedule],
        criterion=CRITERIA[criterion],
        allocation=ALLOCATIONS[allocation],
        pattern=PATTERNS[pattern],
        frequency=2,
    )
    fit(model, callback)
    zeros = 0
    for mask, kernel in zip(callback.masks.values(), kernels(model), strict=True):
        np.testing.assert_array_equal(kernel != 0, mask)
        zeros += int((~mask).sum())
    size = sum(kernel.size for kernel in kernels(model))
    if schedule == "SAP":
        assert 0.1 < zeros / size < 1 - 0.8**3 + 1e-9
    else:
        assert abs(zeros - 0.4 * size) <= 30
