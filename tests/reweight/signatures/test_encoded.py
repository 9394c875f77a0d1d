import numpy as np
import pytest

from keras_reweight.signatures import codecs, encoded

SHAPES = ((), (5,), (7, 4), (3, 3, 2, 5), (3, 3, 6, 1), (1, 9))


@pytest.mark.parametrize("codec", codecs.CODECS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_those_of_the_whole(shape, codec):
    array = np.random.default_rng(0).normal(size=shape)
    stored = codecs.encode(array, codec, rank=1)
    rows, columns = encoded.as_matrix(shape)
    assert rows * columns == array.size
    whole = encoded.decode(stored).reshape(rows, columns)
    read = encoded.row_reader(stored)
    for start in range(rows):
        for stop in (start + 1, rows):
            piece = read(start, stop)
            assert piece.dtype == np.float64
            assert piece.tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize("axis", range(4))
def test_int8_with_scales_along_any_axis(axis):
    """Files may have them elsewhere than `encode` puts them."""
    shape = (2, 3, 4, 5)
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, shape).astype("int8")
    scales = rng.uniform(0.1, 1.0, shape[axis]).astype("float32")
    stored = codecs.from_parts("int8", shape, axis, {"q": codes, "s": scales})
    along = scales.astype("float64").reshape([-1 if i == axis else 1 for i in range(4)])
    np.testing.assert_array_equal(encoded.decode(stored), codes * along)
    piece = encoded.row_reader(stored)(5, 17)
    np.testing.assert_array_equal(piece, (codes * along).reshape(24, 5)[5:17])


@pytest.mark.parametrize("shape", (*SHAPES, (0, 3), (3, 0), (600_000, 1), (3, 60_000)))
def test_blocks_cover_the_rows(shape):
    rows, columns = encoded.as_matrix(shape)
    found = [row for start, stop in encoded.row_blocks(shape) for row in range(start, stop)]
    assert found == list(range(rows))
    assert all((stop - start) * columns <= 2**16 for start, stop in encoded.row_blocks(shape))


def test_positions_of_gaps():
    gaps = np.array([0, 0, 3, 255, 0], "uint8")
    np.testing.assert_array_equal(encoded.positions(gaps), [0, 1, 5, 261, 262])
