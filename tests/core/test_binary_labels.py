"""Binary labels and scores as columns."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.binary_labels import binary_columns


@pytest.mark.parametrize("labels", [(4,), (4, 1)])
@pytest.mark.parametrize("scores", [(4,), (4, 1)])
def test_one_column_in_every_form(labels, scores):
    y = np.array([0, 1, 1, 0]).reshape(labels)
    found = binary_columns(y, np.arange(4, dtype="float32").reshape(scores))
    np.testing.assert_array_equal(ops.convert_to_numpy(found[0]), [[0], [1], [1], [0]])
    np.testing.assert_array_equal(ops.convert_to_numpy(found[1]), [[0], [1], [2], [3]])


def test_several_columns_and_booleans():
    y, p = np.eye(3, dtype=bool), np.ones((3, 3), "float32")
    labels, scores = binary_columns(y, p)
    np.testing.assert_array_equal(ops.convert_to_numpy(labels), np.eye(3))
    assert tuple(scores.shape) == (3, 3)


@pytest.mark.parametrize(
    ("labels", "scores", "name"),
    [
        ((4,), (4, 2), "y_true"),
        ((3,), (4,), "y_true"),
        ((4, 2), (4,), "y_true"),
        ((4,), (), "y_pred"),
    ],
)
def test_shapes_that_do_not_fit(labels, scores, name):
    with pytest.raises(ValueError, match=name):
        binary_columns(np.zeros(labels), np.zeros(scores, "float32"))
