import copy

import keras
import numpy as np
import pytest

from keras_reweight.signatures import (
    EvaluatePatched,
    Patch,
    SignaturePatcher,
    patched,
    weight_digest,
)
from tests.reweight.signatures import models

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
X_NOISE = X + np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
Y = np.arange(8) % 2
# On TensorFlow tracing costs more than a few eager steps.
EAGER = keras.backend.backend() == "tensorflow"


def make(model, name="noise", scale=0.5):
    rng = np.random.default_rng(0)
    return Patch.from_deltas(
        model,
        [(v, rng.normal(scale=scale, size=tuple(v.shape))) for v in model.weights[:2]],
        name=name,
    )


def compiled(run_eagerly=EAGER, dropout=keras.layers.Dropout):
    model = models.regularized(dropout=dropout)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=run_eagerly,
    )
    return model


def fit(model, callbacks, epochs=2, **kwargs):
    keras.utils.set_random_seed(3)
    history = model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=callbacks, **kwargs)
    return history.history


class Digests(keras.callbacks.Callback):
    """Bytes of everything that training moves, at the end of every epoch and at its end."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def note(self):
        model = self.model
        variables = [*model.variables, *model.optimizer.variables]
        self.seen.append([keras.ops.convert_to_numpy(v).tobytes() for v in variables])

    def on_epoch_end(self, epoch, logs=None):
        self.note()

    def on_train_end(self, logs=None):
        self.note()


@pytest.mark.parametrize(
    ("validation", "dropout"), ((False, models.AlwaysDropout), (True, keras.layers.Dropout))
)
def test_training_is_the_same_to_the_last_bit(validation, dropout):
    """Seeds, batch normalization, momentum and shuffling are in play."""
    options = {"validation_data": (X_NOISE, Y)} if validation else {}
    runs = []
    for with_patch in (False, True):
        model, digests = compiled(False, dropout), Digests()
        callbacks = [EvaluatePatched(make(model), X_NOISE, Y)] if with_patch else []
        history = fit(model, [*callbacks, digests], **options)
        runs.append((digests.seen, history))
    (plain, plain_history), (observed, history) = runs
    assert plain == observed and len(plain) == 3
    extra = {"val_noise_patched_loss", "val_noise_patched_accuracy"}
    assert set(history) == set(plain_history) | extra
    for key, values in plain_history.items():
        assert history[key] == values


def test_logs_what_evaluating_the_patched_model_gives():
    model = compiled()
    first, second = make(model, "noise"), make(model, "blur", scale=2.0)
    history = fit(model, [EvaluatePatched({"noise": first, "blur": second}, X_NOISE, Y, alpha=0.7)])
    assert len(history["val_noise_patched_accuracy"]) == 2
    for name, patch in (("noise", first), ("blur", second)):
        with patched(model, patch, 0.7):
            expected = model.evaluate(X_NOISE, Y, verbose=0, return_dict=True)
        for key, value in expected.items():
            np.testing.assert_allclose(history[f"val_{name}_patched_{key}"][-1], value, rtol=1e-6)
    assert history["val_noise_patched_loss"][-1] != history["val_blur_patched_loss"][-1]


def test_later_callbacks_see_the_logs():
    model = compiled()
    stop = keras.callbacks.EarlyStopping("val_noise_patched_loss", baseline=-1.0, mode="min")
    history = fit(model, [EvaluatePatched(make(model), X_NOISE, Y), stop], epochs=5)
    assert len(history["loss"]) < 5


def test_data_sets_and_batch_size():
    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X_NOISE[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]

    history = []
    for arguments in ((Data(),), (X_NOISE, Y)):
        model = compiled()
        history.append(fit(model, [EvaluatePatched(make(model), *arguments, batch_size=None)], 1))
    np.testing.assert_allclose(
        history[0]["val_noise_patched_loss"], history[1]["val_noise_patched_loss"], rtol=1e-5
    )


def test_moving_statistics_in_a_patch():
    model = compiled()
    deltas = [(v, np.ones(v.shape)) for v in model.weights if "moving_mean" in v.path]
    callback = EvaluatePatched(Patch.from_deltas(model, deltas, name="shift"), X_NOISE, Y)
    digests, plain = Digests(), Digests()
    fit(model, [callback, digests], epochs=1)
    fit(compiled(), [plain], epochs=1)
    assert digests.seen == plain.seen


def test_beside_a_patcher_with_the_same_name():
    model = compiled()
    patch, patcher = make(model), SignaturePatcher(model)

    class PatchAtTheEnd(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            patcher.apply(patch)

    history = fit(model, [PatchAtTheEnd(), EvaluatePatched(patch, X_NOISE, Y)], epochs=1)
    assert patcher.active == {"noise": 1.0} and "val_noise_patched_loss" in history
    patcher.revert()
    plain = compiled()
    fit(plain, [], epochs=1)
    assert weight_digest(model) == weight_digest(plain)


def test_an_evaluation_that_fails_restores():
    model = compiled()
    plain = compiled()
    fit(plain, [], epochs=1)
    with pytest.raises(Exception):  # noqa: B017 - each backend has its own error
        fit(model, [EvaluatePatched(make(model), X_NOISE[:, :2], Y)], epochs=1)
    assert weight_digest(model) == weight_digest(plain)


def test_another_architecture_is_refused_before_training():
    model = compiled()
    before = weight_digest(model)
    callback = EvaluatePatched({"noise": make(models.dense())}, X_NOISE, Y)
    with pytest.raises(ValueError, match="Patch 'noise' .*another architecture"):
        fit(model, [callback])
    assert weight_digest(model) == before


def test_a_copy_shares_the_data_but_not_the_model():
    model = compiled()
    callback = EvaluatePatched(make(model), X_NOISE, Y)
    fit(model, [callback], epochs=1)
    twin = copy.deepcopy(callback)
    assert twin is not callback and twin.x is callback.x and twin.model is None
    assert callback.model is model
    assert "val_noise_patched_loss" in fit(model, [twin], epochs=1)


@pytest.mark.parametrize(
    ("signatures", "options", "error", "message"),
    (
        ({}, {}, ValueError, "`signatures` is empty"),
        ([1], {}, TypeError, "`signatures` must be a Patch"),
        ({"noise": 1}, {}, TypeError, r"`signatures`\['noise'\] must be a Patch"),
        (None, {"alpha": float("nan")}, ValueError, "`alpha` must be finite"),
        (None, {"alpha": "1"}, TypeError, "`alpha` must be a number"),
        (None, {"batch_size": 0}, ValueError, "`batch_size` must be >= 1"),
    ),
)
def test_bad_arguments(signatures, options, error, message):
    if signatures is None:
        signatures = make(models.dense())
    with pytest.raises(error, match=message):
        EvaluatePatched(signatures, X, Y, **options)
