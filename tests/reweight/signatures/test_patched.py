import numpy as np
import pytest

from keras_reweight.signatures import Patch, SignaturePatcher, patched, weight_digest
from tests.reweight.signatures import models


def make(model, name, seed=0, weights=(0, 1)):
    rng = np.random.default_rng(seed)
    variables = [model.weights[i] for i in weights]
    return Patch.from_deltas(
        model, [(v, rng.normal(size=tuple(v.shape))) for v in variables], name=name
    )


def applied(model, patches):
    """The digest with these (patch, alpha) on."""
    patcher = SignaturePatcher(model)
    for patch, alpha in patches:
        patcher.apply(patch, alpha)
    found = weight_digest(model)
    patcher.revert()
    return found


@pytest.fixture
def model():
    return models.dense()


def test_one_patch(model):
    patch, before = make(model, "a"), weight_digest(model)
    expected = applied(model, [(patch, 0.4)])
    with patched(model, patch, 0.4) as same:
        assert same is model and weight_digest(model) == expected
    assert weight_digest(model) == before


@pytest.mark.parametrize(("alpha", "both"), ((0.4, (0.4, 0.4)), ({"b": 0.1, "a": 2.0}, (2.0, 0.1))))
def test_several_patches(model, alpha, both):
    a, b, before = make(model, "one", 0), make(model, "two", 1, (1, 2)), weight_digest(model)
    expected = applied(model, [(a.renamed("a"), both[0]), (b.renamed("b"), both[1])])
    with patched(model, {"a": a, "b": b}, alpha):
        assert weight_digest(model) == expected
    assert weight_digest(model) == before


def test_a_strength_for_each_layer(model):
    a, b, before = make(model, "a", 0, (0, 2)), make(model, "b", 1, (2, 4)), weight_digest(model)
    parts = {i: make(model, "part", 0, (0, 2)).delta(i) for i in (0, 2)}
    deltas = [(model.weights[0], 0.3 * parts[0]), (model.weights[2], 2.0 * parts[2])]
    expected = applied(model, [(Patch.from_deltas(model, deltas, name="a"), 1.0)])
    with patched(model, a, {"first": 0.3, "second": 2.0}):
        assert weight_digest(model) == expected
    both = applied(model, [(a, {"first": 0.3, "second": 2.0}), (b, {"head": 0.0})])
    with patched(model, {"a": a, "b": b}, {"a": {"first": 0.3, None: 2.0}, "b": {"head": 0.0}}):
        assert weight_digest(model) == both != expected
    assert weight_digest(model) == before


@pytest.mark.parametrize("error", (ValueError, KeyboardInterrupt, GeneratorExit))
def test_exceptions_restore_and_pass(model, error):
    before = weight_digest(model)
    with pytest.raises(error), patched(model, make(model, "a")):
        assert weight_digest(model) != before
        raise error("stop")
    assert weight_digest(model) == before
    with patched(model, make(model, "a")):
        pass


def test_blocks_nest_and_may_end_in_any_order(model):
    a, b, before = make(model, "a", 0), make(model, "b", 1, (1, 2)), weight_digest(model)
    only_a, only_b, both = (
        applied(model, pairs) for pairs in ([(a, 1.0)], [(b, 1.0)], [(a, 1.0), (b, 1.0)])
    )
    with patched(model, a):
        with patched(model, b):
            assert weight_digest(model) == both
        assert weight_digest(model) == only_a
    first, second = patched(model, a), patched(model, b)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert weight_digest(model) == only_b
    second.__exit__(None, None, None)
    assert weight_digest(model) == before


def test_while_a_patcher_is_at_work(model):
    a, b = make(model, "a", 0), make(model, "b", 1)
    patcher, before = SignaturePatcher(model), weight_digest(model)
    patcher.apply(a)
    during = weight_digest(model)
    with patched(model, b):
        assert patcher.active == {"a": 1.0, "b": 1.0}
    assert weight_digest(model) == during and patcher.active == {"a": 1.0}
    with pytest.raises(ValueError, match="`name`='a' is already active"), patched(model, a):
        pass
    patcher.revert()
    assert weight_digest(model) == before


@pytest.mark.parametrize(
    ("signatures", "alpha", "error", "message"),
    (
        (lambda m: {}, 1.0, ValueError, "`signatures` is empty"),
        (lambda m: [make(m, "a")], 1.0, TypeError, "`signatures` must be a Patch or a dict"),
        (lambda m: {"a": make(m, "a"), "b": 3}, 1.0, TypeError, r"`signatures`\['b'\]"),
        (lambda m: {3: make(m, "a")}, 1.0, TypeError, "`signatures` needs strings"),
        (lambda m: make(m, "a"), "1", TypeError, "`alpha`"),
        (lambda m: make(m, "a"), float("inf"), ValueError, "`alpha`"),
        (lambda m: make(m, "a"), {"b": 1.0}, ValueError, "`alpha`: no layer named 'b'"),
        (lambda m: make(m, "a"), {"head": 1.0}, ValueError, "`alpha`: patch 'a' changes no weight"),
        (lambda m: {"a": make(m, "a")}, {"b": 1.0}, ValueError, r"`alpha` names \['b'\]"),
        (lambda m: {"a": make(m, "a")}, {"a": {"b": 1}}, ValueError, "`alpha`: no layer named 'b'"),
        (
            lambda m: {"a": make(m, "a"), "b": make(models.dense(units=6), "b")},
            1.0,
            ValueError,
            "Patch 'b' .*another architecture",
        ),
        (lambda m: {"a": make(m, "a"), "b": make(m, "b") * 1e300}, 1.0, ValueError, "overflow"),
    ),
)
def test_what_is_refused_changes_nothing(model, signatures, alpha, error, message):
    before = weight_digest(model)
    with pytest.raises(error, match=message), patched(model, signatures(model), alpha):
        raise AssertionError("the block must not run")
    assert weight_digest(model) == before
    SignaturePatcher(model).apply(make(model, "later"))


def test_what_is_refused_is_refused_before_the_block_is_entered(model):
    with pytest.raises(ValueError, match="`signatures` is empty"):
        patched(model, {})
    with pytest.raises(TypeError, match="`model`"):
        patched("model", make(model, "a"))
    with pytest.raises(ValueError, match="another architecture"):
        make(models.dense(units=6), "a").patched(model)


def test_training_inside_the_block_is_not_lost(model):
    block = patched(model, make(model, "a"))
    block.__enter__()
    model.weights[0].assign_add(np.ones((3, 5)))
    trained = weight_digest(model)
    with pytest.raises(RuntimeError, match="changed while patched"):
        block.__exit__(None, None, None)
    assert weight_digest(model) == trained


def test_an_error_after_training_inside_the_block_is_the_one_that_passes(model):
    with pytest.raises(KeyError) as info, patched(model, make(model, "a")):
        model.weights[0].assign_add(np.ones((3, 5)))
        raise KeyError("cause")
    assert "['a'] were left on: Weights of model" in info.value.__notes__[0]
