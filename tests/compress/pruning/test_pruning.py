import copy
import warnings

import keras
import numpy as np
import pytest

from keras_compress.pruning import (
    Criterion,
    GlobalAllocation,
    LayerCollapseWarning,
    Magnitude,
    Pruning,
    SparsityRule,
    UniformAllocation,
    sparsity_report,
    strip,
)
from keras_compress.schedules import Constant, PolynomialDecay
from keras_reweight.callbacks import BackupState
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

RAMP = PolynomialDecay(0.0, 0.8, begin_step=2, end_step=9)


def same(first, second):
    return all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


class Signed(Criterion):
    def score(self, weight):
        return weight


def test_updates_come_on_time_and_reach_the_schedule_exactly():
    model, spy = sequential(), Spy(num_zeros)
    pruning = Pruning(RAMP, begin_step=2, frequency=3, allocation=GlobalAllocation())
    history = fit(model, pruning, spy, epochs=2).history
    expected, last = [], 0
    for step in range(12):
        if step >= 2 and ((step - 2) % 3 == 0 or step == RAMP.end_step) and step <= 9:
            last = round(RAMP(step) * 70)
        expected.append(last)
    assert spy.batches == expected
    assert spy.epochs == [round(RAMP(5) * 70), 56]
    assert history["sparsity"] == pytest.approx([round(RAMP(5) * 70) / 70, 0.8])
    assert num_zeros(model) == 56


def test_once_with_any_criterion_and_allocation():
    model, before, after = sequential(), Spy(kernels), Spy(kernels)
    pruning = Pruning(0.5, criterion=Signed(), allocation=UniformAllocation(), begin_step=4)
    fit(model, before, pruning, after)
    assert all((kernel != 0).all() for step in after.batches[:4] for kernel in step)
    for old, new in zip(before.batches[4], after.batches[4], strict=True):
        np.testing.assert_array_equal(
            new, np.where(old > np.sort(old, None)[old.size // 2 - 1], old, 0)
        )
    assert [int((kernel == 0).sum()) for kernel in kernels(model)] == [30, 5]


def test_an_update_due_after_the_last_step_is_not_lost():
    model = sequential()
    fit(model, Pruning(lambda step: 0.1 * step, frequency=6, allocation=GlobalAllocation()))
    assert num_zeros(model) == 42


def test_validation_sees_the_update_that_is_due():
    model, seen = sequential(), []

    class Look(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            seen.append(num_zeros(self.model))

    fit(model, Pruning(lambda step: 0.1 * step, frequency=6), Look(), validation_data=(X, Y))
    assert seen == [42]


def test_constant_schedule_and_float_are_the_same():
    models = [sequential(), sequential()]
    for model, sparsity in zip(models, (0.5, Constant(0.5)), strict=True):
        fit(model, Pruning(sparsity, begin_step=3, frequency=1))
    assert same(weights(models[0]), weights(models[1]))


def test_schedules_may_return_tensors():
    model = sequential()
    fit(model, Pruning(lambda step: keras.ops.convert_to_tensor(0.5)))
    assert num_zeros(model) == 35


def test_a_falling_schedule_lets_weights_grow_back():
    model, spy = sequential(), Spy(num_zeros)
    pruning = Pruning(PolynomialDecay(0.8, 0.4, end_step=2), frequency=1)
    history = fit(model, pruning, spy, epochs=2).history
    assert spy.batches[0] == 56
    assert history["sparsity"] == [0.4, 0.4]
    assert 28 <= num_zeros(model) < 56


def test_a_second_fit_goes_on_with_the_schedule_and_a_new_model_begins_anew():
    once, twice = sequential(), sequential()
    fit(once, Pruning(RAMP, begin_step=2, frequency=3), epochs=2)
    pruning = Pruning(RAMP, begin_step=2, frequency=3)
    fit(twice, pruning)
    twice.evaluate(X, Y, verbose=0, callbacks=[pruning])
    fit(twice, pruning)
    assert pruning.get_state()["step"] == 12
    assert same(weights(once), weights(twice))
    other = sequential()
    fit(other, pruning)
    assert pruning.get_state()["step"] == 6
    assert num_zeros(other) == round(RAMP(5) * 70)


def test_continuing_after_dense_training_prunes_again_only_in_fit():
    model, pruning = sequential(), Pruning(0.5)
    fit(model, pruning)
    fit(model)
    assert num_zeros(model) < 35
    before = weights(model)
    model.evaluate(X, Y, verbose=0, callbacks=[pruning])
    model.predict(X, verbose=0, callbacks=[pruning])
    assert same(before, weights(model))
    fit(model, pruning)
    assert num_zeros(model) == 35


def test_resumed_from_its_state_equals_uninterrupted(tmp_path):
    path = str(tmp_path / "model.keras")
    arguments = {"begin_step": 2, "frequency": 3}
    whole, first = sequential(), sequential()
    fit(whole, Pruning(RAMP, **arguments), epochs=2)
    pruning = Pruning(RAMP, **arguments)
    fit(first, pruning)
    first.save(path)
    second = keras.models.load_model(path)
    resumed = Pruning(RAMP, **arguments)
    resumed.set_state(pruning.get_state())
    fit(second, resumed)
    assert same(weights(whole), weights(second))
    assert same(
        map(keras.ops.convert_to_numpy, whole.optimizer.variables),
        map(keras.ops.convert_to_numpy, second.optimizer.variables),
    )


@pytest.mark.parametrize("own_backup", [False, True])
def test_backup_and_restore_equals_uninterrupted(tmp_path, own_backup):
    def callbacks():
        pruning = Pruning(RAMP, begin_step=2, frequency=4)
        own = [BackupState(tmp_path)] if own_backup else []
        return [pruning, *own, keras.callbacks.BackupAndRestore(str(tmp_path))]

    whole = sequential()
    fit(whole, Pruning(RAMP, begin_step=2, frequency=4), epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fit(sequential(), *callbacks(), Interrupt(epoch=1), epochs=3)
    resumed = sequential(seed=1)
    fit(resumed, *callbacks(), epochs=3)
    assert same(weights(whole), weights(resumed))


def test_state_of_another_model_is_refused():
    pruning = Pruning(0.5, layers="dense")
    fit(sequential(), pruning)
    other = Pruning(0.5)
    other.set_state(pruning.get_state())
    with pytest.raises(ValueError, match="another model or other `layers`"):
        fit(sequential(), other)
    other = Pruning(0.5)
    other.set_state({})
    with pytest.raises(ValueError, match="lacks 'step'"):
        fit(sequential(), other)


def test_state_may_be_set_while_training():
    class Jump(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                state = pruning.get_state()
                pruning.set_state({**state, "step": np.asarray(101)})

    model, spy = sequential(), Spy(num_zeros)
    pruning = Pruning(lambda step: 0.7 if step >= 103 else 0.1, frequency=1)
    fit(model, Jump(), pruning, spy)
    assert spy.batches == [7, 7, 7, 49, 49, 49]
    assert pruning.get_state()["step"] == 106


def test_copies_are_independent_even_in_the_middle_of_a_fit():
    copies = []

    class Copy(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                copies.append(copy.deepcopy(pruning))

    model = sequential()
    pruning = Pruning(RAMP, begin_step=2, frequency=3)
    copies.append(copy.deepcopy(pruning))
    fit(model, pruning, Copy())
    for clone in copies:
        again = sequential()
        fit(again, clone)
        assert same(weights(model), weights(again))


def test_errors_of_a_schedule_name_the_step_and_leave_a_usable_model():
    model = sequential()
    pruning = Pruning(lambda step: 0.5 if step < 4 else 1.5, frequency=2)
    with pytest.raises(ValueError, match="sparsity at step 4"):
        fit(model, pruning)
    assert strip(model).layers[0].kernel.constraint is None
    fit(model)
    with pytest.raises(ValueError, match="At step 6.*min_keep"):
        fit(model, Pruning(lambda step: 0.1 * step, frequency=2, allocation=GlobalAllocation(0.4)))


@pytest.mark.parametrize(
    ("pruning", "message"),
    [
        (Pruning(0.95, allocation=GlobalAllocation(0.1)), "min_keep"),
        (
            Pruning(PolynomialDecay(0.0, 0.95, end_step=9), allocation=UniformAllocation(0.1)),
            "step 9",
        ),
        (Pruning(PolynomialDecay(0.0, 1.0, end_step=9)), "sparsity at step 9"),
        (Pruning(0.5, layers="nowhere"), "nowhere"),
        (Pruning(0.5, layers=[]), "selects no layer"),
    ],
)
def test_what_must_fail_fails_before_anything_changes(pruning, message):
    model = sequential()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        fit(model, pruning)
    assert same(before, weights(model))
    assert model.layers[0].kernel.constraint is None
    assert not any("mask" in variable.path for variable in model.optimizer.variables)


def test_nan_weights_end_training_with_a_clear_error():
    model = sequential()
    model.layers[0].kernel.assign(np.full((6, 10), np.nan, "float32"))
    with pytest.raises(ValueError, match="NaN"):
        fit(model, Pruning(0.5))


def test_uncompiled_models_are_refused():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="compile"):
        model.predict(X, verbose=0, callbacks=[Pruning(0.5)])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity"),
        ({"sparsity": -0.5}, ValueError, "sparsity"),
        ({"sparsity": "0.5"}, TypeError, "sparsity"),
        ({"sparsity": 0.5, "begin_step": -1}, ValueError, "begin_step"),
        ({"sparsity": 0.5, "frequency": 0}, ValueError, "frequency"),
        ({"sparsity": 0.5, "frequency": 1.5}, TypeError, "frequency"),
        ({"sparsity": 0.5, "criterion": "magnitude"}, TypeError, "criterion"),
        ({"sparsity": 0.5, "allocation": Magnitude()}, TypeError, "allocation"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Pruning(**arguments)


def test_config_round_trip():
    pruning = Pruning(
        RAMP, allocation=UniformAllocation(0.01), begin_step=2, layers=["dense"], name="mine"
    )
    config = keras.saving.serialize_keras_object(pruning)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == pruning.get_config()
    assert again.sparsity == RAMP
    assert again.criterion is None
    assert again.allocation == UniformAllocation(0.01)


def test_two_callbacks_on_two_layers_log_both():
    model = sequential()
    history = fit(
        model, Pruning(0.5, layers="dense", name="one"), Pruning(0.8, layers="dense_1", name="two")
    ).history
    assert history["sparsity"] == [0.5]
    assert history["two_sparsity"] == [0.8]
    assert [row.sparsity for row in sparsity_report(model).variables if row.prunable] == [0.5, 0.8]


def test_gradient_accumulation_counts_batches():
    model, spy = (
        sequential(keras.optimizers.Adam(0.1, gradient_accumulation_steps=2)),
        Spy(num_zeros),
    )
    fit(model, Pruning(0.5, begin_step=3), spy)
    assert spy.batches == [0, 0, 0, 35, 35, 35]
    assert num_zeros(model) == 35


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses it on torch")
def test_steps_per_execution_updates_between_executions():
    model, spy = sequential(steps_per_execution=4), Spy(num_zeros)
    pruning = Pruning(lambda step: 0.07 * step, begin_step=1, frequency=1)
    fit(model, pruning, spy, epochs=2)
    # Executions begin at steps 0 and 4, in the second epoch at 6 and 10.
    assert spy.batches == [0, round(0.28 * 70), round(0.42 * 70), round(0.7 * 70)]
    assert pruning.get_state()["step"] == 12


def test_a_layer_without_weights_is_reported_once():
    model = sequential()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LayerCollapseWarning)
        fit(model, Pruning(EmptyOutputLayer(), frequency=2))
    (only,) = (each for each in caught if each.category is LayerCollapseWarning)
    assert str(only.message).startswith("pruning: no weight is left in")


class EmptyOutputLayer(SparsityRule):
    def targets(self, values, masks):
        return [0, 10]
