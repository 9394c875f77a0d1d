"""What Keras writes of a pruned model: plain, without this package, and with the same outputs."""

import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.export.models import fill

X = np.random.default_rng(3).normal(size=(4, 8)).astype("float32")


def dense_model():
    zeros = {"kernel_initializer": "zeros"}
    return fill(
        keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(16, "relu", **zeros),
                layers.BatchNormalization(),
                layers.Dense(12, "relu", **zeros),
                layers.Dense(3, **zeros),
            ]
        ),
        [],
    )


def pruned_in_fit():
    model = dense_model()
    # Random moving variances can be negative.
    model.layers[1].moving_variance.assign(np.ones(16, "float32"))
    model.compile("adam", "mse")
    first, second, last = (layer for layer in model.layers if isinstance(layer, layers.Dense))
    callbacks = [
        kc.callbacks.MagnitudePruning(0.75, layers=first),
        kc.callbacks.SparseTraining(0.5, method="rigl", layers=second),
        kc.callbacks.Pruning(0.5, criterion=kc.pruning.Movement(), layers=last),
        kc.callbacks.TempBalance(min_eigenvalues=1, skip_ends=False),
    ]
    model.fit(X, X[:, :3], verbose=0, callbacks=callbacks)
    return kc.strip(model)


def pruned_by_structure():
    model = dense_model()
    model.layers[1].moving_variance.assign(np.ones(16, "float32"))
    return kc.prune_structured(model, 0.5)


@pytest.fixture(scope="module", params=[pruned_in_fit, pruned_by_structure])
def model(request):
    return request.param()


def keras_file(model, folder):
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        archive.extractall(folder / "unpacked")
    return keras.saving.load_model(folder / "model.keras")


def saved_model(model, folder):
    import tensorflow as tf

    model.export(folder / "saved", verbose=False)
    loaded = tf.saved_model.load(str(folder / "saved"))
    return lambda x: loaded.serve(x)


def exported_program(model, folder):
    import torch

    model.export(str(folder / "model.pt2"), format="torch", verbose=False)
    program = torch.export.load(folder / "model.pt2").module()
    # Keras exports it for a single sample.
    return lambda x: torch.cat([program(torch.from_numpy(sample[None])) for sample in x])


#: What Keras writes without further libraries.
WRITERS = {
    "jax": [keras_file],
    "tensorflow": [keras_file, saved_model],
    "torch": [keras_file, exported_program],
}[keras.backend.backend()]


@pytest.mark.parametrize("write", WRITERS)
def test_files_are_plain_and_give_the_same_outputs(write, model, tmp_path):
    loaded = write(model, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        for name in (b"keras_compress", b"keras_reweight"):
            assert name not in path.read_bytes()
    found, expected = (keras.ops.convert_to_numpy(one(X)) for one in (loaded, model))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
