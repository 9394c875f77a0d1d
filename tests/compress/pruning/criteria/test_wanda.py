import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.pruning import UniformAllocation, Wanda, prune_weights
from keras_compress.pruning.criteria._kernel_inputs import KernelInputs
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import WEIGHTS, X


def reference_wanda(comparison="output"):
    w1, b1, w2, _ = (np.asarray(w, "float64") for w in WEIGHTS)
    inputs = [np.asarray(X, "float64"), np.tanh(X @ w1 + b1)]
    scores = [
        np.abs(w) * np.sqrt((x**2).mean(axis=0))[:, None]
        for x, w in zip(inputs, (w1, w2), strict=True)
    ]
    return [reference_ranks(score) for score in scores] if comparison == "output" else scores


def reference_ranks(score):
    """Position in the order of (rank within the column, score), divided by the size."""
    ranks = [[sorted(column).index(value) for value in column] for column in score.T.tolist()]
    keys = [
        (ranks[column][row], score[row, column])
        for row in range(score.shape[0])
        for column in range(score.shape[1])
    ]
    order = sorted(keys)
    return np.array([order.index(key) for key in keys]).reshape(score.shape) / score.size


@pytest.mark.parametrize("comparison", ["output", "layer"])
def test_equals_the_formula(comparison):
    model = tanh_net.model()
    found = Wanda(X, comparison=comparison, batch_size=4).scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_wanda(comparison))


def test_every_output_unit_loses_the_same_number():
    model = tanh_net.model()
    report = prune_weights(
        model, 0.5, criterion=Wanda((X, None)), allocation=UniformAllocation(min_keep=0.0)
    )
    first, second = report.masks.values()
    # Half of three inputs: two of the four units lose one weight, two lose two.
    assert sorted(first.sum(axis=0).tolist()) == [1, 1, 2, 2]
    assert second.sum(axis=0).tolist() == [2, 2]


IDS = np.random.default_rng(0).integers(0, 5, (6, 4)).astype("int32")


@pytest.fixture(scope="module")
def tokens():
    """Layers of many kinds in a row, and the inputs of each, computed one by one."""
    keras.utils.set_random_seed(0)
    embedding = layers.Embedding(6, 4)
    attention = layers.MultiHeadAttention(2, 3)
    lstm = layers.LSTM(3, return_sequences=True)
    conv = layers.Conv1D(4, 2, groups=1)
    transposed = layers.Conv1DTranspose(3, 2)
    separable = layers.SeparableConv1D(4, 2)
    timed = layers.TimeDistributed(layers.Dense(3))
    inputs = keras.Input((4,), dtype="int32")
    first = embedding(inputs)
    x = lstm(attention(first, first))
    model = keras.Model(inputs, timed(separable(transposed(conv(x)))))
    seen = {"embedding": embedding(IDS)}
    seen["attention"] = attention(seen["embedding"], seen["embedding"])
    seen["lstm"] = lstm(seen["attention"])
    seen["conv"] = conv(seen["lstm"])
    seen["transposed"] = transposed(seen["conv"])
    seen["separable"] = separable(seen["transposed"])
    seen = {name: ops.convert_to_numpy(value).astype("float64") for name, value in seen.items()}
    variables = {
        "embeddings": embedding.embeddings,
        "query": attention.query_dense.kernel,
        "lstm": lstm.cell.kernel,
        "recurrent": lstm.cell.recurrent_kernel,
        "conv": conv.kernel,
        "transposed": transposed.kernel,
        "pointwise": separable.pointwise_kernel,
        "timed": timed.layer.kernel,
    }
    scores = Wanda(IDS, comparison="layer").scores(model, list(variables.values()))
    return variables, dict(zip(variables, scores, strict=True)), seen


def test_kinds_of_layers(tokens):
    variables, scores, seen = tokens
    sizes = {name: np.abs(ops.convert_to_numpy(v) * 1.0) for name, v in variables.items()}

    def norms(array):
        return np.sqrt((array.reshape(-1, array.shape[-1]) ** 2).mean(axis=0))

    patches = np.concatenate([seen["lstm"][:, :-1], seen["lstm"][:, 1:]], axis=-1)
    expected = {
        "embeddings": sizes["embeddings"]
        * np.sqrt(np.bincount(IDS.ravel(), minlength=6) / IDS.size)[:, None],
        "query": sizes["query"] * norms(seen["embedding"])[:, None, None],
        "lstm": sizes["lstm"] * norms(seen["attention"])[:, None],
        "recurrent": sizes["recurrent"],
        "conv": sizes["conv"] * norms(patches).reshape(2, 3)[..., None],
        "transposed": sizes["transposed"] * norms(seen["conv"]),
        "pointwise": sizes["pointwise"],
        "timed": sizes["timed"] * norms(seen["separable"])[:, None],
    }
    tanh_net.assert_close(list(scores.values()), [expected[name] for name in scores])


def test_rows_and_outputs_of_transposed_kernels(tokens):
    variables, scores, _ = tokens
    kernel = variables["transposed"]
    view = KernelInputs(kernel, layers.Conv1DTranspose(3, 2), None)
    matrix = view.matrix(scores["transposed"])
    assert matrix.shape == (8, 3)
    np.testing.assert_array_equal(matrix[4:, 1], scores["transposed"][1, 1])
    np.testing.assert_array_equal(view.kernel(matrix), scores["transposed"])


def test_bad_arguments():
    with pytest.raises(ValueError, match="comparison"):
        Wanda(X, comparison="row")
    with pytest.raises(ValueError, match="not finite"):
        prune_weights(tanh_net.model(), 0.5, criterion=Wanda(np.full_like(X, np.inf)))
