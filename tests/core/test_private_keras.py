"""One test for each private Keras name that the core relies on: fails when Keras changes it."""

import inspect

import keras
import numpy as np
from keras import ops
from keras.src.backend import set_keras_mask

from keras_reweight.core.loss_evaluation import LossEvaluation, keras_mask
from keras_reweight.core.loss_resolution import resolve_loss

X, Y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")


def build():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    return model


def test_tracker_locks_and_untracks():
    model = build()
    assert {"lock", "unlock", "untrack", "locked"} <= set(dir(model._tracker))
    assert isinstance(model._metrics, list)


def test_compiled_losses_are_named_tuples_of_path_loss_weight_and_name():
    model = build()
    assert model._compile_loss.built
    (entry,) = model._compile_loss._flat_losses
    assert entry._fields == ("path", "loss", "loss_weights", "name")
    assert "self._flat_losses" in inspect.getsource(type(model._compile_loss).call)


def test_steps_call_compute_loss_and_compute_metrics_of_the_instance():
    model, called = build(), set()
    for name in ("compute_loss", "compute_metrics"):
        original = getattr(model, name)

        def spy(*args, _original=original, _name=name, **kwargs):
            called.add(_name)
            return _original(*args, **kwargs)

        object.__setattr__(model, name, spy)
    assert model._compute_loss_has_training_arg is True
    model.train_function = None
    model.fit(X, Y, verbose=0)
    assert called == {"compute_loss", "compute_metrics"}


def test_every_fit_sets_a_new_history_before_set_model():
    model, seen = build(), []

    class Look(keras.callbacks.Callback):
        def set_model(self, model):
            super().set_model(model)
            seen.append(model.history)

    look = Look()
    for _ in range(2):
        model.fit(X, Y, verbose=0, callbacks=[look])
        assert model.history is seen[-1]
    assert seen[0] is not seen[1]


def test_fit_asks_for_the_train_function_of_the_instance():
    model, calls = build(), []
    original = model.make_train_function
    object.__setattr__(
        model, "make_train_function", lambda force=False: calls.append(original(force))
    )
    model.fit(X, Y, verbose=0)
    assert calls


def test_masks_are_attached_to_tensors():
    masked = keras.layers.Masking()(ops.convert_to_tensor(np.zeros((1, 2, 3), "float32")))
    assert not ops.convert_to_numpy(keras_mask(masked)).any()
    assert keras_mask(ops.convert_to_tensor(X)) is None


def test_flatten_layers_opens_containers():
    model = build()
    assert [layer.name for layer in model._flatten_layers(include_self=False)]


def test_functions_are_wrapped_into_per_sample_losses():
    loss = resolve_loss("mse")
    assert loss.call(ops.convert_to_tensor(Y), ops.convert_to_tensor(Y)).shape == (4,)
    assert resolve_loss(loss) is loss
    assert resolve_loss("SparseCategoricalCrossentropy").name == "sparse_categorical_crossentropy"


def test_taken_apart_a_loss_reduces_to_what_it_returns():
    weight = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    mask = ops.convert_to_tensor(np.array([True, True, False, True]))
    for reduction in ("sum_over_batch_size", "sum", "none", "mean_with_sample_weight"):
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        prediction = ops.convert_to_tensor(2 * X)
        set_keras_mask(prediction, mask)
        whole = loss(X, prediction, sample_weight=weight)
        parts = LossEvaluation(loss, X, prediction)
        again = ops.convert_to_numpy(parts.reduce(weight))
        np.testing.assert_allclose(again, ops.convert_to_numpy(whole), rtol=1e-6)


def test_a_loss_with_its_own_call_operator_keeps_it():
    class Own(keras.losses.MeanSquaredError):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return 7.0

    assert LossEvaluation(Own(), X, X).reduce(None) == 7.0


def test_ignored_classes_are_a_mask_of_the_losses():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1)
    parts = LossEvaluation(loss, np.array([0, 1, 0, 1]), X)
    assert ops.convert_to_numpy(parts.mask).tolist() == [True, False, True, False]
