"""rift: the least critical layer is tuned alone, and the model stays as it was."""

import functools

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.editing.networks import data, fresh, shared
from tests.reweight.signatures import models


def tune(model):
    """Stands in for training: moves what is trainable by one."""
    for variable in model.trainable_variables:
        variable.assign(variable + 1.0)


@functools.cache
def untuned():
    """One for all checks, as it is left as it was, and where its head starts."""
    return models.dense()


@functools.cache
def start():
    return ops.convert_to_numpy(models.dense().get_layer("head").bias)[0]


def position(model):
    """How far the first bias of the head was moved."""
    return float(ops.convert_to_numpy(model.get_layer("head").bias)[0] - start())


def score(model):
    return -((position(model) - 0.8) ** 2)


def constraint(model):
    return 1.0 - 0.1 * position(model)


def reference(alphas, tolerance):
    positions = np.array([0.0, *alphas])
    scores, constraints = -((positions - 0.8) ** 2), 1.0 - 0.1 * positions
    allowed = constraints >= constraints[0] - tolerance
    best = np.argmax(np.where(allowed, scores, -np.inf))
    return kr.editing.InterpolationChoice(
        positions[best], None, tuple(positions), tuple(scores), tuple(constraints)
    )


def test_named_layers():
    model = models.dense()
    before = kr.weight_digest(model)
    choice = kr.editing.rift(
        model, tune, score=score, constraint=constraint, layers="head", alphas=(0.5, 1.0)
    )
    assert choice.alpha == 0.0 and choice.patch.paths == ("head/kernel", "head/bias")
    assert kr.weight_digest(model) == before
    assert all(variable.trainable for variable in model.trainable_variables)


def test_the_least_critical_layer_is_chosen():
    model = fresh()
    model.compile("sgd", shared().model.loss)
    attacked = data()
    criticality = kr.editing.module_criticality(model, attacked)
    least = min(criticality, key=criticality.get)
    choice = kr.editing.rift(model, tune, score=lambda m: 0.5, adversarial=attacked, alphas=[1])
    assert least in choice.patch.paths
    assert {path.split("/")[0] for path in choice.patch.paths} == {least.split("/")[0]}


def test_the_model_is_restored_after_an_error():
    model = models.dense()
    before = kr.weight_digest(model)

    def fails(model):
        tune(model)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        kr.editing.rift(model, fails, score=score, layers="head")
    assert kr.weight_digest(model) == before


def test_refusals():
    model = models.dense()
    for changes in ({}, {"layers": "head", "adversarial": data()}):
        with pytest.raises(ValueError, match="adversarial"):
            kr.editing.rift(model, tune, score=score, **changes)
    with pytest.raises(ValueError, match="fit"):
        kr.editing.rift(model, lambda m: None, score=score, layers="head")
