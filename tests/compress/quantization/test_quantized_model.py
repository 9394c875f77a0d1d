"""The container of a quantized model."""

import keras
import numpy as np
import pytest

from keras_compress.grids import AffineGrid, QuantizedMatrix
from keras_compress.quantization import ActivationRange, QuantizedModel


def _stored(shape=(4, 3)):
    codes = np.zeros(shape, "uint8")
    return QuantizedMatrix(codes, AffineGrid(2, scale=1.0), shape, (1,))


def test_bytes_are_those_of_codes_and_of_all_other_weights():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    quantized = QuantizedModel(model, {model.layers[0].kernel.path: _stored()})
    assert quantized.num_bytes == 3 + 4 + 3 * 4
    assert QuantizedModel(model, {}).num_bytes == 15 * 4


def test_matrices_must_fit_the_model():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="no weight 'dense/else'"):
        QuantizedModel(model, {"dense/else": _stored()})
    with pytest.raises(ValueError, match="shape"):
        QuantizedModel(model, {model.layers[0].kernel.path: _stored((3, 3))})


@pytest.mark.parametrize(
    "arguments",
    [
        {"bits": 1, "scale": 1.0},
        {"bits": 8, "scale": 0.0},
        {"bits": 8, "scale": 1.0, "zero_point": 200},
        {"bits": 8, "scale": 1.0, "zero_point": -1, "signed": False},
    ],
)
def test_ranges_are_checked(arguments):
    with pytest.raises(ValueError):
        ActivationRange(**arguments)
