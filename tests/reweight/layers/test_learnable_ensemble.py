"""LearnableEnsemble: its formula, what it trains, and the best weights."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.testing import tasks
from keras_reweight.layers import LearnableEnsemble

LOGITS = np.array([0.5, -0.3], "float32")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def members():
    """Three networks with the same layers and other weights."""
    found = []
    for factor in (1.0, 0.4, -0.7):
        model = tasks.functional()
        for variable in model.weights:
            variable.assign(variable * factor)
        found.append(model)
    return found


def mixed(ensemble):
    """The predictions with fixed weights of two families."""
    ensemble(tasks.features())
    ensemble.family_logits.assign(LOGITS)
    return ensemble(tasks.features())


def reference(models, families, from_logits):
    outputs = [ops.convert_to_numpy(m(tasks.features())).astype("float64") for m in models]
    if from_logits:
        outputs = [np.exp(o) / np.exp(o).sum(-1, keepdims=True) for o in outputs]
    names = list(dict.fromkeys(families))
    means = [
        np.mean([o for o, f in zip(outputs, families, strict=True) if f == name], axis=0)
        for name in names
    ]
    weights = np.exp(LOGITS.astype("float64")) / np.exp(LOGITS.astype("float64")).sum()
    return sum(w * mean for w, mean in zip(weights, means, strict=True))


def make_judges():
    """Models of one feature that give the probability of class 1: right, useless, wrong."""
    found = []
    for name, slope in (("right", 4.0), ("useless", 0.0), ("wrong", -4.0)):
        head = keras.layers.Dense(1, "sigmoid", use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((3,)), head], name=name)
        head.kernel.assign([[slope], [0.0], [0.0]])
        found.append(model)
    return found


judges = functools.cache(make_judges)


def likelihood(ensemble):
    p = np.ravel(ops.convert_to_numpy(ensemble(X))).astype("float64")
    return float(np.mean(np.log(np.where(Y == 1, p, 1 - p))))


def test_equal_logits_are_the_mean():
    ensemble = LearnableEnsemble(judges())
    expected = np.mean([ops.convert_to_numpy(model(X)) for model in judges()], axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(ensemble(X)), expected, rtol=1e-6)
    assert ensemble.family_weights() == pytest.approx(
        {"right": 1 / 3, "useless": 1 / 3, "wrong": 1 / 3}
    )


def test_families_are_averaged_first():
    ensemble = LearnableEnsemble(judges(), families=["a", "b", "a"])
    outputs = ops.convert_to_numpy(ensemble.family_outputs(X))
    np.testing.assert_allclose(outputs[0], 0.5, atol=1e-6)
    assert list(ensemble.family_weights()) == ["a", "b"]


def test_models_of_one_name_are_told_apart():
    right, useless, _ = judges()
    assert list(LearnableEnsemble([right, right, useless]).family_weights()) == [
        "right:0",
        "right:1",
        "useless",
    ]


def reference_expectation_maximization(likelihoods, rounds):
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    for _ in range(rounds):
        shares = weights[:, None] * likelihoods
        weights = (shares / shares.sum(0)).mean(1)
    return weights


def test_the_most_likely_weights():
    ensemble = LearnableEnsemble(judges())
    equal = likelihood(ensemble)
    found = ensemble.maximize_likelihood((X, Y), rounds=20, batch_size=16)
    p = np.stack([np.ravel(ops.convert_to_numpy(model(X))) for model in judges()])
    p = np.where(Y == 1, p, 1 - p).astype("float64")
    expected = reference_expectation_maximization(p, 20)
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-4, atol=1e-6)
    assert likelihood(ensemble) > equal
    assert found["wrong"] < 1 / 3 and found["right"] > 0.9


def test_class_labels_in_both_forms():
    ensemble = LearnableEnsemble(members(), from_logits=True)
    first = ensemble.maximize_likelihood((tasks.features(), tasks.labels()), rounds=5)
    ensemble.family_logits.assign(np.zeros(3))
    one_hot = np.eye(3, dtype="float32")[tasks.labels()]
    again = ensemble.maximize_likelihood([(tasks.features(), one_hot)], rounds=5)
    assert first == pytest.approx(again, rel=1e-5)
    assert max(first.values()) > 1 / 3 + 1e-3


def test_likelihood_needs_labels_and_probabilities():
    ensemble = LearnableEnsemble(members())
    with pytest.raises(ValueError, match="from_logits=True"):
        ensemble.maximize_likelihood((tasks.features(), tasks.labels()))
    with pytest.raises(ValueError, match="no labels"):
        ensemble.maximize_likelihood((tasks.features(),))


@pytest.mark.parametrize("train_members", [False, True])
def test_training_moves_the_weights_and_the_members_only_if_asked(train_members):
    ensemble = LearnableEnsemble(make_judges(), train_members=train_members)
    before = [member.get_weights()[0] for member in ensemble.models]
    ensemble.compile(keras.optimizers.SGD(0.5, weight_decay=0.1), "binary_crossentropy")
    ensemble.fit(X, Y, batch_size=40, verbose=0)
    weights = ensemble.family_weights()
    assert weights["right"] > 1 / 3 > weights["wrong"]
    assert len(ensemble.trainable_variables) == (4 if train_members else 1)
    assert len(ensemble.trainable_weights) == len(ensemble.trainable_variables)
    held = len(ensemble.non_trainable_variables) + len(ensemble.trainable_variables)
    assert held == len(ensemble.variables)
    after = [member.get_weights()[0] for member in ensemble.models]
    moved = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert any(moved) is train_members


def test_saves_members_and_weights(tmp_path):
    ensemble = LearnableEnsemble(members(), families=["a", "b", "a"], from_logits=True)
    expected = ops.convert_to_numpy(mixed(ensemble))
    ensemble.save(tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(tasks.features())), expected, rtol=1e-6)
    assert loaded.family_weights() == pytest.approx(ensemble.family_weights())


def test_other_output_shapes_are_refused():
    with pytest.raises(ValueError, match="output shape"):
        LearnableEnsemble([judges()[0], tasks.functional()])
