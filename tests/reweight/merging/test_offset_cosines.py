import numpy as np

import keras_reweight as kr
from tests import parity_record
from tests.reweight.merging.ingredients import arrays_of, shared, tuned
from tests.reweight.signatures import models


def reference_offset_cosines(model, tuned):
    base = np.concatenate([array.ravel() for array in arrays_of(model)])
    offsets = [
        np.concatenate([array.ravel() for array in arrays_of(item)]) - base for item in tuned
    ]
    return np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in offsets] for a in offsets])


def test_formula():
    model = shared()
    items = tuned(model, 3)
    found = kr.merging.offset_cosines(model, items)
    np.testing.assert_allclose(found, reference_offset_cosines(model, items), rtol=1e-9)
    parity_record.record("merging/offset_cosines", found)


def test_no_change_and_chosen_layers():
    model = shared()
    items = [*tuned(model, 2), kr.WeightSnapshot(model)]
    found = kr.merging.offset_cosines(model, items)
    np.testing.assert_array_equal(found[2], [0.0, 0.0, 1.0])
    chosen = kr.merging.offset_cosines(model, items, layers="first")
    assert chosen[0, 1] != found[0, 1]


def test_moving_statistics_do_not_count():
    model = models.regularized()
    items = tuned(model, 2)
    before = kr.merging.offset_cosines(model, items)
    for item in items:
        item.arrays = tuple(
            array + 5.0 if "moving" in variable.path else array
            for variable, array in zip(model.weights, item.arrays, strict=True)
        )
    np.testing.assert_array_equal(kr.merging.offset_cosines(model, items), before)
