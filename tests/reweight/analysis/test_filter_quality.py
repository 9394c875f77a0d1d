import keras
import numpy as np
import pytest

from keras_reweight.analysis import filter_quality
from keras_reweight.analysis.filter_quality import measure_filters

L = keras.layers
NAMES = (
    "sparsity", "variance_entropy", "variance_entropy_clean", "normalized_entropy",
    "normalized_entropy_clean", "orthogonality", "l1", "l2",
)  # fmt: skip


def usual_entropy(count):
    return 1.2618047 / (1.0 + np.exp(-0.88767525 * (np.log2(count) - 2.30436435))) - 0.31050834


def reference(kernel, threshold=0.01):
    """The formulas of the paper, filter by filter; `kernel` is `(height, width, in, out)`."""
    height, width, inputs, outputs = kernel.shape
    filters = np.array(
        [kernel[:, :, i, o].reshape(-1) for o in range(outputs) for i in range(inputs)]
    )
    limit = threshold * np.abs(kernel).max()
    sparse = np.array([all(abs(w) < limit for w in row) for row in filters])

    def entropy(rows):
        covariance = np.cov(rows.T)
        shares = np.linalg.eigvalsh(covariance) / np.trace(covariance)
        return -sum(p * np.log10(p) for p in shares if p > 1e-15)

    units = np.array([kernel[..., o].reshape(-1) for o in range(outputs)])
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-300)
    cosines = [abs(units[i] @ units[j]) for i in range(outputs) for j in range(outputs) if i != j]
    empty = sum(not unit.any() for unit in units)
    found = {
        "sparsity": sparse.mean(),
        "variance_entropy": entropy(filters),
        "variance_entropy_clean": entropy(filters[~sparse]),
        "orthogonality": 1.0 - (sum(cosines) + empty) / (outputs * (outputs - 1)),
        "l1": np.abs(kernel).sum(),
        "l2": np.sqrt(np.square(kernel).sum()),
    }
    if height * width == 9:
        found["normalized_entropy"] = found["variance_entropy"] / usual_entropy(len(filters))
        clean = found["variance_entropy_clean"] / usual_entropy(int((~sparse).sum()))
        found["normalized_entropy_clean"] = clean
    return found


def from_torch(weight):
    """(out, in, height, width) -> the layout of Keras."""
    return weight.transpose(2, 3, 1, 0)


def test_official_vectors():
    weight = np.ones((2, 1, 3, 3))
    weight[0] = 0.0
    row = measure_filters("conv", from_torch(weight), 0.01)
    assert (row.sparsity, row.variance_entropy) == (0.5, 0.0)
    assert (row.orthogonality, row.l2, row.l1) == pytest.approx((0.5, 3.0, 9.0), rel=1e-12)
    weight = np.random.default_rng(0).normal(size=(8, 4, 3, 3))
    weight[0, 0] = 0.0
    row = measure_filters("conv", from_torch(weight), 0.01)
    assert row.sparsity == 0.03125
    # The official 1.056914 is 1.05691351, computed in float32; in float64 it is 1.05691349.
    for found, expected in (
        (row.variance_entropy, 0.889661),
        (row.normalized_entropy, 1.052033),
        (row.variance_entropy_clean, 0.889557),
        (row.normalized_entropy_clean, 1.0569135),
        (row.orthogonality, 0.857192),
    ):
        assert found == pytest.approx(expected, abs=5e-7)


def test_values_equal_the_formula():
    kernel = np.random.default_rng(1).normal(size=(3, 3, 4, 6))
    kernel[:, :, 1, 2] *= 1e-3
    row = measure_filters("conv", kernel, 0.01)
    for name, expected in reference(kernel).items():
        assert getattr(row, name) == pytest.approx(expected, rel=1e-9), name


def test_every_kind_of_convolution():
    inputs = keras.Input((9, 9, 4))
    x = L.Conv2D(6, 1, name="pointwise", kernel_initializer="zeros")(inputs)
    x = L.Conv2D(3, 5, name="wide", kernel_initializer="zeros")(x)
    x = L.DepthwiseConv2D(3, name="depthwise")(x)
    x = L.SeparableConv2D(4, 2, name="separable")(x)
    x = L.Conv2DTranspose(5, (3, 2), name="transposed")(x)
    model = keras.Model(inputs, L.Dense(2, name="head", kernel_initializer="zeros")(x))
    rows = {row.path: row for row in filter_quality(model).layers}
    assert {path: (row.kernel_size, row.num_filters) for path, row in rows.items()} == {
        "wide": ((5, 5), 18),
        "depthwise": ((3, 3), 3),
        "separable": ((2, 2), 3),
        "transposed": ((3, 2), 20),
    }
    assert rows["wide"].normalized_entropy is None
    # Nothing but zeros: every filter is sparse, and nothing is NaN.
    assert (rows["wide"].sparsity, rows["wide"].variance_entropy_clean) == (1.0, 0.0)
    report = filter_quality(model)
    assert report.mean("normalized_entropy") == rows["depthwise"].normalized_entropy
    with pytest.raises(ValueError, match="'beauty'"):
        report.mean("beauty")
    assert "wide/normalized_entropy" not in report.to_dict()
    assert [line.split()[0] for line in str(report).splitlines()] == ["layer", *rows]
    kernel = np.asarray(model.get_layer("transposed").kernel, "float64")
    expected = reference(kernel.swapaxes(2, 3))
    assert rows["transposed"].orthogonality == pytest.approx(expected["orthogonality"])


def test_copies_of_one_filter_have_no_entropy():
    one = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype("float32").astype("float64")
    row = measure_filters("conv", np.tile(one, (1, 1, 2, 8)), 0.01)
    assert (row.variance_entropy, row.normalized_entropy) == (0.0, 0.0)
    single = measure_filters("conv", one, 0.01)
    assert (single.variance_entropy, single.normalized_entropy, single.orthogonality) == (0, 0, 1)


def test_bad_arguments():
    conv = L.Conv1D(2, 3, name="conv")
    model = keras.Sequential([keras.Input((5, 1)), conv, L.Dense(2, name="head")])
    with pytest.raises(ValueError, match="threshold"):
        filter_quality(model, threshold=1.0)
    with pytest.raises(ValueError, match="no convolution"):
        filter_quality(model, layers="head")
    conv.kernel.assign(np.full((3, 1, 2), np.inf))
    with pytest.raises(ValueError, match="'conv/kernel' is not finite|conv/kernel"):
        filter_quality(model)
