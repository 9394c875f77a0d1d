import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.post_training import GPTAQ, GPTQ, LayerProblem, RoundToNearest, Solver, quantize

GENERATOR = np.random.default_rng(0)
X = (GENERATOR.normal(size=(48, 6)) @ GENERATOR.normal(size=(6, 6))).astype("float32")
IDS = GENERATOR.integers(1, 9, (8, 5))
IDS[:, 3:] *= np.arange(8)[:, None] % 2
IMAGES = GENERATOR.normal(size=(6, 6, 6, 2)).astype("float32")


class Recorder(Solver):
    """Rounds, and keeps the problems it was given."""

    needs = frozenset({"gram", "cross", "inputs", "mean_abs", "outputs", "gradient"})
    max_samples = 30

    def __init__(self):
        self.problems = {}

    def solve(self, problem):
        self.problems.setdefault(problem.path, []).append(problem)
        return RoundToNearest().solve(problem)


def drawn(model, seed=1):
    """The model with weights drawn by NumPy."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if "norm" not in variable.path and "float" in variable.dtype:
            variable.assign(0.5 * generator.normal(size=tuple(variable.shape)))
    return model


def network():
    return drawn(
        keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, "relu", name="first"),
                layers.Dropout(0.5, name="idle"),
                layers.Dense(3, name="last"),
            ]
        )
    )


def attention_network():
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True, name="tokens")(ids)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    return drawn(keras.Model(ids, layers.Dense(3, name="last")(x)))


def convolutions():
    return drawn(
        keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(4, 3, padding="same", activation="relu", name="plain"),
                layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
                layers.BatchNormalization(name="norm"),
                layers.Conv2D(6, 2, groups=2, name="grouped"),
            ]
        )
    )


class Branches(keras.Model):
    """Layers in a list, called by code of its own."""

    def __init__(self, width):
        super().__init__()
        self.width = width
        self.parts = [layers.Dense(width, "relu") for _ in range(2)]
        self.head = layers.Dense(2)

    def call(self, inputs):
        return self.head(self.parts[0](inputs) * self.parts[1](inputs))

    def get_config(self):
        return {"width": self.width}


class NoConfiguration(Branches):
    """Cannot be copied."""

    def get_config(self):
        raise NotImplementedError("no configuration.")


def host(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor)).astype("float64")


def errors(quantized):
    return {line.path: (line.nearest_error, line.error) for line in quantized.report.layers}


@pytest.fixture(scope="module")
def mlp():
    return network()


@pytest.fixture(scope="module")
def recorded(mlp):
    solver = Recorder()
    labels = np.arange(48) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    quantized = quantize(mlp, (X, labels), solver=solver, bits=2, loss=loss, batch_size=24)
    return solver.problems, quantized


def test_every_layer_is_solved_for_the_inputs_that_the_quantized_part_gives(mlp):
    before = [host(v) for v in mlp.weights]
    found = quantize(mlp, X, bits=2, batch_size=24)
    inputs = X.astype("float64")
    for layer, twin in (
        (mlp.layers[0], found.model.layers[0]),
        (mlp.layers[2], found.model.layers[2]),
    ):
        problem = LayerProblem.from_inputs(host(layer.kernel), inputs, 2)
        wanted = GPTQ().solve(problem)
        assert np.array_equal(found.matrices[twin.kernel.path].codes, wanted.codes)
        assert np.array_equal(host(twin.kernel), wanted.values())
        inputs = np.maximum(inputs @ wanted.values() + host(layer.bias), 0.0)
        line = next(line for line in found.report.layers if line.path == layer.name)
        assert line.error == pytest.approx(problem.error(wanted.values()), rel=1e-4)
        nearest = RoundToNearest().solve(problem)
        assert line.nearest_error == pytest.approx(problem.error(nearest.values()), rel=1e-4)
        assert line.error < line.nearest_error
    assert all(np.array_equal(a, host(v)) for a, v in zip(before, mlp.weights, strict=True))


def test_other_data_give_other_codes(mlp):
    first, second = (
        quantize(mlp, X, bits=3),
        quantize(mlp, X[::-1] * [[3, 1, 1, 0.2, 1, 1]], bits=3),
    )
    pairs = zip(first.matrices.values(), second.matrices.values(), strict=True)
    assert not any(np.array_equal(one.codes, other.codes) for one, other in pairs)


def test_batches_of_any_kind_give_what_arrays_give(mlp):
    whole = quantize(mlp, X, batch_size=48)
    parts = quantize(mlp, [(X[:7], None), (X[7:], None)])
    for one, other in zip(whole.matrices.values(), parts.matrices.values(), strict=True):
        assert np.array_equal(one.codes, other.codes)


def test_solvers_get_the_statistics_of_both_models(mlp, recorded):
    problems, quantized = recorded
    (problem,) = problems["last"]
    exact = np.maximum(X @ host(mlp.layers[0].kernel) + host(mlp.layers[0].bias), 0.0)
    twin = quantized.model.layers[0]
    changed = np.maximum(X @ host(twin.kernel) + host(twin.bias), 0.0)
    assert np.allclose(problem.gram, 2 * changed.T @ changed / 48, rtol=1e-4, atol=1e-5)
    wanted = 2 * (exact - changed).T @ changed / 48
    assert np.allclose(problem.cross, wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(problem.cross).max() > 0.1
    assert np.allclose(problem.mean_abs, np.abs(changed).mean(axis=0), rtol=1e-4)
    assert problem.inputs.shape == (30, 8)
    rows = [np.abs(changed - row).max(axis=1).argmin() for row in problem.inputs]
    assert sorted(set(rows)) == rows and np.allclose(problem.inputs, changed[rows], atol=1e-4)
    kernel = host(mlp.layers[2].kernel)
    assert np.allclose(problem.targets, exact[rows] @ kernel, rtol=1e-3, atol=1e-3)
    logits = exact @ kernel + host(mlp.layers[2].bias)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    slope = exact.T @ (probabilities - np.eye(3)[np.arange(48) % 3]) / 48
    assert np.allclose(problem.gradient, slope, rtol=1e-3, atol=1e-5)
    assert problem.layer is quantized.model.layers[2]


def test_attention_projections_share_their_inputs_and_masked_tokens_do_not_count():
    model = attention_network()
    solver = Recorder()
    solver.needs = frozenset({"cross"})
    found = quantize(model, IDS, solver=solver, bits=3, batch_size=4)
    assert [line.path for line in found.report.layers] == [
        "attention/query",
        "attention/key",
        "attention/value",
        "attention/attention_output",
        "last",
    ]
    tokens = host(model.get_layer("tokens").embeddings)[IDS[IDS > 0]]
    for name in ("query", "key", "value"):
        (problem,) = solver.problems[f"attention/{name}"]
        assert np.allclose(problem.gram, 2 * tokens.T @ tokens / len(tokens), rtol=1e-4)
        assert np.abs(problem.cross).max() == 0.0
        assert problem.weight.shape == (8, 8) and problem.shape == (8, 2, 4)
    (problem,) = solver.problems["attention/attention_output"]
    assert problem.shape == (2, 4, 8) and np.abs(problem.cross).max() > 1e-3
    assert "tokens" in found.report.skipped


def test_embeddings_are_rounded_where_they_are_named():
    model = attention_network()
    found = quantize(model, IDS, layers=["tokens", "last"], bits={"tokens": 8, "last": 4})
    line = found.report.layers[0]
    assert line.path == "tokens" and line.bits == 8 and line.error < 1e-4
    matrix = found.matrices[found.model.get_layer("tokens").embeddings.path]
    assert matrix.codes.shape == (8, 9)


@pytest.mark.parametrize("solver", [GPTQ(axis="auto"), GPTAQ()])
def test_kernels_with_groups_are_solved_group_by_group(solver):
    model = convolutions()
    found = quantize(model, IMAGES, solver=solver, bits=3, group_size=4)
    for path, (nearest, error) in errors(found).items():
        assert error < nearest, path
    for layer in found.model.layers:
        if layer.name != "norm":
            matrix = found.matrices[layer.kernel.path]
            assert np.array_equal(host(layer.kernel), matrix.values())
            levels = to_matrix(matrix.values(), matrix.channel_axes)
            assert all(len(set(column)) <= 8 * 5 for column in levels.T)


def test_subclassed_models_keep_their_class():
    model = Branches(7)
    model(X)
    drawn(model)
    found = quantize(model, X, bits=3)
    assert type(found.model) is Branches and len(found.matrices) == 3
    assert len({line.path for line in found.report.layers}) == 3
    assert all(error < nearest for nearest, error in errors(found).values())
    for layer, twin in zip(model.layers, found.model.layers, strict=True):
        assert np.array_equal(host(twin.kernel), found.matrices[twin.kernel.path].values())
        assert not np.array_equal(host(twin.kernel), host(layer.kernel))
        assert np.array_equal(host(twin.bias), host(layer.bias))


def test_models_that_cannot_be_copied_are_changed_in_place():
    twin, model = Branches(7), NoConfiguration(7)
    for one in (twin, model):
        one(X)
        drawn(one)
    with pytest.raises(ValueError, match="copy=False"):
        quantize(model, X)
    wanted = quantize(twin, X, bits=2, solver=GPTAQ())
    found = quantize(model, X, bits=2, solver=GPTAQ(), copy=False)
    assert found.model is model
    for one, other in zip(model.weights, wanted.model.weights, strict=True):
        assert np.array_equal(host(one), host(other))


def test_bits_per_layer_and_what_is_left_out(mlp):
    found = quantize(mlp, X, bits={"l*": 2}, symmetric=True)
    assert [(line.path, line.bits) for line in found.report.layers] == [("last", 2)]
    assert found.report.skipped["first"] == "no bits in `bits`"
    (matrix,) = found.matrices.values()
    assert (matrix.grid.zero_point == 2).all()
    assert "not quantized: first" in str(found.report) and "last   2" in str(found.report)
    found = quantize(mlp, X, layers=re.compile("first"), bits=5)
    assert [line.path for line in found.report.layers] == ["first"]


def test_containers_stand_for_what_is_in_them_and_patterns_pass_over_the_rest():
    model = attention_network()
    found = quantize(model, IDS, solver=RoundToNearest(), layers="attention")
    inside = [line.path for line in found.report.layers]
    assert len(inside) == 4 and found.report.skipped["last"] == "not selected"
    found = quantize(model, IDS, solver=RoundToNearest(), layers=re.compile("attention"))
    assert [line.path for line in found.report.layers] == inside


def test_an_interrupted_run_goes_on(mlp, tmp_path):
    class Interrupted(GPTQ):
        broken = True

        def solve(self, problem):
            if self.broken and problem.path == "last":
                raise RuntimeError("power cut")
            return super().solve(problem)

    solver = keras.saving.register_keras_serializable("test")(Interrupted)()
    with pytest.raises(RuntimeError, match="power cut"):
        quantize(mlp, X, solver=solver, bits=3, directory=tmp_path)
    solver.broken = False
    again = quantize(mlp, X, solver=solver, bits=3, directory=tmp_path)
    whole = quantize(mlp, X, bits=3)
    for path, matrix in whole.matrices.items():
        twin = again.matrices[path.replace(whole.model.name, again.model.name)]
        assert np.array_equal(matrix.values(), twin.values())
    assert errors(again) == errors(whole)
    finished = quantize(mlp, X, solver=solver, bits=3, directory=tmp_path)
    assert finished.report.layers == again.report.layers
    with pytest.raises(ValueError, match="another run"):
        quantize(mlp, X, solver=solver, bits=4, directory=tmp_path)
    with pytest.raises(ValueError, match="another run"):
        quantize(mlp, X * 2, solver=solver, bits=3, directory=tmp_path)


def test_token_weights_change_the_products_of_inputs():
    model = attention_network()
    options = {"bits": 2, "layers": "last"}
    plain = quantize(model, IDS, batch_size=4, **options)

    def codes(weights):
        (matrix,) = quantize(
            model, IDS, token_weights=weights, batch_size=4, **options
        ).matrices.values()
        return matrix.codes

    (matrix,) = plain.matrices.values()
    assert np.array_equal(codes(np.full((8, 5), 0.3)), matrix.codes)
    last = np.zeros((8, 5))
    last[:, 2] = 1.0
    assert not np.array_equal(codes(last), matrix.codes)
    seen = []

    def weigh(inputs, *, x, model, layer):
        seen.append((inputs.shape, x.shape, layer.name))
        return last[: len(x)]

    assert np.array_equal(codes(weigh), codes(last))
    assert seen[0] == ((4, 5, 8), (4, 5), "last")
    for bad in (-last, last[:, :2], 0 * last):
        with pytest.raises(ValueError, match="token_weights"):
            codes(bad)


def test_data_are_needed_where_a_solver_needs_them(mlp):
    found = quantize(mlp, solver=RoundToNearest(), bits=8)
    assert all(line.error == line.nearest_error < 1e-4 for line in found.report.layers)
    with pytest.raises(ValueError, match="`data` is None"):
        quantize(mlp)
    with pytest.raises(ValueError, match="labels"):
        quantize(mlp, X, solver=Recorder())


def test_inputs_that_are_not_finite_are_refused(mlp):
    with pytest.raises(ValueError, match="not finite"):
        quantize(mlp, X * np.nan)


@pytest.mark.parametrize(
    ("changes", "error", "name"),
    [
        ({"bits": 9}, ValueError, "bits"),
        ({"bits": {"missing": 4}}, ValueError, "bits"),
        ({"solver": "gptq"}, TypeError, "solver"),
        ({"layers": ["first", "idle"]}, ValueError, "layers"),
        ({"group_size": 0}, ValueError, "group_size"),
        ({"token_weights": 3}, TypeError, "token_weights"),
        ({"directory": 3}, TypeError, "directory"),
    ],
)
def test_bad_arguments(mlp, changes, error, name):
    with pytest.raises(error, match=name):
        quantize(mlp, X, **changes)


def test_wrapped_layers_are_refused(mlp):
    aware = kc.quantize_aware(mlp, weights=4)
    with pytest.raises(ValueError, match="freeze"):
        quantize(aware, X)
