import keras
import numpy as np
import pytest

from keras_reweight.analysis import spectral_report
from keras_reweight.analysis.spectral_report import measure_spectrum
from tests.core.test_hill_alpha import EIGENVALUES

L = keras.layers
NAMES = (
    "alpha", "distance", "alpha_weighted", "log_alpha_norm", "log_norm", "log_spectral_norm",
    "stable_rank", "mp_softrank",
)  # fmt: skip


def reference(matrix, xmin="median"):
    """Numbers of one dense kernel from the eigenvalues of `W^T W`, by the formulas."""
    small = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    values = np.sort(np.linalg.eigvalsh(small.T @ small))
    fits = []
    for start in [len(values) // 2] if xmin == "median" else range(len(values) - 1):
        tail = values[start:]
        alpha = 1.0 + len(tail) / np.log(tail / tail[0]).sum()
        model = 1.0 - (tail / tail[0]) ** (1.0 - alpha)
        fits.append((np.abs(model - np.arange(len(tail)) / len(tail)).max(), alpha))
    distance, alpha = min(fits)
    sides = np.sqrt(matrix.shape)
    return {
        "alpha": alpha,
        "distance": distance,
        "alpha_weighted": alpha * np.log10(values[-1]),
        "log_alpha_norm": np.log10(np.sum(values**alpha)),
        "log_norm": np.log10(np.square(matrix).sum()),
        "log_spectral_norm": 2.0 * np.log10(np.linalg.norm(matrix, 2)),
        "stable_rank": np.square(matrix).sum() / np.linalg.norm(matrix, 2) ** 2,
        "mp_softrank": np.square(matrix).mean() * sides.sum() ** 2 / values[-1],
    }


def test_official_vector():
    """The numbers of TempBalance for ten eigenvalues."""
    row = measure_spectrum("w", np.diag(np.sqrt(EIGENVALUES))[None], "median", 2)
    assert row.alpha == pytest.approx(2.006074, abs=5e-7)
    assert row.distance == pytest.approx(0.202220, abs=5e-7)
    assert row.alpha_weighted == pytest.approx(1.914281, abs=5e-7)
    assert row.stable_rank == pytest.approx(2.233333, abs=5e-7)
    best = measure_spectrum("w", np.diag(np.sqrt(EIGENVALUES))[None], "best", 2)
    assert best.alpha == pytest.approx(1.764266, abs=5e-7)


@pytest.mark.parametrize("xmin", ["median", "best"])
def test_values_equal_the_formula(xmin):
    matrix = np.random.default_rng(0).normal(size=(20, 30))
    row = measure_spectrum("w", matrix[None], xmin, 10)
    for name, expected in reference(matrix, xmin).items():
        assert getattr(row, name) == pytest.approx(expected, rel=1e-8), name


def test_a_signal_sticks_out_of_the_noise():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(100, 80))
    assert measure_spectrum("w", noise[None], "best", 10).mp_softrank == pytest.approx(1.0, abs=0.1)
    signal = noise + 3.0 * rng.normal(size=(100, 1)) * rng.normal(size=(1, 80))
    row = measure_spectrum("w", signal[None], "best", 10)
    assert row.mp_softrank < 0.1 and row.stable_rank < 3.0


def test_every_kind_of_kernel():
    tokens = keras.Input((5,), dtype="int32")
    x = L.Embedding(11, 12, name="embedding")(tokens)
    x = L.MultiHeadAttention(2, 5, name="attention")(x, x)
    x = L.Conv1D(6, 3, name="conv")(x)
    x = L.GRU(3, name="gru")(x)
    model = keras.Model(tokens, L.Dense(1, name="head")(x))
    model.get_layer("conv").kernel.assign(np.zeros((3, 12, 6)))
    report = spectral_report(model)
    rows = {row.path: row for row in report.kernels}
    assert list(rows) == [
        "embedding/embeddings",
        *(f"attention/{name}/kernel" for name in ("query", "key", "value", "attention_output")),
        "conv/kernel",
        "gru/gru_cell/kernel",
        "gru/gru_cell/recurrent_kernel",
        "head/kernel",
    ]
    assert rows["embedding/embeddings"].alpha > 1.0
    assert (rows["conv/kernel"].num_eigenvalues, rows["conv/kernel"].alpha) == (18, None)
    assert (rows["conv/kernel"].stable_rank, rows["conv/kernel"].log_norm) == (0.0, None)
    assert rows["head/kernel"].alpha is None and rows["head/kernel"].stable_rank == 1.0
    summary = report.summary()
    known = [row.alpha for row in report.kernels if row.alpha is not None]
    assert summary["alpha"] == pytest.approx(np.mean(known))
    assert len(str(report).splitlines()) == 1 + len(rows)
    assert [row.path for row in spectral_report(model, layers="head").kernels] == ["head/kernel"]


def test_bad_arguments():
    dense = L.Dense(4, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((3,)), dense, L.Dropout(0.1, name="drop")])
    for arguments in ({"xmin": "mean"}, {"min_eigenvalues": 1}, {"layers": "drop"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            spectral_report(model, **arguments)
    dense.kernel.assign(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        spectral_report(model)
