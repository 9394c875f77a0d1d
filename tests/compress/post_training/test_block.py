"""One scale for layers that read the same inputs, chosen by what the block around them gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.post_training import AWQ, LayerProblem, Rotated, fold_input_scales, quantize
from keras_compress.post_training._block import find_block, record_block
from keras_reweight.core.selection import all_layers
from tests.compress.post_training.test_awq import reference_rounding

GENERATOR = np.random.default_rng(4)
SIZES = np.array([6.0, 1.0, 0.3, 1.0, 2.0, 0.1, 1.0, 4.0])
X = (GENERATOR.normal(size=(6, 5, 8)) * SIZES).astype("float32")
BITS = 3


@keras.saving.register_keras_serializable(package="test_block")
class Gated(layers.Layer):
    """`down(relu(gate(x)) * up(x))`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate, self.up = layers.Dense(6, "relu", name="gate"), layers.Dense(6, name="up")
        self.down = layers.Dense(8, name="down")

    def build(self, shape):
        self.gate.build(shape)
        self.up.build(shape)
        self.down.build((*shape[:-1], 6))

    def call(self, inputs):
        return self.down(self.gate(inputs) * self.up(inputs))


def drawn(model):
    generator = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign(0.5 * generator.normal(size=tuple(variable.shape)))
    return model


def attending():
    inputs = keras.Input((5, 8))
    x = layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    return drawn(keras.Model(inputs, layers.Dense(3, name="last")(x)))


def gated():
    inputs = keras.Input((5, 8))
    return drawn(keras.Model(inputs, layers.Dense(3)(Gated(name="block")(inputs))))


def branched():
    """Two layers with one input in no other layer."""
    inputs = keras.Input((5, 8))
    x = layers.Dense(4, name="left")(inputs) * layers.Dense(3, name="right")(inputs)[..., :1]
    return drawn(keras.Model(inputs, x))


def host(variable):
    return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")


def reference_attention(x, kernels, biases, mask=None):
    """Two heads of four: softmax(q k / 2) v, and the output projection."""
    query, key, value = (
        np.einsum("btd,dhe->bthe", x, kernel) + bias
        for kernel, bias in zip(kernels[:3], biases[:3], strict=True)
    )
    scores = np.einsum("bqhe,bkhe->bhqk", query, key) / 2.0
    if mask is not None:
        scores = np.where(mask[:, None, None, :], scores, -1e9)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    read = np.einsum("bhqk,bkhe->bqhe", scores / scores.sum(axis=-1, keepdims=True), value)
    return np.einsum("bqhe,hed->bqd", read, kernels[3]) + biases[3]


def reference_search(inputs, kernels, outputs_of):
    """Errors of the 20 ratios, scales, and the kernels `(rows, ...)` rounded with each."""
    mean = np.abs(inputs).reshape(-1, 8).mean(axis=0)
    expected, errors, scales, found = outputs_of(kernels), [], [], []
    for number in range(20):
        scale = np.maximum(mean ** (number / 20), 1e-4)
        scale /= np.sqrt(scale.max() * scale.min())
        rounded = [
            (reference_rounding(flat * scale[:, None], BITS) / scale[:, None]).reshape(kernel.shape)
            for kernel in kernels
            for flat in [kernel.reshape(8, -1)]
        ]
        errors.append(np.mean((outputs_of(rounded) - expected) ** 2))
        scales.append(scale)
        found.append(rounded)
    return np.array(errors), scales, found


@pytest.fixture(scope="module")
def attention():
    model = attending()
    layer = model.get_layer("attention")
    parts = [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
    kernels, biases = ([host(getattr(p, name)) for p in parts] for name in ("kernel", "bias"))
    inputs = X.astype("float64")

    def outputs_of(three):
        return reference_attention(inputs, [*three, kernels[3]], biases)

    return model, kernels[:3], outputs_of, reference_search(inputs, kernels[:3], outputs_of)


def matrices_of(quantized, *names):
    return [quantized.matrices[f"attention/{name}/kernel"] for name in names]


def test_queries_keys_and_values_get_the_scale_of_the_best_attention_output(attention):
    model, kernels, outputs_of, (errors, scales, rounded) = attention
    quantized = quantize(model, X, solver=AWQ(clip=False), bits=BITS)
    found = matrices_of(quantized, "query", "key", "value")
    best = int(np.argmin(errors))
    for matrix, kernel in zip(found, rounded[best], strict=True):
        np.testing.assert_allclose(matrix.input_scale, scales[best], rtol=1e-5)
        np.testing.assert_allclose(matrix.values(), kernel, rtol=1e-4, atol=1e-5)
    own = np.zeros(20)
    for position, kernel in enumerate(kernels):
        for ratio in range(20):
            away = (rounded[ratio][position] - kernel).reshape(8, -1)
            own[ratio] += np.mean((X.reshape(-1, 8) @ away) ** 2)
    # What is best for the sum of the layers is not best for the block.
    assert errors[best] < 0.98 * errors[int(np.argmin(own))]
    assert errors[best] < 0.8 * errors[0]
    error = np.mean((outputs_of([m.values() for m in found]) - outputs_of(kernels)) ** 2)
    np.testing.assert_allclose(error, errors[best], rtol=1e-4)


def test_each_layer_may_have_its_own_scale(attention):
    quantized = quantize(attention[0], X, solver=AWQ(clip=False, objective="layer"), bits=BITS)
    scales = [one.input_scale for one in matrices_of(quantized, "query", "key", "value")]
    assert not np.array_equal(scales[0], scales[2])
    kernel = attention[1][0]
    problem = LayerProblem.from_inputs(kernel.reshape(8, -1), X.reshape(-1, 8), BITS)
    np.testing.assert_allclose(
        scales[0], AWQ(clip=False).solve(problem).input_scale, rtol=1e-5, atol=1e-6
    )


def test_ranges_of_queries_and_keys_stay(attention):
    quantized = quantize(attention[0], X, solver=AWQ(), bits=BITS)
    for name, narrower in (("query", False), ("key", False), ("value", True)):
        (matrix,) = matrices_of(quantized, name)
        kernel = host(getattr(attention[0].get_layer("attention"), f"{name}_dense").kernel)
        scaled = kernel.reshape(8, -1) * matrix.input_scale[:, None]
        full = np.maximum(scaled.max(axis=0), 0.0) - np.minimum(scaled.min(axis=0), 0.0)
        share = matrix.grid.scale.ravel() * (2**BITS - 1) / full
        assert (share.min() < 0.97) == narrower and share.max() < 1.0001


def test_the_scales_fold_into_the_normalization():
    inputs = keras.Input((5, 8))
    y = layers.LayerNormalization(name="norm")(inputs)
    y = layers.MultiHeadAttention(2, 4, name="attention")(y, y)
    model = drawn(keras.Model(inputs, y))
    quantized = quantize(model, X, solver=AWQ(num_ratios=3), bits=BITS)
    folded = fold_input_scales(quantized)
    assert all(matrix.input_scale is None for matrix in folded.matrices.values())
    np.testing.assert_allclose(
        ops.convert_to_numpy(folded.model(X)),
        ops.convert_to_numpy(quantized.model(X)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_gated_layers_are_measured_by_what_comes_out():
    model = gated()
    block = model.get_layer("block")
    parts = [block.gate, block.up, block.down]
    kernels, biases = ([host(getattr(p, name)) for p in parts] for name in ("kernel", "bias"))

    def outputs_of(two):
        gate = np.maximum(X @ two[0] + biases[0], 0.0)
        return (gate * (X @ two[1] + biases[1])) @ kernels[2] + biases[2]

    errors, scales, _ = reference_search(X.astype("float64"), kernels[:2], outputs_of)
    quantized = quantize(model, X, solver=AWQ(clip=False), bits=BITS)
    for name in ("gate", "up"):
        found = quantized.matrices[f"block/{name}/kernel"].input_scale
        np.testing.assert_allclose(found, scales[int(np.argmin(errors))], rtol=1e-5)


def test_layers_in_no_block_take_the_sum_of_their_errors():
    model = branched()
    kernels = [host(model.get_layer(name).kernel) for name in ("left", "right")]

    def outputs_of(two):
        return np.concatenate([X @ kernel for kernel in two], axis=-1)

    errors, scales, _ = reference_search(X.astype("float64"), kernels, outputs_of)
    quantized = quantize(model, X, solver=AWQ(clip=False), bits=BITS)
    for name in ("left", "right"):
        found = quantized.matrices[f"{name}/kernel"].input_scale
        np.testing.assert_allclose(found, scales[int(np.argmin(errors))], rtol=1e-5)


def test_masked_positions_do_not_count():
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True)(ids)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    model = drawn(keras.Model(ids, x))
    data = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]], "int32")
    layer = model.get_layer("attention")
    parts = [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
    block = record_block(model, layer, parts[:3], data, 1, 100)
    kernels, biases = ([host(getattr(p, name)) for p in parts] for name in ("kernel", "bias"))
    x, mask = host(model.layers[1].embeddings)[data], data > 0
    outputs = [
        reference_attention(x, [*(factor * k for k in kernels[:3]), kernels[3]], biases, mask)[mask]
        for factor in (1.0, 0.5)
    ]
    found = block.error([0.5 * kernel for kernel in kernels[:3]])
    np.testing.assert_allclose(found, np.mean((outputs[0] - outputs[1]) ** 2), rtol=1e-4)
    # Nothing is left of the trial.
    np.testing.assert_array_equal(host(parts[0].kernel), kernels[0])
    assert block.error(kernels[:3]) == 0.0 and block.roles == ["query", "key", "value"]


def test_the_smallest_block_around():
    model, other = attending(), gated()
    attention, block = model.get_layer("attention"), other.get_layer("block")
    assert find_block(model, [attention.query_dense]) is attention
    assert find_block(model, [attention.query_dense, attention.key_dense]) is attention
    assert find_block(model, [attention.output_dense]) is None
    assert find_block(model, [attention.query_dense, model.get_layer("last")]) is None
    assert find_block(other, [block.gate, block.up]) is block
    assert find_block(other, [block.gate]) is None
    whole = keras.Sequential([keras.Input((5, 8)), other])
    assert find_block(whole, [block.gate, block.up]) is block
    assert find_block(whole, [block.gate, all_layers(other)[-1]]) is other


def test_rows_recorded_are_bounded():
    model = attending()
    layer = model.get_layer("attention")
    for most, batches in ((1, 1), (11, 2), (1000, 3)):
        block = record_block(model, layer, [layer.query_dense], X, 2, most)
        assert len(block._calls) == batches


def test_a_run_goes_on_in_the_middle_of_a_block(tmp_path):
    model, solver = attending(), AWQ(num_ratios=3)
    first = quantize(model, X, solver=solver, bits=BITS, directory=tmp_path)
    sorted(tmp_path.iterdir())[1].unlink()
    again = quantize(model, X, solver=solver, bits=BITS, directory=tmp_path)
    for path, matrix in first.matrices.items():
        np.testing.assert_array_equal(again.matrices[path].values(), matrix.values())
    assert len(list(tmp_path.iterdir())) == len(first.matrices)


def test_inside_another_solver_every_layer_is_on_its_own():
    assert "block" in AWQ().needs
    for solver in (AWQ(ratio=0.5), AWQ(objective="layer"), Rotated(AWQ())):
        assert "block" not in solver.needs
    kernel = to_matrix(np.ones((8, 2)) * SIZES[:, None], (1,))
    problems = [LayerProblem.from_inputs(kernel, X.reshape(-1, 8), BITS)] * 2
    first, second = AWQ().solve_together(problems)
    np.testing.assert_array_equal(first.input_scale, second.input_scale)
