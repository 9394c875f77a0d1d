import keras
import numpy as np
import pytest

from keras_reweight.signatures import Patch, WeightSignature, codecs, weight_digest
from tests import parity_record
from tests.reweight.signatures import models


def make(model, seed=0, name="patch", weights=(0, 1, 2), scale=1.0):
    rng = np.random.default_rng(seed)
    variables = [model.weights[i] for i in weights]
    return Patch.from_deltas(
        model, [(v, rng.normal(scale=scale, size=tuple(v.shape))) for v in variables], name=name
    )


@pytest.fixture(scope="module")
def model():
    return models.dense()


def test_holds_what_it_was_given(model):
    first, second = np.random.default_rng(0).normal(size=(3, 5)), np.full(5, 1e-30)
    patch = Patch.from_deltas(
        model, [(model.weights[1], second), (model.weights[0], first)], name="shift", kind="edit"
    )
    assert patch.indices == (0, 1) and patch.paths == ("first/kernel", "first/bias")
    assert patch.kind == "edit" and patch.nbytes == 8 * (15 + 5)
    np.testing.assert_array_equal(patch.delta(0), first)
    np.testing.assert_array_equal(patch.delta("first/bias"), second)
    assert repr(patch) == "Patch(name='shift', kind='edit', 2 of 6 weights, 160 bytes)"


def test_tensors_and_variables_are_deltas_too(model):
    kernel = model.weights[0]
    patch = Patch.from_deltas(model, [(kernel, kernel)], name="double")
    np.testing.assert_array_equal(patch.delta(0).astype("float32"), kernel.numpy())
    patch = Patch.from_deltas(model, [(kernel, kernel * 2.0)], name="triple")
    np.testing.assert_array_equal(patch.delta(0).astype("float32"), 2.0 * kernel.numpy())


def test_arithmetic_is_exact_in_float64(model):
    a, b = make(model, 0, "a", (0, 1)), make(model, 1, "b", (1, 2))
    one, two = a.delta(1), b.delta(1)
    np.testing.assert_array_equal((a * 0.3).delta(1), 0.3 * one)
    np.testing.assert_array_equal((np.float64(0.3) * a).delta(1), 0.3 * one)
    np.testing.assert_array_equal((-a).delta(1), -one)
    np.testing.assert_array_equal((a + b).delta(1), one + two)
    np.testing.assert_array_equal((a - b).delta(1), one - two)
    np.testing.assert_array_equal((2 * a + b * 0.1).delta(1), 2 * one + 0.1 * two)
    np.testing.assert_array_equal(sum([a, b, a]).delta(1), one + two + one)
    assert (a + b).indices == (0, 1, 2) and (a + b).name == "a+b"
    np.testing.assert_array_equal((a + b).delta(2), b.delta(2))
    np.testing.assert_array_equal(a.delta(1), one)


def test_strengths_of_a_sum_act_once(model):
    """The official code multiplies twice, so that a mean of two would be a quarter of their sum."""
    a, b = make(model, 0, "a"), make(model, 1, "b")
    for mean in (0.5 * (a + b), sum(0.5 * patch for patch in (a, b))):
        np.testing.assert_allclose(mean.delta(0), (a.delta(0) + b.delta(0)) / 2, rtol=1e-15)


def test_analogy(model):
    a, b, c = (make(model, seed, f"{seed}") for seed in range(3))
    expected = c.delta(0) + b.delta(0) - a.delta(0)
    np.testing.assert_array_equal((c + b - a).delta(0), expected)


@pytest.mark.parametrize("codec", codecs.CODECS[1:])
def test_scaling_keeps_the_stored_form(model, codec):
    small = make(model).compress(codec)
    half = 0.5 * small
    assert half.stored_as == small.stored_as and half.nbytes == small.nbytes
    np.testing.assert_array_equal(half.delta(0), 0.5 * small.delta(0))
    assert set((half + small).stored_as) == {"float64"}
    np.testing.assert_array_equal((half + small).delta(0), half.delta(0) + small.delta(0))


def test_compress(model):
    patch = make(model, scale=1e-2)
    small = patch.compress()
    assert small.stored_as == ("int8", "float32", "int8")
    assert small.nbytes == (15 + 4 * 5) + 4 * 5 + (20 + 4 * 4)
    for index in (0, 2):
        bound = np.abs(patch.delta(index)).max(axis=0) / 127 / 2
        error = np.abs(small.delta(index) - patch.delta(index))
        assert (error <= bound * (1 + 1e-5)).all() and error.any()
    np.testing.assert_array_equal(small.compress().delta(0), small.delta(0))
    np.testing.assert_array_equal(
        (3.0 * patch).compress().delta(1), (3.0 * patch.delta(1)).astype("float32")
    )
    ranked = patch.compress("low_rank_int8", rank=1)
    assert ranked.stored_as == ("low_rank_int8", "float32", "low_rank_int8")
    assert np.linalg.matrix_rank(ranked.delta(0)) == 1
    largest = patch.compress("sparse_int8", density=0.2)
    assert largest.stored_as == ("sparse_int8", "float32", "sparse_int8")
    assert np.count_nonzero(largest.delta(0)) == 3 and largest.nbytes == 6 + 4 + 20 + 8 + 4
    half = patch.compress("float16")
    assert set(half.stored_as) == {"float16"} and 4 * half.nbytes == patch.nbytes
    parity_record.record("patch/sparse_int8", largest.delta(0))
    parity_record.record("patch/int8", small.delta(0))
    parity_record.record("patch/low_rank_int8", ranked.delta(0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    (
        ({"codec": "zip"}, ValueError, "`codec` must be one of"),
        ({"codec": "int8", "rank": 2}, ValueError, "`rank`=2"),
        ({"codec": "low_rank_int8", "rank": 0}, ValueError, "`rank`"),
        ({"codec": "low_rank_int8", "energy": 0.0}, ValueError, "`energy`"),
        ({"codec": "low_rank_int8", "energy": 1.5}, ValueError, "`energy`"),
        ({"codec": "low_rank_int8", "rank": 1.5}, TypeError, "`rank`"),
        ({"codec": "sparse_int8", "density": 0.0}, ValueError, "`density`"),
        ({"codec": "sparse_int8", "density": "half"}, TypeError, "`density`"),
        ({"codec": "int8", "density": 0.5}, ValueError, "`density`=0.5"),
    ),
)
def test_bad_compression(model, arguments, error, message):
    with pytest.raises(error, match=message):
        make(model).compress(**arguments)


def test_deltas_that_do_not_fit(model):
    kernel = model.weights[0]
    with pytest.raises(ValueError, match="is not a weight of model"):
        Patch.from_deltas(model, [(models.dense().weights[0], np.ones((3, 5)))], name="p")
    with pytest.raises(ValueError, match="is given twice"):
        Patch.from_deltas(model, [(kernel, np.ones((3, 5)))] * 2, name="p")
    with pytest.raises(ValueError, match=r"shape \(5, 3\) does not fit weight 0"):
        Patch.from_deltas(model, [(kernel, np.ones((5, 3)))], name="p")
    with pytest.raises(ValueError, match="'first/kernel'.*NaN or infinity"):
        Patch.from_deltas(model, [(kernel, np.full((3, 5), np.nan))], name="p")
    with pytest.raises(ValueError, match="`entries` of patch 'p' is empty"):
        Patch.from_deltas(model, [], name="p")
    with pytest.raises(ValueError, match="`name`"):
        make(model, name="")
    with pytest.raises(TypeError, match="`name`"):
        make(model, name=3)


def test_operands_that_do_not_fit(model):
    patch = make(model)
    with pytest.raises(ValueError, match="Patch 'patch', to be added, is of another architecture"):
        patch + make(models.dense(units=6))
    for wrong in (1.0, "patch"):
        with pytest.raises(TypeError):
            patch + wrong
        with pytest.raises(TypeError):
            patch - wrong
    with pytest.raises(TypeError):
        1 + patch
    with pytest.raises(TypeError, match="`factor`"):
        patch * patch
    with pytest.raises(ValueError, match="`factor`"):
        patch * float("nan")
    with pytest.raises(ValueError, match="infinite"):
        patch * 1e200 * 1e200
    with pytest.raises(ValueError, match="`weight`=5"):
        patch.delta(5)
    with pytest.raises(ValueError, match="`weight`='head/kernel'"):
        patch.delta("head/kernel")


def test_integer_weights_cannot_be_patched():
    class Counting(keras.layers.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False
            )

        def call(self, x):
            return x

    counting = keras.Sequential([keras.Input((2,)), Counting(), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="does not fit weight 0.*int32"):
        Patch.from_deltas(counting, [(counting.weights[0], 1)], name="p")


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_a_file_holds_everything(model, codec, tmp_path):
    patch = (make(model, name="sturm ü \U0001f32a") * -0.7).compress(codec) * 0.1
    patch.save(tmp_path / "first.sig")
    loaded = Patch.load(tmp_path / "first.sig")
    assert loaded.name == patch.name and loaded.kind == "edit" and loaded.coefficient == 0.1
    assert loaded.architecture == patch.architecture and loaded.stored_as == patch.stored_as
    for index in patch.indices:
        np.testing.assert_array_equal(loaded.delta(index), patch.delta(index))
    assert loaded.digest() == patch.digest() != (2 * patch).digest()
    loaded.save(tmp_path / "second.sig")
    patch.save(tmp_path / "third.sig")
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1 and len(list(tmp_path.iterdir())) == 3


def test_the_same_patch_gives_the_same_file_on_every_backend(model):
    digest = make(model, scale=1e-2).compress("int8").digest()
    parity_record.record("patch/digest", list(bytes.fromhex(digest)))


def test_the_same_file_gives_the_same_outputs_on_every_backend(tmp_path):
    """Weights, changes and inputs are drawn by NumPy; outputs are compared between backends."""
    model, x = models.dense(), np.random.default_rng(3).normal(size=(4, 3)).astype("float32")
    plain = keras.ops.convert_to_numpy(model(x))
    for codec in codecs.CODECS:
        patch = make(model, scale=0.5).compress(codec)
        patch.save(tmp_path / codec)
        with Patch.load(tmp_path / codec).patched(model, alpha={"first": 0.8, None: 0.4}):
            found = keras.ops.convert_to_numpy(model(x))
        assert np.abs(found - plain).max() > 0.1
        parity_record.record(
            f"patch/file/{codec}", np.frombuffer((tmp_path / codec).read_bytes(), "uint8")
        )
        parity_record.record(f"patch/outputs/{codec}", found)


def test_scalars_and_arrays_that_are_not_contiguous_survive_a_file(tmp_path):
    model = models.subclassed()
    gain = next(v for v in model.weights if v.path.endswith("gain"))
    kernel = next(v for v in model.weights if v.path.endswith("conv/kernel"))
    transposed = np.arange(54.0).reshape(3, 2, 3, 3).T
    patch = Patch.from_deltas(model, [(gain, 0.25), (kernel, transposed)], name="p")
    patch.save(tmp_path / "p.sig")
    loaded = Patch.load(tmp_path / "p.sig")
    assert loaded.delta("block/gain") == 0.25 and loaded.delta("block/gain").shape == ()
    np.testing.assert_array_equal(loaded.delta("block/conv/kernel"), transposed)


def test_an_interrupted_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "p.sig"
    make(model, 0).save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        make(model, 1).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["p.sig"]


def test_a_signature_is_not_loaded_from_a_file_of_another_kind(model, tmp_path):
    make(model).save(tmp_path / "p.sig")
    with pytest.raises(ValueError, match="p.sig' holds a patch of kind 'edit'.*Patch.load"):
        WeightSignature.load(tmp_path / "p.sig")


def test_patched_restores(model):
    patch, before = make(model), weight_digest(model)
    with patch.patched(model, alpha=0.5) as same:
        assert same is model and weight_digest(model) != before
    assert weight_digest(model) == before
