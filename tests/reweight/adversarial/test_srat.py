"""A step with separated features is that of the formula, for all kinds of models."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.adversarial import models
from tests.reweight.attacks import linear
from tests.reweight.losses.test_feature_separation import reference as separation

_HIDDEN = np.random.default_rng(8).normal(size=(5, 5))
#: The logits are those of `linear`, so its attacks hold.
WEIGHTS = [_HIDDEN, np.zeros(5), np.linalg.solve(_HIDDEN, linear.KERNEL), linear.BIAS]
WEIGHTS = [array.astype("float32") for array in WEIGHTS]


class HeadFirst(keras.Model):
    """A subclassed model that makes its layers in the order opposite to that of the calls."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3)
        self.hidden = layers.Dense(5, name="hidden")

    def call(self, inputs):
        return self.head(self.hidden(inputs))


def deep(kind="sequential"):
    """A model whose features are linear as well, and its weights in the order of the calls."""
    inputs = keras.Input((5,))
    if kind == "sequential":
        model = keras.Sequential([inputs, layers.Dense(5, name="hidden"), layers.Dense(3)])
    elif kind == "nested":
        inner = keras.Sequential([keras.Input((5,)), layers.Dense(5, name="hidden")])
        model = keras.Model(inputs, layers.Dense(3)(inner(inputs)))
    else:
        model = HeadFirst()
        model(np.zeros((1, 5), "float32"))
    variables = model.trainable_variables
    if kind == "subclassed":
        variables = [*variables[2:], *variables[:2]]
    for variable, start in zip(variables, WEIGHTS, strict=True):
        variable.assign(start)
    return model, variables


def stepped_weights(objective, kind="sequential", **options):
    """The four weights after a step."""
    model, variables = deep(kind)
    trainer = kr.adversarial.AdversarialTraining(
        model, kr.attacks.PGD(**models.ATTACK), objective=objective, **options
    )
    models.after_a_step(trainer, compiled=kind == "nested")
    return [ops.convert_to_numpy(variable) for variable in variables]


def reference(strength, temperature, weights=1.0):
    x_adv = models.attacked()

    def objective(hidden, shift, head, bias):
        features = x_adv @ hidden + shift
        probabilities = linear.softmax(features @ head + bias)
        separated = separation(linear.Y, features, temperature)
        return np.mean(weights * -np.log(models.own(probabilities))) + strength * separated

    start = [array.astype("float64") for array in WEIGHTS]
    found = []
    for place, value in enumerate(start):
        slope = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            pair = []
            for sign in (1.0, -1.0):
                moved = [part.copy() for part in start]
                moved[place][index] += sign * 1e-5
                pair.append(objective(*moved))
            slope[index] = (pair[0] - pair[1]) / 2e-5
        found.append(value - models.RATE * slope)
    return found


@pytest.mark.parametrize("kind", ["sequential", "nested", "subclassed"])
def test_a_step_follows_the_formula(kind):
    features = None if kind == "sequential" else "hidden"
    objective = kr.adversarial.SRAT(strength=0.7, temperature=0.4, features=features)
    counts = [4, 2, 1]
    found = stepped_weights(
        objective, kind, weighting=kr.weightings.ClassBalanced(counts, beta=0.9)
    )
    balanced = kr.functional.class_weights(counts, method="class_balanced", beta=0.9)
    expected = reference(0.7, 0.4, np.asarray(balanced)[linear.Y])
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, kind, relative=2e-4)


def test_it_adds_to_the_terms_of_its_base():
    objective = kr.adversarial.SRAT(kr.adversarial.TRADES(3.0), strength=2.0)
    assert objective.needs_clean and not kr.adversarial.SRAT().needs_clean
    scores, others = (ops.convert_to_tensor(z) for z in (linear.SCORES, -linear.SCORES))
    features = ops.convert_to_tensor(linear.X)

    def loss(y_true, y_pred):
        return ops.zeros_like(y_pred[:, 0])

    terms = objective.terms(loss, linear.Y, scores, others, features)
    alone = kr.adversarial.TRADES(3.0).terms(loss, linear.Y, scores, others)
    for term, wanted in zip(terms, alone, strict=False):
        np.testing.assert_allclose(*(ops.convert_to_numpy(t.values) for t in (term, wanted)))
    assert len(terms) == 3 and not terms[-1].weighted
    mean = ops.convert_to_numpy(terms[-1].values).mean()
    assert mean == pytest.approx(2.0 * separation(linear.Y, linear.X), rel=1e-5)


def test_what_is_refused():
    model, _ = deep()

    def trainer(features, model=model):
        objective = kr.adversarial.SRAT(features=features)
        return kr.adversarial.AdversarialTraining(model, kr.attacks.PGD(0.1), objective=objective)

    with pytest.raises(ValueError, match="features"):
        trainer("nowhere")
    inner = layers.Dense(4, name="inner")
    sequence = keras.Sequential(
        [keras.Input((3, 2)), layers.TimeDistributed(inner), layers.Flatten(), layers.Dense(3)]
    )
    with pytest.raises(ValueError, match="step by step"):
        trainer("inner", sequence)
    shared = layers.Dense(5, name="shared")
    inputs = keras.Input((5,))
    twice = keras.Model(inputs, layers.Dense(3)(shared(shared(inputs))))
    with pytest.raises(ValueError, match="called 2 times"):
        models.after_a_step(trainer("shared", twice))
    with pytest.raises(ValueError, match="base"):
        kr.adversarial.SRAT(kr.adversarial.SRAT())
