import re

import pytest

from keras_reweight.signatures import SignaturePatcher, shallow, weight_digest
from keras_reweight.signatures.alpha import strengths
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models
from tests.reweight.signatures.patching import assert_same_bits, make, reference_patched


@pytest.fixture(scope="module")
def model():
    return models.dense()


@pytest.mark.parametrize(
    ("alpha", "expected"),
    (
        (0.5, (0.5, 0.5, 0.5, 0.5)),
        ({"first": 0.5}, (0.5, 0.5, 1.0, 1.0)),
        ({"first": 0.5, None: 0.0}, (0.5, 0.5, 0.0, 0.0)),
        ({None: 2}, (2.0, 2.0, 2.0, 2.0)),
        ({re.compile("^s"): -1.0, "head": 3.0}, (1.0, 1.0, -1.0, 3.0)),
        ({shallow(1): 0.2, ("second", "head"): 0.4}, (0.2, 0.2, 0.4, 0.4)),
        ({lambda layer: layer.name != "head": 0.1}, (0.1, 0.1, 0.1, 1.0)),
    ),
)
def test_by_weight(model, alpha, expected):
    patch = make(model, "a", weights=(0, 1, 2, 4))
    assert strengths(model, patch, alpha) == dict(zip((0, 1, 2, 4), expected, strict=True))


def test_layer_objects_and_nested_layers():
    nested = models.nested()
    patch = make(nested, "a", weights=(0, 2, 4))
    inner = nested.get_layer("inner")
    for key in ("inner", inner, "inner/inner_first", inner.layers[0]):
        first = strengths(nested, patch, {key: 0.5})
        assert first[0] == 0.5 and first[4] == 1.0
        assert first[2] == (0.5 if key in ("inner", inner) else 1.0)


@pytest.mark.parametrize(
    ("alpha", "error", "message"),
    (
        ({}, ValueError, "`alpha` names no layer"),
        ({"first": "1"}, TypeError, "`alpha` must be a number"),
        ({"first": float("nan")}, ValueError, "`alpha` must be finite"),
        ({"third": 1.0}, ValueError, "`alpha`: no layer named 'third'"),
        ({3: 1.0}, TypeError, "`alpha` takes layer names"),
        ({"head": 1.0}, ValueError, "`alpha`: patch 'a' changes no weight of 'head'.*first/kernel"),
        ({"first": 1.0, shallow(2): 0.5}, ValueError, "`alpha` has two values for 'first/kernel'"),
    ),
)
def test_what_is_refused_changes_nothing(model, alpha, error, message):
    patch, patcher, before = make(model, "a"), SignaturePatcher(model), weight_digest(model)
    with pytest.raises(error, match=message):
        patcher.apply(patch, alpha)
    assert weight_digest(model) == before and patcher.active == {}
    patcher.apply(patch)
    with pytest.raises(error, match=message):
        patcher.set_alpha("a", alpha)
    assert patcher.active == {"a": 1.0}
    patcher.revert()
    assert weight_digest(model) == before


def test_on_a_model(model):
    base, patch = read_weights(model), make(model, "a", weights=(0, 2, 4))
    patcher, given = SignaturePatcher(model), {"first": 0.5, None: 2.0}
    patcher.apply(patch, given)
    expected = reference_patched(base, {"a": (patch, {0: 0.5, 2: 2.0, 4: 2.0})})
    assert_same_bits(read_weights(model), expected)
    given["first"] = 7.0
    assert patcher.active == {"a": {"first": 0.5, None: 2.0}}
    patcher.active["a"]["first"] = 7.0
    patcher.set_alpha("a", {"second": -1.0, None: 0.5})
    expected = reference_patched(base, {"a": (patch, {0: 0.5, 2: -1.0, 4: 0.5})})
    assert_same_bits(read_weights(model), expected)
    patcher.revert()
    assert_same_bits(read_weights(model), base)
