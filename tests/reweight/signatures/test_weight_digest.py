import hashlib

import keras
import pytest

from keras_reweight.signatures import weight_digest
from tests import parity_record
from tests.reweight.signatures import models


def reference_weight_digest(arrays):
    total = hashlib.sha256()
    for index, array in enumerate(arrays):
        inner = hashlib.sha256(f"{array.dtype}|{array.shape}|".encode() + array.tobytes())
        total.update(f"{index}:{inner.hexdigest()}|".encode())
    return total.hexdigest()


@pytest.mark.parametrize("kind", models.KINDS)
def test_equals_the_reference_on_every_backend(kind):
    model = models.build(kind)
    arrays = [keras.ops.convert_to_numpy(variable) for variable in model.weights]
    digest = weight_digest(model)
    assert digest == reference_weight_digest(arrays)
    parity_record.record(f"weight_digest/{kind}", list(bytes.fromhex(digest)))


def test_one_bit_changes_it_and_names_do_not():
    first, second = models.functional(), models.functional()
    assert weight_digest(first) == weight_digest(second)
    bits = keras.ops.convert_to_numpy(second.layers[-1].bias).view("uint32").copy()
    bits[0] ^= 1
    second.layers[-1].bias.assign(bits.view("float32"))
    assert weight_digest(first) != weight_digest(second)


def test_swapping_two_weights_of_one_shape_changes_it():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    first, second = (layer.kernel for layer in model.layers)
    before = weight_digest(model)
    values = [keras.ops.convert_to_numpy(variable) for variable in (first, second)]
    first.assign(values[1])
    second.assign(values[0])
    assert weight_digest(model) != before


def test_refuses_what_is_no_built_model():
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        weight_digest(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="not built"):
        weight_digest(keras.Sequential([keras.layers.Dense(1)]))
