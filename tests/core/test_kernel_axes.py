import keras
import numpy as np

from keras_reweight.core.kernel_axes import kernel_axes, kernel_matrices, num_eigenvalues

L = keras.layers


def test_axes_of_every_kind():
    dense, conv, transposed = L.Dense(2), L.Conv2D(2, 3), L.Conv2DTranspose(2, 3)
    assert kernel_axes((4, 2), dense) == ((), (0,), (1,))
    assert kernel_axes((3, 3, 4, 2), conv) == ((0, 1), (2,), (3,))
    assert kernel_axes((3, 3, 2, 4), transposed) == ((0, 1), (3,), (2,))
    assert kernel_axes((4, 2), None) == ((), (0,), (1,))


def test_number_of_eigenvalues():
    assert num_eigenvalues((4, 2), L.Dense(2)) == 2
    assert num_eigenvalues((3, 3, 4, 7), L.Conv2D(7, 3)) == 36


def test_axes_of_equations():
    query = L.EinsumDense("abc,cde->abde", (None, 2, 3))
    assert kernel_axes((5, 2, 3), query) == ((), (0,), (1, 2))
    output = L.EinsumDense("abcd,cde->abe", (None, 5))
    assert kernel_axes((2, 3, 5), output) == ((), (0, 1), (2,))
    per_group = L.EinsumDense("...gi,gio->...go", (3, 4))
    assert kernel_axes((3, 5, 4), per_group) == ((0,), (1,), (2,))


def test_matrices_multiply_as_the_layer_does():
    keras.utils.set_random_seed(0)
    layer = L.EinsumDense("abcd,cde->abe", (None, 5))
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 4)).astype("float32")
    expected = keras.ops.convert_to_numpy(layer(x))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    (matrix,) = kernel_matrices(kernel, layer)
    np.testing.assert_allclose(x.reshape(2, 3, 8) @ matrix, expected, rtol=1e-4, atol=1e-5)
