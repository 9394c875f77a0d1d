"""What TensorFlow's converter is told, where there is one."""

import keras
import pytest

from keras_reweight.core.litert_options import integer_optimizations


def test_integers_are_for_tensorflow():
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="TensorFlow backend"):
            integer_optimizations()
        return
    (option,) = integer_optimizations()["optimizations"]
    assert option.name == "DEFAULT"
