import keras
import numpy as np
import pytest

from keras_compress.pruning import SAP, SparsityRule, UniformAllocation
from keras_compress.retraining import iterative_prune
from keras_compress.schedules import PolynomialDecay
from tests.compress.driven import drive
from tests.compress.pruning import models
from tests.compress.pruning.models import kernels, num_zeros, weights


def sequential(**arguments):
    """Compiling a step takes longer than the few that are trained."""
    return models.sequential(run_eagerly=True, **arguments)


def same(first, second):
    return all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


class Trainer:
    """Trains three steps and remembers what every training began from."""

    def __init__(self, fail_at=None):
        self.starts, self.counts, self.fail_at = [], [], fail_at

    def __call__(self, model, callbacks):
        self.starts.append(weights(model))
        optimizer = model.optimizer
        self.counts.append(int(optimizer.iterations))
        self.memory = [
            float(np.abs(keras.ops.convert_to_numpy(v)).sum())
            for v in optimizer.variables
            if "velocity" in v.path
        ]
        if len(self.starts) - 1 == self.fail_at:
            raise KeyboardInterrupt
        return drive(model, *callbacks, steps=3)[-1]


def test_winning_tickets_begin_where_the_dense_model_began():
    model, train = sequential(), Trainer()
    initial = weights(model)
    rounds = iterative_prune(model, train, rounds=2, amount=0.5)
    assert [r.sparsity for r in rounds] == pytest.approx([0.0, 0.5, round(0.75 * 70) / 70])
    assert [r.index for r in rounds] == [0, 1, 2] and all(
        r.metrics["sparsity"] == pytest.approx(r.sparsity) for r in rounds
    )
    assert num_zeros(model) == 52
    for start, found in zip(train.starts, rounds, strict=True):
        masks = iter(found.masks.values())
        for was, now in zip(initial, start, strict=True):
            np.testing.assert_array_equal(now, was * next(masks) if was.ndim == 2 else was)
    # The masks only shrink, and the optimizer has forgotten everything.
    for one, two in zip(rounds[1].masks.values(), rounds[2].masks.values(), strict=True):
        assert (one | ~two).all()
    assert train.counts == [0, 0, 0] and sum(train.memory) == 0


def test_the_smallest_trained_weights_go():
    model, twin = sequential(), sequential()
    rounds = iterative_prune(
        model, Trainer(), rounds=1, amount=0.5, allocation=UniformAllocation(0.0)
    )
    drive(twin, steps=3)
    for mask, kernel in zip(rounds[1].masks.values(), kernels(twin), strict=True):
        cut = np.sort(np.abs(kernel), axis=None)[kernel.size // 2]
        np.testing.assert_array_equal(mask, np.abs(kernel) >= cut)


def test_late_rewinding_goes_back_to_a_step_of_the_first_training():
    model, train, twin = sequential(), Trainer(), sequential()
    iterative_prune(model, train, rounds=2, rewind=2)
    drive(twin, steps=2)
    for start in train.starts[1:]:
        for was, now in zip(weights(twin), start, strict=True):
            np.testing.assert_allclose(now, np.where(now != 0, was, 0.0), rtol=1e-6)
    assert train.counts == [0, 2, 2]


@pytest.mark.parametrize(("rewind", "counts"), [(None, [0, 3]), ("learning_rate", [0, 0])])
def test_trained_weights_may_stay(rewind, counts):
    model, train, twin = sequential(), Trainer(), sequential()
    rounds = iterative_prune(model, train, rounds=1, rewind=rewind)
    drive(twin, steps=3)
    for was, now in zip(weights(twin), train.starts[1], strict=True):
        assert (now == np.where(now != 0, was, 0.0)).all()
    assert train.counts == counts and sum(train.memory) == 0
    assert num_zeros(model) == 14 == round(rounds[1].sparsity * 70)


def test_given_weights_and_schedules():
    model, train = sequential(), Trainer()
    other = weights(sequential(seed=1))
    schedule = PolynomialDecay(0.0, 0.8, end_step=2, power=1.0)
    rounds = iterative_prune(model, train, rounds=2, amount=schedule, rewind=other)
    assert [r.sparsity for r in rounds] == pytest.approx([0.0, 0.4, 0.8])
    np.testing.assert_array_equal(train.starts[1][1], other[1])
    assert set(np.unique(train.starts[2][0])) <= {0.0, *np.unique(other[0])}


def test_a_rule_decides_how_much():
    class Seven(SparsityRule):
        def targets(self, values, masks):
            return [int((~mask).sum()) + 7 for mask in masks[:1]] + [0]

    rounds = iterative_prune(sequential(), Trainer(), rounds=2, amount=Seven())
    assert [round(70 * r.sparsity) for r in rounds] == [0, 7, 14]
    rounds = iterative_prune(sequential(), Trainer(), rounds=1, amount=SAP(gamma=1.5))
    assert 0 < rounds[1].sparsity < 0.9


def test_a_killed_run_goes_on(tmp_path):
    arguments = {"rounds": 2, "amount": 0.3, "rewind": 2}
    whole = sequential()
    expected = iterative_prune(whole, Trainer(), **arguments)
    with pytest.raises(KeyboardInterrupt):
        iterative_prune(sequential(), Trainer(fail_at=1), directory=tmp_path, **arguments)
    resumed, train = sequential(seed=1), Trainer()
    found = iterative_prune(resumed, train, directory=tmp_path, **arguments)
    assert train.counts == [2, 2]
    assert same(weights(whole), weights(resumed))
    assert [(r.sparsity, r.metrics) for r in found] == [(r.sparsity, r.metrics) for r in expected]
    again = Trainer()
    more = iterative_prune(sequential(), again, directory=tmp_path, **{**arguments, "rounds": 3})
    assert len(more) == 4 and len(again.starts) == 1
    with pytest.raises(ValueError, match="another configuration.*amount"):
        iterative_prune(sequential(), again, directory=tmp_path, **{**arguments, "amount": 0.2})


def test_fine_tuning_goes_on_counting_after_a_kill(tmp_path):
    arguments = {"rounds": 2, "rewind": None, "directory": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        iterative_prune(sequential(), Trainer(fail_at=1), **arguments)
    train = Trainer()
    iterative_prune(sequential(), train, **arguments)
    assert train.counts == [3, 6]


def test_stopping_early_and_compiling_each_round():
    def train(model, callbacks):
        model.compile("sgd", "mse", run_eagerly=True)
        drive(model, *callbacks, steps=1)
        return {"accuracy": 1.0 - 0.2 * len(accuracies)}

    accuracies = []
    rounds = iterative_prune(
        sequential(),
        train,
        rounds=5,
        stop=lambda done: accuracies.append(done[-1].metrics["accuracy"]) or len(done) == 2,
    )
    assert len(rounds) == 2 and accuracies == [1.0, 0.8]


def test_what_fit_must_do():
    with pytest.raises(ValueError, match="callbacks"):
        iterative_prune(sequential(), lambda model, callbacks: None, rounds=1)
    with pytest.raises(ValueError, match="fewer steps"):
        iterative_prune(sequential(), Trainer(), rounds=1, rewind=100)
    with pytest.raises(TypeError, match="History, a dict or None"):
        iterative_prune(sequential(), lambda m, c: drive(m, *c) and 3, rounds=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rewind": [np.ones(3)]}, ValueError, "rewind"),
        ({"amount": lambda index: 2.0}, ValueError, "amount at round 1"),
        ({"layers": "missing"}, ValueError, "layers"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        iterative_prune(sequential(), Trainer(), rounds=1, **arguments)
