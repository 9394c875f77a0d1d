"""Any sequence of calls: weights follow from what is active, and the originals come back."""

import functools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_reweight.signatures import SignaturePatcher
from keras_reweight.signatures.live_weights import read_weights, write_weights
from keras_reweight.signatures.weight_digest import digest_of
from tests.reweight.signatures import models
from tests.reweight.signatures.patching import assert_same_bits, make, reference_patched

TOUCHED = {"a": (0, 1), "b": (1, 2, 3), "c": (0, 5), "d": (3,)}
LAYERS = ("first", "first", "second", "second", "head", "head")

ALPHAS = (1.0, 0.0, -1.0, 0.3, 2.5, -0.0625, 1e-3, 3.0)
#: Calls that leave the weights alone, and those after the weights were changed behind the patcher.
SETTLE, TRAINED = ("revert", "commit", "rebase"), ("discard", "commit", "rebase")


class Bits:
    """Choices made by bits, which is all that is drawn.

    For other draws hypothesis reads the sources of all loaded modules first, to find numbers worth
    a try, and that takes longer than these tests.
    """

    def __init__(self, bits):
        self.bits = iter(bits)
        self.done = False

    def pick(self, options):
        index, reach = 0, 1
        while reach < len(options):
            bit = next(self.bits, None)
            self.done = self.done or bit is None
            index, reach = 2 * index + bool(bit), 2 * reach
        return options[index % len(options)]

    def call(self):
        kind = self.pick(("set", "set", "set", "set", "remove", "remove", "settle", "trained"))
        if kind == "remove":
            return kind, self.pick(tuple(TOUCHED))
        if kind == "settle":
            return (self.pick(SETTLE),)
        if kind == "trained":
            return self.pick(TRAINED), self.pick(range(6))
        name, alpha = self.pick(tuple(TOUCHED)), self.pick(ALPHAS)
        # One number, or one for the first layer of the patch and one for the others.
        return kind, name, (alpha, self.pick(ALPHAS)) if self.pick((False, True)) else alpha

    def calls(self):
        found = [self.call()]
        while not self.done:
            found.append(self.call())
        return found


@functools.cache
def case(dtype):
    model = models.dense(dtype=dtype)
    patches = {
        name: make(model, name, seed, weights)
        for seed, (name, weights) in enumerate(TOUCHED.items())
    }
    return model, read_weights(model), patches


class Expected:
    """What the calls must give, in NumPy."""

    def __init__(self, start, patches):
        self.base, self.present = dict(start), dict(start)
        self.patches, self.active = patches, {}

    def _write(self, indices):
        self.present.update(
            reference_patched({index: self.base[index] for index in indices}, self.active)
        )

    def put(self, name, by_weight):
        before = self.active.get(name, (None, {}))[1]
        self.active[name] = (self.patches[name], by_weight)
        self._write([i for i in TOUCHED[name] if before.get(i) != by_weight[i]])

    def remove(self, name):
        del self.active[name]
        self._write(TOUCHED[name])

    def touched(self):
        return {index for name in self.active for index in TOUCHED[name]}

    def settle(self, call):
        """`commit`, `rebase`, `revert` or `discard` with the weights as they are."""
        if call == "commit":
            self.base = dict(self.present)
        elif call == "rebase":
            for index in self.touched():
                without = {
                    name: (patch, {i: -value for i, value in by_weight.items()})
                    for name, (patch, by_weight) in self.active.items()
                }
                if self.trained == index:
                    current = {index: self.present[index]}
                    self.base[index] = reference_patched(current, without)[index]
            return
        else:
            self.present.update({index: self.base[index] for index in self.touched()})
        self.active = {}

    trained = None


def by_weight(name, strength):
    """A strength as the patcher takes it, and by position."""
    if isinstance(strength, float):
        return strength, dict.fromkeys(TOUCHED[name], strength)
    layer = LAYERS[TOUCHED[name][0]]
    chosen = {i: strength[0 if LAYERS[i] == layer else 1] for i in TOUCHED[name]}
    return {layer: strength[0], None: strength[1]}, chosen


def perform(model, patcher, expected, call, *arguments):
    if call == "set":
        name, strength = arguments
        alpha, chosen = by_weight(name, strength)
        if name in expected.active:
            patcher.set_alpha(name, alpha)
        else:
            patcher.apply(expected.patches[name], alpha)
        expected.put(name, chosen)
        assert patcher.active[name] == alpha
    elif call == "remove":
        if arguments[0] in expected.active:
            patcher.remove(arguments[0])
            expected.remove(arguments[0])
    else:
        expected.trained = arguments[0] if arguments else None
        if arguments:
            index = arguments[0]
            trained = (expected.present[index] * 0.5).astype(expected.present[index].dtype)
            write_weights(model, {index: trained})
            expected.present[index] = trained
            if index not in expected.touched():
                expected.base[index] = trained
        patcher.revert(discard=True) if call == "discard" else getattr(patcher, call)()
        expected.settle(call)


def check(dtype, bits):
    model, start, patches = case(dtype)
    patcher, expected = SignaturePatcher(model), Expected(start, patches)
    calls = Bits(bits).calls()
    try:
        for call in calls:
            perform(model, patcher, expected, *call)
            assert_same_bits(read_weights(model), expected.present)
            assert set(patcher.active) == set(expected.active)
        for name in list(expected.active):
            perform(model, patcher, expected, "remove", name)
        final = digest_of(read_weights(model))
        assert final == digest_of(expected.base) and patcher.active == {}
        # Nothing but training, and what keeps patched weights, leads anywhere else.
        settled = any(call[0] in TRAINED for call in calls)
        assert settled or final == digest_of(start)
    finally:
        patcher.commit()
        write_weights(model, start)


@pytest.mark.parametrize("dtype", ("float32", "float16", "bfloat16"))
def test_any_sequence_ends_at_the_originals(dtype):
    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @hypothesis.given(bits=st.lists(st.booleans(), min_size=8, max_size=64))
    def run(bits):
        check(dtype, bits)

    run()


def test_the_choices_reach_every_call():
    rng = np.random.default_rng(0)
    calls = [call for _ in range(40) for call in Bits(rng.random(90) < 0.5).calls()]
    kinds = {(call[0], len(call)) for call in calls}
    assert kinds == {("set", 3), ("remove", 2), ("revert", 1), ("discard", 2)} | {
        (name, length) for name in ("commit", "rebase") for length in (1, 2)
    }
    assert {call[1] for call in calls if call[0] == "set"} == set(TOUCHED)
    assert {type(call[2]) for call in calls if call[0] == "set"} == {float, tuple}


def test_a_sequence_that_mixes_all_calls():
    model, start, patches = case("float32")
    patcher, expected = SignaturePatcher(model), Expected(start, patches)
    calls = (
        ("set", "b", 0.5),
        ("set", "a", (0.3, 1.0)),
        ("rebase", 1),
        ("set", "b", (2.0, -1.0)),
        ("remove", "a"),
        ("discard", 2),
        ("set", "c", (0.0, 2.5)),
        ("commit", 5),
        ("set", "d", 1.0),
        ("revert",),
    )
    for call in calls:
        perform(model, patcher, expected, *call)
        assert_same_bits(read_weights(model), expected.present)
    assert digest_of(read_weights(model)) == digest_of(expected.base) != digest_of(start)
    assert patcher.exact and np.isfinite(read_weights(model)[1]).all()
    write_weights(model, start)
