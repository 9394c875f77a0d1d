"""Plain signs: no scale, no axis."""

import numpy as np
import pytest

import keras_compress as kc
from tests.compress.quantization.common import normal, numpy


def test_any_shape_has_one_scale():
    x = normal(2, 3, 4)
    quantizer = kc.quantizers.BooleanQuantizer()
    np.testing.assert_array_equal(numpy(quantizer(x)), np.sign(x))
    assert quantizer.granularity.scale_shape == () and quantizer.variables == []
    wrapped = type(quantizer).from_config({**quantizer.get_config(), "axis": (0, 1)})
    np.testing.assert_array_equal(numpy(wrapped(x)), np.sign(x))


def test_groups_are_refused():
    with pytest.raises(ValueError, match="`group_size`.* got 2"):
        kc.quantizers.BooleanQuantizer(group_size=2)
