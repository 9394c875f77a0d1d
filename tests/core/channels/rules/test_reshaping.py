import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core.channels.rules.reshaping import reshaped
from keras_reweight.core.channels.trace import Call, Trace, Tracked
from tests.compress.structured.pruned import check_pruning, images, sizes


def test_flatten_squeeze_excite_and_back_to_an_image():
    x = keras.Input((4, 4, 3))
    y = layers.Conv2D(4, 1, name="conv")(x)
    gate = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(y))
    y = layers.Multiply()([y, layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)])
    y = layers.Permute((3, 1, 2))(y)
    y = layers.Flatten()(layers.Permute((2, 3, 1))(y))
    y = layers.Dense(2 * 2 * 4, name="image")(y)
    y = layers.Reshape((-1, 2, 4))(y)
    graph, small = check_pruning(keras.Model(x, layers.Conv2D(2, 1)(y)), images(4))
    # A channel of the image is one unit of the dense layer for each of its four pixels.
    assert sizes(graph) == {"conv": 4, "image": 4}
    assert small.get_layer("image").units == 8


@pytest.mark.parametrize(
    ("shape", "axis", "target", "expected_axis"),
    [
        ((None, 2, 3, 4), 3, (None, 6, 4), 2),
        ((None, 4, 2, 3), 1, (None, 4, 6), 1),
        ((None, None, 4), 2, (None, 1, None, 4), 3),
        ((None, 2, 3, 4), 3, (None, 24), 1),
        ((None, 4, 2, 3), 1, (None, 24), 1),
        ((None, 12), 1, (None, 3, 4), 2),
        ((None, None, 4), 2, (None, None), None),
    ],
)
def test_positions_are_those_of_numpy(shape, axis, target, expected_axis):
    trace = Trace({})
    x = Tracked(shape, axis, trace.new(shape[axis]))
    y = reshaped(Call(trace, None, "reshape", [x], [target]), x, target)
    assert y.axis == expected_axis
    if expected_axis is None:
        assert trace.freezes
        return
    ones = [-1 if one == axis else 1 for one in range(1, len(shape))]
    if None not in shape[1:]:
        grid = np.broadcast_to(x.atoms.reshape(ones), shape[1:]).reshape(target[1:])
        united = {atom: atom for atom in x.atoms.tolist()}
        for left, right in trace.edges:
            united.update(zip(right.tolist(), left.tolist(), strict=True))
        rows = np.moveaxis(grid, expected_axis - 1, -1).reshape(-1, target[expected_axis])
        for row in rows:
            assert [united[atom] for atom in row] == [united[atom] for atom in y.atoms]
