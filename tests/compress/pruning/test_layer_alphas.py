import keras
import numpy as np
import pytest

from keras_compress.pruning import hill_alpha, layer_alphas

L = keras.layers


def reference(model, rows=100, num_windows=9):
    """FARMS of dense kernels: eigenvalues of windows, collected one window after the other."""
    result = {}
    for layer in [layer for layer in model.layers if isinstance(layer, L.Dense)]:
        kernel = np.asarray(layer.get_weights()[0], "float64")
        side = min(rows, *kernel.shape)
        starts = []
        for length in kernel.shape:
            step = max(1, (length - side) // (num_windows - 1))
            starts.append(sorted({min(i * step, length - side) for i in range(num_windows)}))
        found = []
        for i in starts[0]:
            for j in starts[1]:
                window = kernel[i : i + side, j : j + side]
                found.append(np.linalg.eigvalsh(window.T @ window))
        result[layer.kernel.path] = hill_alpha(np.maximum(np.concatenate(found), 0.0))
    return result


def random_dense(inputs, widths):
    generator, tensor = np.random.default_rng(0), keras.Input((inputs,))
    layers = [L.Dense(width, use_bias=False) for width in widths]
    model = keras.Model(tensor, [layer(tensor) for layer in layers])
    for layer in layers:
        layer.kernel.assign(generator.normal(size=(inputs, layer.units)))
    return model


def test_windows_are_blind_to_the_aspect_ratio():
    model = random_dense(200, (200, 400, 800, 1600))
    plain = np.array(list(layer_alphas(model, method="hill").values()))
    farms = np.array(list(layer_alphas(model, num_windows=4).values()))
    assert np.ptp(plain) > 1.0
    assert np.ptp(farms) < 0.1
    # One draw of such matrices gave these; the fit of another draw differs by some percent.
    np.testing.assert_allclose(plain, [2.17, 2.71, 3.45, 4.42], rtol=0.05)
    np.testing.assert_allclose(farms, [2.11, 2.11, 2.11, 2.14], rtol=0.02)


def test_values_of_dense_kernels():
    model = random_dense(20, (30, 7))
    arguments = {"rows": 8, "num_windows": 4}
    found, expected = layer_alphas(model, **arguments), reference(model, **arguments)
    assert found.keys() == expected.keys()
    for path, alpha in found.items():
        assert alpha == pytest.approx(expected[path], rel=1e-4)


def test_every_kind_of_kernel_and_choice_of_layers():
    tokens = keras.Input((5,), dtype="int32")
    x = L.Embedding(11, 8, name="embedding")(tokens)
    x = L.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = L.Conv1D(6, 3, name="conv")(x)
    x = L.Conv1DTranspose(6, 3, name="transposed")(x)
    x = L.GRU(6, name="gru")(x)
    model = keras.Model(tokens, L.Dense(1, name="head")(x))
    for method in ("farms", "hill"):
        alphas = layer_alphas(model, method=method)
        assert len(alphas) == 10
        # A single column has one singular value, which is no spectrum; its windows have some.
        assert np.isnan(alphas.pop("head/kernel")) == (method == "hill")
        # Nor has an orthogonal matrix.
        assert np.isnan(alphas.pop("gru/gru_cell/recurrent_kernel")) == (method == "hill")
        assert all(1.0 < alpha < 50.0 for alpha in alphas.values()), alphas
    assert list(layer_alphas(model, layers="conv")) == ["conv/kernel"]
    model.get_layer("conv").kernel.assign(np.zeros((3, 8, 6)))
    assert np.isnan(layer_alphas(model, layers="conv")["conv/kernel"])


def test_bad_arguments():
    model = random_dense(4, (4,))
    for arguments in ({"method": "mean"}, {"rows": 1}, {"num_windows": 1}, {"xmin": "mean"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            layer_alphas(model, **arguments)
