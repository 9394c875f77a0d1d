import weakref

import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.weight_files import WeightFile
from keras_reweight.signatures.live_weights import read_variable
from tests.reweight.merging.ingredients import arrays_of, deltas, shared, tuned
from tests.reweight.signatures import models


def reference_greedy(values, score):
    """Positions and value of the soup of scalar networks."""
    order = sorted(range(len(values)), key=lambda place: -score(values[place]))
    kept, best = [order[0]], score(values[order[0]])
    for place in order[1:]:
        soup = np.mean([values[k] for k in kept] + [values[place]])
        if score(soup) > best:
            kept, best = [*kept, place], score(soup)
    return kept, np.mean([values[k] for k in kept])


@pytest.fixture
def model():
    return shared()


def constants(model, values):
    items = []
    for value in values:
        items.append(kr.WeightSnapshot(model))
        items[-1].arrays = tuple(np.full_like(array, value) for array in items[-1].arrays)
    return items


def first_weight(model):
    return float(read_variable(model.weights[1])[0])


@pytest.mark.parametrize(
    ("values", "target"), (((1.0, 3.0, 5.0), 2.2), ((4.0, 0.5, 3.0, 1.0, 9.0), 2.6), ((2.0,), 0.0))
)
def test_scalar_networks(model, values, target):
    def score_of(value):
        return -((value - target) ** 2)

    before = kr.weight_digest(model)
    soup = kr.merging.greedy_soup(
        model, constants(model, values), score=lambda m: score_of(first_weight(m))
    )
    assert kr.weight_digest(model) == before
    kept, value = reference_greedy(values, score_of)
    assert soup.ingredients == tuple(kept)
    np.testing.assert_allclose(soup.score, score_of(value), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(soup.scores, [score_of(v) for v in values], rtol=1e-5, atol=1e-12)
    with soup.patched(model):
        for array in arrays_of(model):
            np.testing.assert_allclose(array, value, rtol=1e-6)
    assert kr.weight_digest(model) == before


def test_numbers_of_the_specification(model):
    """{1, 3, 5} under -(w - 2.2)^2: 3 with 1 is better than 3, and 5 makes it worse again."""
    items = constants(model, (1.0, 3.0, 5.0))
    soup = kr.merging.greedy_soup(model, items, score=lambda m: -((first_weight(m) - 2.2) ** 2))
    assert soup.ingredients == (1, 0)
    np.testing.assert_allclose(soup.score, -0.04, rtol=1e-5)
    with kr.merging.uniform_soup(model, items).patched(model):
        np.testing.assert_allclose(first_weight(model), 3.0, rtol=1e-6)


def test_the_patch_gives_the_very_weights_that_were_scored(model):
    items, seen = tuned(model, 4), {}

    def score(m):
        digest = kr.weight_digest(m)
        seen[digest] = int(digest[:8], 16)
        return seen[digest]

    soup = kr.merging.greedy_soup(model, items, score=score)
    with soup.patched(model):
        assert seen[kr.weight_digest(model)] == soup.score
    assert soup.score >= max(soup.scores) and len(seen) == 2 * len(items) - 1


def test_equal_scores_keep_the_first_and_nan_counts_as_worst(model):
    items = constants(model, (1.0, 2.0, 3.0))
    assert kr.merging.greedy_soup(model, items, score=lambda m: 1.0).ingredients == (0,)

    def score(m):
        return np.nan if first_weight(m) < 2.8 else -first_weight(m)

    soup = kr.merging.greedy_soup(model, items, score=score)
    assert soup.ingredients == (2,) and soup.scores[:2] == (-np.inf, -np.inf)
    with pytest.raises(ValueError, match="`score` gives no finite number"):
        kr.merging.greedy_soup(model, items, score=lambda m: float("nan"))


def test_files_and_the_model_itself(tmp_path):
    model, start = shared(), kr.WeightSnapshot(shared())
    items = tuned(model, 2)
    for place, item in enumerate(items):
        item.restore(model)
        model.save_weights(tmp_path / f"{place}.weights.h5")
    start.restore(model)
    files = [tmp_path / f"{place}.weights.h5" for place in range(2)]
    calls = []

    def score(m):
        calls.append(kr.weight_digest(m))
        return len(calls)

    soup = kr.merging.greedy_soup(model, [*files, model], score=score)
    assert calls[:3] == [items[0].digest(), items[1].digest(), start.digest()]
    assert soup.ingredients == (2, 1, 0) and kr.weight_digest(model) == start.digest()
    mean = np.mean([arrays_of(item)[0] for item in (*items, start)], axis=0)
    np.testing.assert_allclose(soup.delta(0), mean - start.arrays[0], rtol=1e-5, atol=1e-9)


def test_statistics_are_estimated_for_every_soup():
    model = models.regularized()
    items = tuned(model, 2)
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    before, norm, seen = kr.weight_digest(model), model.get_layer("norm"), []

    def score(m):
        kernel, bias = (read_variable(v).astype("float64") for v in m.get_layer("first").weights)
        wanted = (x.astype("float64") @ kernel + bias).mean(0)
        np.testing.assert_allclose(read_variable(norm.moving_mean), wanted, rtol=1e-4, atol=1e-5)
        seen.append(kr.weight_digest(m))
        return len(seen)

    soup = kr.merging.greedy_soup(model, items, score=score, batch_norm_data=x)
    assert kr.weight_digest(model) == before and len(seen) == 3
    with soup.patched(model):
        assert kr.weight_digest(model) == seen[-1]
    plain = kr.merging.greedy_soup(model, items, score=lambda m: 1.0)
    assert (deltas(plain)[4] != deltas(soup)[4]).any()


def test_a_failing_score_puts_the_model_back(model):
    before, items = kr.weight_digest(model), tuned(model, 2)

    def score(m):
        assert kr.weight_digest(m) != before
        raise RuntimeError("out of soup")

    with pytest.raises(RuntimeError, match="out of soup"):
        kr.merging.greedy_soup(model, items, score=score)
    assert kr.weight_digest(model) == before


def test_of_ten_files_two_arrays_are_in_memory_at_most(model, tmp_path, monkeypatch):
    """The one that is added and the one before; `evidence/soup_memory.py` weighs the process."""
    files = [tmp_path / f"{place}.weights.h5" for place in range(10)]
    model.save_weights(files[0])
    for path in files[1:]:
        path.write_bytes(files[0].read_bytes())
    read, living, most = WeightFile.read, [], []

    def watched(self, index):
        array = read(self, index)
        living.append(weakref.ref(array))
        living[:] = [reference for reference in living if reference() is not None]
        most.append(len(living))
        return array

    monkeypatch.setattr(WeightFile, "read", watched)
    scores = iter(range(19))
    soup = kr.merging.greedy_soup(model, files, score=lambda m: next(scores))
    assert len(soup.ingredients) == 10 and len(most) == 444 and max(most) <= 2


def test_chosen_layers(model):
    items, seen = tuned(model, 2), []

    def score(m):
        seen.append(read_variable(m.weights[-1]))
        return len(seen)

    soup = kr.merging.greedy_soup(model, items, score=score, layers="first")
    assert soup.paths == ("first/kernel", "first/bias")
    for head in seen:
        np.testing.assert_array_equal(head, read_variable(model.weights[-1]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    (
        ({"score": 3}, TypeError, "`score` must be a function"),
        ({"score": lambda m: {"loss": 1.0}}, TypeError, "`score` must return a number"),
        ({"score": lambda m: None}, TypeError, "`score` must return a number"),
        ({"batch_norm_data": 3}, TypeError, "`batch_norm_data` must be arrays"),
        ({"batch_norm_data": iter([1])}, ValueError, "`batch_norm_data` is read once"),
        ({"batch_norm_data": np.ones((2, 3))}, ValueError, "no batch normalization"),
    ),
)
def test_bad_arguments(model, arguments, error, message):
    before = kr.weight_digest(model)
    with pytest.raises(error, match=message):
        kr.merging.greedy_soup(model, tuned(model, 2), **{"score": lambda m: 1.0, **arguments})
    assert kr.weight_digest(model) == before
