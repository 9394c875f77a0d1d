"""Small floating point formats: every level and tie as the reference implementation rounds."""

import ml_dtypes
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.quantizers.float_levels import FORMATS, float_levels
from keras_reweight.core.testing.backends import evaluate
from tests.compress.quantization.common import KERNEL, normal, numpy

DTYPES = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
formats = pytest.mark.parametrize("name", sorted(DTYPES))


def reference(inputs, format):
    scale = np.abs(inputs).max(axis=0, keepdims=True) / FORMATS[format].largest
    return (inputs / scale).astype("float32").astype(DTYPES[format]).astype("float64") * scale


@formats
def test_levels_are_all_finite_numbers_of_the_format(name):
    codes = np.arange(2 ** FORMATS[name].bits, dtype="uint8")
    every = codes.view(DTYPES[name]) if name != "e2m1" else codes.astype(DTYPES[name])
    if name == "e2m1":
        every = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
        every = np.concatenate([-every, every])
    every = every.astype("float64")
    every = np.unique(every[np.isfinite(every)])
    levels, borders = float_levels(name)
    np.testing.assert_array_equal(levels, every)
    assert len(borders) == len(levels) - 1 and levels.max() == FORMATS[name].largest


@formats
def test_rounds_like_the_format_ties_included(name):
    levels, _ = float_levels(name)
    middles = (levels[1:] + levels[:-1]) / 2
    x = np.concatenate([levels, middles, np.nextafter(middles, np.float32(np.inf)), normal(50) * 3])
    x = x.astype("float32")
    quantizer = kc.quantizers.FloatQuantizer(name, axis=None, scaled=False)
    expected = x.astype(DTYPES[name]).astype("float32")
    beyond = np.float32([2.0, -9.0]) * levels[-1]
    found = evaluate(quantizer, np.append(x, beyond))
    np.testing.assert_array_equal(found, np.append(expected, np.sign(beyond) * levels[-1]))


def test_groups_of_inputs_have_scales():
    x = normal(7, 3) * np.float32([[9.0], [1.0], [0.1], [5.0], [1.0], [1.0], [0.2]])
    expected = np.concatenate([reference(x[begin : begin + 3], "e2m1") for begin in (0, 3, 6)])
    found = numpy(kc.quantizers.FloatQuantizer("e2m1", group_size=3)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`group_size`=3"):
        kc.quantizers.FloatQuantizer("e2m1", group_size=3, scaled=False)


def test_the_largest_magnitude_is_exact():
    found = numpy(kc.quantizers.FloatQuantizer("e2m1")(KERNEL))
    largest = np.abs(KERNEL).argmax(axis=0), np.arange(3)
    np.testing.assert_allclose(found[largest], KERNEL[largest], rtol=1e-6)
    assert np.isnan(numpy(kc.quantizers.FloatQuantizer()(np.array([[np.nan]], "float32")))).all()
