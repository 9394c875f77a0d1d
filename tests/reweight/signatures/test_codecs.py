import numpy as np
import pytest

from keras_reweight.signatures import codecs

SHAPES = ((7,), (), (6, 5), (3, 3, 4, 5), (3, 3, 6, 1), (1, 1), (2, 1))


def values(shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=shape)


def reference_int8(array, axis):
    """Round to the grid `-127..127 * scale`, one scale per entry of `axis`, in float64."""
    moved = np.moveaxis(array, axis, 0)
    found = np.zeros_like(moved)
    for channel in range(moved.shape[0]):
        largest = np.abs(moved[channel]).max()
        if largest > 0.0:
            scale = float(np.float32(largest / 127))
            found[channel] = np.round(moved[channel] / scale).clip(-127, 127) * scale
    return np.moveaxis(found, 0, axis)


def reference_low_rank(array, rank):
    matrix = array.reshape(-1, array.shape[-1])
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    left = u[:, :rank] @ np.diag(np.sqrt(s[:rank]))
    right = np.diag(np.sqrt(s[:rank])) @ vt[:rank]
    return (reference_int8(left, 1) @ reference_int8(right, 0)).reshape(array.shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("codec", codecs.CODECS)
def test_shape_and_size(codec, shape):
    encoded = codecs.encode(values(shape), codec)
    found = codecs.decode(encoded)
    assert found.shape == shape and found.dtype == np.float64
    assert encoded.nbytes == sum(part.nbytes for part in encoded.parts.values())
    again = codecs.from_parts(encoded.codec, shape, encoded.axis, encoded.parts)
    np.testing.assert_array_equal(codecs.decode(again), found)


@pytest.mark.parametrize(("codec", "size"), (("float64", 8), ("float32", 4), ("float16", 2)))
def test_floats_round_once(codec, size):
    for array in (values((4, 3)), values((5,)), np.array(0.1)):
        encoded = codecs.encode(array, codec)
        np.testing.assert_array_equal(codecs.decode(encoded), array.astype(codec).astype("float64"))
        assert encoded.codec == codec and encoded.nbytes == size * array.size


@pytest.mark.parametrize(
    ("shape", "axis"), (((6, 5), 1), ((3, 3, 4, 5), 3), ((3, 3, 6, 1), 2), ((4, 1), 1))
)
def test_int8_equals_the_reference_and_is_within_half_a_scale(shape, axis):
    array = values(shape, scale=1e-3)
    encoded = codecs.encode(array, "int8")
    assert encoded.axis == axis and encoded.parts["q"].dtype == np.int8
    found = codecs.decode(encoded)
    np.testing.assert_allclose(found, reference_int8(array, axis), rtol=1e-15, atol=0.0)
    scale = np.abs(array).max(axis=tuple(i for i in range(array.ndim) if i != axis), keepdims=True)
    assert (np.abs(found - array) <= scale / 127 / 2 * (1 + 1e-5)).all()


def test_int8_of_a_hand_computed_matrix():
    array = np.array([[127.0, -1.0], [0.4, 0.5], [-63.6, 0.0]])
    encoded = codecs.encode(array, "int8")
    np.testing.assert_array_equal(encoded.parts["q"], [[127, -127], [0, 64], [-64, 0]])
    np.testing.assert_allclose(encoded.parts["s"], [1.0, 1 / 127], rtol=1e-7)


def test_int8_keeps_zero_and_channels_without_change():
    array = np.array([[0.0, 0.0, 1e-42], [0.0, 3.0, -1e-45]])
    found = codecs.decode(codecs.encode(array, "int8"))
    np.testing.assert_array_equal(found[:, 0], 0.0)
    np.testing.assert_array_equal(found[0, 1], 0.0)
    np.testing.assert_array_equal(found[:, 2], 0.0)
    np.testing.assert_allclose(found[1, 1], 3.0, rtol=1e-7)


def test_rounds_ties_to_even():
    array = np.array([[127.0], [0.5], [1.5], [-2.5]])
    codes = codecs.encode(array, "int8").parts["q"]
    np.testing.assert_array_equal(codes, [[127], [0], [2], [-2]])


@pytest.mark.parametrize("rank", (1, 2, 3))
def test_low_rank_equals_the_reference(rank):
    array = values((3, 3, 4, 12))
    encoded = codecs.encode(array, "low_rank_int8", rank=rank)
    assert encoded.codec == "low_rank_int8" and encoded.parts["a"].shape == (36, rank)
    found = codecs.decode(encoded)
    np.testing.assert_allclose(found, reference_low_rank(array, rank), rtol=1e-10, atol=1e-12)


def test_low_rank_finds_the_rank_and_the_matrix():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30))
    encoded = codecs.encode(array, "low_rank_int8", energy=0.9999)
    assert encoded.parts["a"].shape == (40, 2)
    error = np.linalg.norm(codecs.decode(encoded) - array) / np.linalg.norm(array)
    assert error < 0.02


@pytest.mark.parametrize("energy", (0.3, 0.6, 0.9, 1.0))
def test_low_rank_takes_the_smallest_rank_that_keeps_the_energy(energy):
    array = values((200, 150)) * np.linspace(1.0, 0.0, 150) ** 8
    squared = np.linalg.svd(array, compute_uv=False) ** 2
    encoded = codecs.encode(array, "low_rank_int8", energy=energy)
    if encoded.codec == "int8":
        assert energy == 1.0
        return
    rank = encoded.parts["sa"].shape[0]
    assert squared[:rank].sum() >= energy * squared.sum() * (1 - 1e-12)
    assert squared[: rank - 1].sum() < energy * squared.sum()


def test_low_rank_falls_back_to_int8_where_that_is_smaller():
    assert codecs.encode(values((6, 5)), "low_rank_int8", rank=4).codec == "int8"
    assert codecs.encode(values((3, 3, 6, 1)), "low_rank_int8").codec == "int8"
    assert codecs.encode(values((6, 5)), "low_rank_int8", rank=2).codec == "low_rank_int8"
    np.testing.assert_array_equal(
        codecs.decode(codecs.encode(np.zeros((6, 5)), "low_rank_int8")), np.zeros((6, 5))
    )


def reference_sparse(array, density):
    """The largest numbers on one grid `-127..127 * scale`, the first of equal ones; else zero."""
    flat = array.ravel()
    order = sorted(range(flat.size), key=lambda i: (-abs(flat[i]), i))
    kept = np.zeros_like(flat)
    chosen = order[: max(1, round(density * flat.size))]
    kept[chosen] = flat[chosen]
    return reference_int8(kept[None], 0).reshape(array.shape)


@pytest.mark.parametrize("density", (1e-4, 0.01, 0.2, 0.45))
@pytest.mark.parametrize("shape", ((40, 25), (3, 3, 8, 20), (3, 3, 300, 1)))
def test_sparse_equals_the_reference(shape, density):
    array = values(shape)
    encoded = codecs.encode(array, "sparse_int8", density=density)
    assert encoded.codec == "sparse_int8"
    found, expected = codecs.decode(encoded), reference_sparse(array, density)
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0.0)
    assert np.count_nonzero(found) == max(1, round(density * array.size))


def test_sparse_of_a_hand_computed_matrix():
    array = np.zeros((40, 25))
    array[0, 1], array[0, 2], array[10, 7], array[39, 24] = 127.0, -2.0, 64.0, -127.0
    encoded = codecs.encode(array, "sparse_int8", density=0.004)
    # 254 entries fit into one gap; 740 take two bytes of 255 (256 entries each) and one of 227.
    np.testing.assert_array_equal(encoded.parts["g"], [1, 0, 254, 255, 255, 229])
    np.testing.assert_array_equal(encoded.parts["q"], [127, -2, 64, 0, 0, -127])
    np.testing.assert_array_equal(encoded.parts["s"], [1.0])
    np.testing.assert_array_equal(codecs.decode(encoded), array)


def test_sparse_takes_the_first_of_equal_numbers():
    array = np.where(np.arange(200) % 2, 1.0, -1.0).reshape(10, 20)
    found = codecs.decode(codecs.encode(array, "sparse_int8", density=0.1))
    np.testing.assert_array_equal(np.flatnonzero(found), np.arange(20))


def test_sparse_of_nothing_is_empty():
    encoded = codecs.encode(np.zeros((6, 5)), "sparse_int8")
    assert encoded.nbytes == 4 and not codecs.decode(encoded).any()


def test_sparse_falls_back_to_int8_where_that_is_smaller():
    assert codecs.encode(values((40, 5)), "sparse_int8", density=0.7).codec == "int8"
    assert codecs.encode(values((7,)), "sparse_int8").codec == "float32"


def test_arrays_that_are_not_contiguous_are_stored_in_order():
    array = values((5, 6)).T
    encoded = codecs.encode(array, "float64")
    assert encoded.parts["d"].flags.c_contiguous
    np.testing.assert_array_equal(codecs.decode(encoded), array)
    sparse = codecs.decode(codecs.encode(array, "sparse_int8", density=0.1))
    np.testing.assert_allclose(sparse, reference_sparse(array, 0.1), rtol=1e-15)


def test_parts_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        codecs.encode(values((3, 2)), "int8").parts["q"][:] = 0


def test_a_change_that_float32_cannot_hold_is_refused():
    for codec, array in (("float32", np.array([1e39])), ("int8", np.full((2, 2), 1e300))):
        with pytest.raises(ValueError, match="does not fit into float32"):
            codecs.encode(array, codec)
    with pytest.raises(ValueError, match="does not fit into float16; use codec 'float32'"):
        codecs.encode(np.array([7e4]), "float16")
    assert codecs.decode(codecs.encode(np.array([1e39]), "float64"))[0] == 1e39


def int8_parts(shape=(2, 3)):
    return {"q": np.ones(shape, "int8"), "s": np.ones(shape[-1], "float32")}


def low_rank_parts():
    ones = np.ones
    return {
        "a": ones((2, 1), "int8"),
        "sa": ones(1, "float32"),
        "b": ones((1, 3), "int8"),
        "sb": ones(1, "float32"),
    }


def sparse_parts(gaps=(0, 4), **parts):
    count = len(gaps)
    found = {"g": np.array(gaps, "uint8"), "q": np.ones(count, "int8"), "s": np.ones(1, "float32")}
    return {**found, **parts}


@pytest.mark.parametrize(
    ("codec", "shape", "axis", "parts", "defect"),
    (
        ("zip", (2, 3), None, {}, "unknown codec 'zip'"),
        (["int8"], (2, 3), None, {}, "unknown codec"),
        ("float32", (2, 3), None, {"d": np.ones((3, 2), "float32")}, "of shape"),
        ("float32", (2, 3), None, {"d": np.ones((2, 3))}, "must be float32"),
        ("float32", (2,), None, {}, "has parts"),
        ("float64", (2,), None, {"d": np.array([1.0, np.nan])}, "not finite"),
        ("float64", (2,), 0, {"d": np.ones(2)}, "has no axis"),
        ("int8", (2, 3), 2, int8_parts(), "axis 2"),
        ("int8", (2, 3), True, int8_parts(), "axis True"),
        ("int8", (2, 3), 0, int8_parts(), "'s' must be float32 of shape"),
        ("int8", (3,), 0, int8_parts(), "two axes"),
        ("int8", (2, 3), 1, {**int8_parts(), "q": np.full((2, 3), -128, "int8")}, "-127..127"),
        ("int8", (2, 3), 1, {**int8_parts(), "s": np.zeros(3, "float32")}, "not positive"),
        ("int8", (2, 3), 1, {**int8_parts(), "s": np.full(3, np.inf, "float32")}, "not finite"),
        ("int8", (2, 3), 1, {**int8_parts(), "d": np.ones(1)}, "found"),
        ("sparse_int8", (2, 3), None, sparse_parts((0, 5)), "leads to position 6 of 6"),
        ("sparse_int8", (2, 3), None, sparse_parts(q=np.ones(3, "int8")), "'q' must be int8"),
        ("sparse_int8", (2, 3), None, sparse_parts(g=np.ones(2, "int8")), "'g' must be uint8"),
        ("sparse_int8", (2, 3), None, sparse_parts(s=np.ones(2, "float32")), "'s' must be float32"),
        ("sparse_int8", (2, 3), None, sparse_parts(s=np.zeros(1, "float32")), "not positive"),
        ("sparse_int8", (2, 3), None, sparse_parts(q=np.full(2, -128, "int8")), "-127..127"),
        ("sparse_int8", (2, 3), 1, sparse_parts(), "has no axis"),
        ("sparse_int8", (6,), None, sparse_parts(), "two axes"),
        ("sparse_int8", (2, 3), None, int8_parts(), "has parts"),
        ("float16", (2, 3), None, {"d": np.ones((2, 3), "float32")}, "must be float16"),
        ("low_rank_int8", (2, 3), None, int8_parts(), "rank 0"),
        ("low_rank_int8", (2, 4), None, low_rank_parts(), "'b' must be int8"),
        ("low_rank_int8", (1, 1, 1), None, {**low_rank_parts(), "sa": np.ones(9)}, "rank 9"),
    ),
)
def test_bad_parts_are_refused(codec, shape, axis, parts, defect):
    with pytest.raises(ValueError, match=defect.replace("(", r"\(")):
        codecs.from_parts(codec, shape, axis, parts)
