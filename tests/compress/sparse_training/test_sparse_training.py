import copy

import keras
import numpy as np
import pytest

from keras_compress.pruning import UniformAllocation, prune_weights, sparsity_report
from keras_compress.sparse_training import SET, Evolution, RigL, SparseTraining
from keras_reweight.core.last_gradients import LastGradients
from keras_reweight.core.optimizer_slots import slots
from keras_reweight.core.state import sync_model
from tests.compress.driven import drive
from tests.compress.pruning.models import (
    Interrupt,
    Spy,
    X,
    Y,
    fit,
    kernels,
    num_zeros,
    sequential,
    weights,
)
from tests.core.test_masks import OPTIMIZERS, value


def eager(optimizer="adam", **arguments):
    """Most tests are not about the compiled step, which takes long to make."""
    return sequential(optimizer, run_eagerly=True, **arguments)


def same(first, second):
    return all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def masks_of(model):
    sync_model(model)
    return [kernel != 0 for kernel in kernels(model)]


class Nothing(Evolution):
    """Static connections."""

    def grow(self, empty, count, gradient, rng):
        return np.zeros(empty.shape, "bool")

    def drop(self, weight, mask, fraction):
        return np.zeros(mask.shape, "bool")


@pytest.mark.parametrize("method", [SET(), RigL(0.6, end=1.0)], ids=["set", "rigl"])
def test_sparsity_is_constant_while_connections_change(method):
    model = sequential()
    sparse = SparseTraining(0.6, method=method, frequency=4, allocation=UniformAllocation())
    zeros, masks = Spy(num_zeros), Spy(lambda model: list(sparse.masks.values()))
    history = fit(model, sparse, zeros, masks, epochs=2).history
    assert all(sum(int((~mask).sum()) for mask in kept) == 42 for kept in masks.batches)
    # New weights of RigL begin at zero.
    assert min(zeros.batches) == 42 and (isinstance(method, RigL) or max(zeros.batches) == 42)
    assert history["sparsity"] == pytest.approx([0.6, 0.6])
    assert num_zeros(model) == 42
    changes = [i + 1 for i in range(11) if not same(masks.batches[i], masks.batches[i + 1])]
    assert changes == [4, 8]
    assert same(sparse.masks.values(), masks_of(model))


def test_an_epoch_is_the_default_and_the_first_epoch_has_the_first_masks():
    model, masks = eager(), Spy(masks_of)
    drive(model, SparseTraining(0.5), masks, epochs=3)
    changes = [i + 1 for i in range(17) if not same(masks.batches[i], masks.batches[i + 1])]
    assert changes == [6, 12]
    # What looks at the weights at the end of an epoch sees the trained ones.
    assert same(masks.epochs[0], masks.batches[5]) and same(masks.epochs[2], masks_of(model))


def test_the_first_masks_are_those_of_the_allocation_or_of_the_model():
    model = eager()
    spy = Spy(masks_of)
    drive(model, SparseTraining(0.5, method=Nothing()), spy)
    # 16 and 11 of 27 shares, for 35 weights; the small kernel stays dense.
    assert [int(mask.sum()) for mask in spy.batches[0]] == [25, 10]
    pruned, spy = eager(), Spy(masks_of)
    prune_weights(pruned, 0.5)
    wanted = masks_of(pruned)
    drive(pruned, SparseTraining(None, method=Nothing()), spy)
    assert same(spy.batches[0], wanted) and same(masks_of(pruned), wanted)


def test_rescaling_keeps_the_variance_of_a_dense_layer():
    """What is left of a variable with a quarter of its weights is twice as large."""
    model = eager()
    before = kernels(model)
    found = Spy(kernels)
    sparse = SparseTraining(0.75, method=Nothing(), allocation=UniformAllocation(0.0))
    drive(model, sparse, found)
    for old, new in zip(before, found.batches[0], strict=True):
        factor = np.sqrt(old.size / np.count_nonzero(new))
        np.testing.assert_allclose(new, np.where(new != 0, factor * old, 0.0), rtol=1e-6)
    plain, found = eager(), Spy(kernels)
    drive(plain, SparseTraining(0.75, method=Nothing(), rescale=False), found)
    for old, new in zip(before, found.batches[0], strict=True):
        np.testing.assert_array_equal(new, np.where(new != 0, old, 0.0))


def test_rigl_grows_at_the_largest_gradients_and_drops_the_smallest_weights():
    class Watch(keras.callbacks.Callback):
        """Everything before and after the update that comes before the second epoch."""

        def on_epoch_end(self, epoch, logs=None):
            sync_model(self.model)
            self.before, self.state = weights(self.model)[0], sparse.get_state()

        def on_epoch_begin(self, epoch, logs=None):
            sync_model(self.model)
            kernel = self.model.layers[0].kernel
            self.after = weights(self.model)[0]
            self.slots = [value(slot) for _, _, slot in slots(self.model.optimizer, kernel)]
            if epoch == 1:
                raise KeyboardInterrupt

    model, watch = eager(), Watch()
    sparse = SparseTraining(
        0.6, method=RigL(0.5, end=1.0), allocation=UniformAllocation(), layers="dense"
    )
    with pytest.raises(KeyboardInterrupt):
        drive(model, sparse, watch, epochs=2)
    mask, gradient = watch.state["mask/0"], watch.state["gradient/0"]
    # Half of the training is over: half of the cosine is left, a quarter of 24 goes.
    kept = reference_top(np.where(mask, np.abs(watch.before), -1.0), 18)
    grown = reference_top(np.where(kept, -1.0, np.abs(gradient)), 6)
    new = grown & ~mask
    assert new.any()
    np.testing.assert_array_equal(watch.after, np.where((kept | grown) & ~new, watch.before, 0.0))
    assert len(watch.slots) == 2
    for slot in watch.slots:
        assert (slot[new] == 0).all() and (slot[kept] != 0).all()


def reference_top(score, count):
    mask = np.zeros(score.size, "bool")
    mask[np.argsort(-score, axis=None, kind="stable")[:count]] = True
    return mask.reshape(score.shape)


def test_no_connection_changes_after_the_end():
    model, masks = eager(), Spy(masks_of)
    drive(model, SparseTraining(0.6, method=SET(end=0.5), frequency=2), masks, epochs=2)
    changes = [i + 1 for i in range(11) if not same(masks.batches[i], masks.batches[i + 1])]
    assert changes == [2, 4]


def test_the_seed_decides():
    runs = []
    for seed in (0, 0, 1):
        model = eager()
        drive(model, SparseTraining(0.6, frequency=2, seed=seed))
        runs.append(weights(model))
    assert same(runs[0], runs[1]) and not same(runs[0], runs[2])


def test_a_second_fit_goes_on_and_a_new_model_begins_anew():
    once, twice = sequential(), sequential()
    drive(once, SparseTraining(0.6), epochs=2)
    sparse = SparseTraining(0.6)
    drive(twice, sparse)
    twice.evaluate(X, Y, verbose=0, callbacks=[sparse])
    drive(twice, sparse)
    assert sparse.get_state()["step"] == 12 and sparse.get_state()["last_update"] == 6
    assert same(weights(once), weights(twice))
    other = sequential()
    drive(other, sparse)
    assert sparse.get_state()["step"] == 6 and num_zeros(other) == 42


def test_evaluation_alone_changes_no_weight():
    model, sparse = eager(), SparseTraining(0.6)
    before = weights(model)
    model.evaluate(X, Y, verbose=0, callbacks=[sparse])
    assert same(before, weights(model))


def test_backup_and_restore_equals_uninterrupted(tmp_path):
    def callbacks():
        sparse = SparseTraining(0.6, method=RigL(0.6, end=1.0), frequency=4)
        return sparse, keras.callbacks.BackupAndRestore(str(tmp_path))

    whole = eager()
    fit(whole, SparseTraining(0.6, method=RigL(0.6, end=1.0), frequency=4), epochs=2)
    with pytest.raises(KeyboardInterrupt):
        fit(eager(), *callbacks(), Interrupt(epoch=1), epochs=2)
    resumed = eager(seed=1)
    fit(resumed, *callbacks(), epochs=2)
    assert same(weights(whole), weights(resumed))


def test_copies_are_independent_even_in_the_middle_of_a_fit():
    copies = []

    class Copy(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                copies.append(copy.deepcopy(sparse))

    model, sparse = eager(), SparseTraining(0.6, method="rigl", frequency=2)
    drive(model, sparse, Copy())
    again = eager()
    drive(again, copies[0])
    assert same(weights(model), weights(again))


@pytest.mark.parametrize("name", ["ema", "loss_scale"])
def test_masks_are_exact_under_optimizers_with_memory(name):
    model = sequential(OPTIMIZERS[name]())
    sparse = SparseTraining(0.6, method=SET(0.5), frequency=2, layers="dense")
    fit(model, sparse)
    (mask,) = sparse.masks.values()
    kernel = kernels(model)[0]
    assert (kernel[~mask] == 0).all() and (kernel[mask] != 0).all()
    assert mask.sum() == 24 and np.isfinite(kernel).all()


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses it on torch")
def test_steps_per_execution_updates_between_executions():
    model = sequential(steps_per_execution=3)
    sparse, masks = SparseTraining(0.6, frequency=2, method="rigl"), Spy(masks_of)
    fit(model, sparse, masks, epochs=2)
    assert len(masks.batches) == 4
    assert sparse.get_state()["step"] == 12
    assert sparsity_report(model).sparsity == 0.6


def test_gradients_are_kept_only_where_they_are_needed(monkeypatch):
    made = []
    original = LastGradients.__init__
    monkeypatch.setattr(
        LastGradients, "__init__", lambda self, *a, **k: made.append(1) or original(self, *a, **k)
    )
    drive(eager(), SparseTraining(0.6))
    assert not made
    drive(eager(), SparseTraining(0.6, method="rigl"))
    assert made


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_unknown_length_of_the_training():
    def batches():
        for start in range(0, 24, 4):
            yield X[start : start + 4], Y[start : start + 4]

    def train(model, sparse):
        model.fit(batches(), shuffle=False, verbose=0, callbacks=[sparse])

    model = eager()
    train(model, SparseTraining(0.6, frequency=2))
    assert num_zeros(model) == 42
    with pytest.raises(ValueError, match="steps_per_epoch"):
        train(eager(), SparseTraining(0.6, method="rigl", frequency=2))


def test_what_must_fail_fails_before_anything_changes():
    for sparse, message in (
        (SparseTraining(0.95, allocation=UniformAllocation(0.1)), "min_keep"),
        (SparseTraining(0.5, layers="nowhere"), "nowhere"),
    ):
        model = eager()
        before = weights(model)
        with pytest.raises(ValueError, match=message):
            drive(model, sparse)
        assert same(before, weights(model))
        assert model.layers[0].kernel.constraint is None


def test_state_of_another_method_is_refused():
    sparse = SparseTraining(0.6)
    drive(eager(), sparse)
    other = SparseTraining(0.6, method="rigl")
    other.set_state(sparse.get_state())
    with pytest.raises(ValueError, match="another `method`"):
        drive(eager(), other)


def test_diverged_training_ends_with_a_clear_error():
    model = eager()
    model.layers[0].kernel.assign(np.full((6, 10), np.nan, "float32"))
    with pytest.raises(ValueError, match="diverged"):
        drive(model, SparseTraining(0.5, frequency=1))
