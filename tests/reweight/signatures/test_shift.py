import ml_dtypes
import numpy as np
import pytest

from keras_reweight.signatures import codecs, encoded
from keras_reweight.signatures.shift import shifted

DTYPES = ("float32", "float16", ml_dtypes.bfloat16, "float64")


def reference_shifted(base, terms):
    """All at once: sum in float64, cast once, keep what is not moved."""
    total = np.zeros(base.shape)
    for strength, coefficient, array in terms:
        total = total + strength * (coefficient * array)
    return np.where(total == 0.0, base, (base.astype("float64") + total).astype(base.dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_the_reference_across_blocks(dtype, monkeypatch):
    monkeypatch.setattr(encoded, "_BLOCK", 12)
    rng = np.random.default_rng(0)
    for shape in ((), (5,), (9, 5), (3, 2, 4, 5)):
        base = np.asarray(rng.normal(size=shape).astype(dtype))
        stored = [codecs.encode(rng.normal(size=shape), "sparse_int8", density=0.4)]
        stored.append(codecs.encode(rng.normal(size=shape), "int8"))
        numbers = ((0.3, -1.5), (2.0, 0.1))
        terms = [(*pair, encoded.row_reader(s)) for pair, s in zip(numbers, stored, strict=True)]
        arrays = [(*pair, encoded.decode(s)) for pair, s in zip(numbers, stored, strict=True)]
        found = shifted(base, terms, "kernel")
        expected = reference_shifted(base, arrays)
        assert found.dtype == base.dtype and found.shape == shape
        assert found.tobytes() == expected.tobytes() != base.tobytes()


def test_without_terms_it_is_a_copy():
    base = np.ones(3, "float32")
    found = shifted(base, [], "kernel")
    found[:] = 2.0
    assert base[0] == 1.0


def test_overflow_in_any_block_is_refused(monkeypatch):
    monkeypatch.setattr(encoded, "_BLOCK", 4)
    base = np.array([[np.inf, np.nan], [1.0, 1.0], [1.0, 60000.0]], "float16")
    delta = np.full((3, 2), 100.0)
    read = encoded.row_reader(codecs.encode(delta, "float64"))
    moved = shifted(base, [(1.0, 1.0, read)], "kernel")
    np.testing.assert_array_equal(np.isfinite(moved), np.isfinite(base))
    with pytest.raises(ValueError, match="weight 'kernel' would overflow float16"):
        shifted(base, [(100.0, 1.0, read)], "kernel")
