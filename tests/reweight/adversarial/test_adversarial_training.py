"""The step is that of the formulas; weights, metrics, normalization, saving."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.adversarial import models
from tests.reweight.attacks import linear
from tests.reweight.meta.models import steps

CASES = {
    "madry": (None, models.madry_terms),
    "trades": (kr.adversarial.TRADES(2.0), models.trades_terms(2.0, False)),
    "mart": (kr.adversarial.MART(3.0), models.mart_terms(3.0)),
}


def trainer(objective=None, loss="crossentropy", model=None, **options):
    attack = kr.attacks.PGD(loss=loss, **models.ATTACK)
    model = linear.model() if model is None else model
    return kr.adversarial.AdversarialTraining(model, attack, objective=objective, **options)


@pytest.mark.parametrize("case", list(CASES))
def test_a_step_follows_the_formula(case):
    objective, terms = CASES[case]
    found = models.after_a_step(trainer(objective), compiled=case == "trades")
    for value, expected in zip(found, models.stepped(terms), strict=True):
        assert_close(value, expected, case, relative=1e-4)


def test_weights_of_instances_and_classes_multiply():
    x_adv = models.attacked()
    losses = -np.log(models.own(linear.softmax(linear.logits(x_adv))))
    instance = np.exp(losses / 0.5) / np.exp(losses / 0.5).sum() * 7.0
    given = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0, 3.0], "float32")
    found = models.after_a_step(trainer(weighting=kr.weightings.KLDRO(0.5)), sample_weight=given)
    expected = models.stepped(models.madry_terms, instance * given)
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, "a step", relative=1e-4)


@pytest.mark.parametrize("reads", ["clean", "adversarial"])
def test_a_weighting_reads_the_chosen_predictions(reads):
    x_seen = linear.X if reads == "clean" else models.attacked()
    scores = linear.logits(x_seen)
    energy = np.abs(np.log(np.exp(scores).sum(axis=1)))
    weights = 1.0 / np.log1p(np.exp(energy))
    made = trainer(
        kr.adversarial.TRADES(2.0, weight_clean=True),
        weighting=kr.weightings.Energy(),
        weighting_reads=reads,
    )
    expected = models.stepped(models.trades_terms(2.0, True), weights)
    for value, wanted in zip(models.after_a_step(made), expected, strict=True):
        assert_close(value, wanted, "a step", relative=1e-4)


def test_metrics_see_adversarial_inputs_and_evaluation_clean_ones():
    made = trainer()
    made.compile(
        keras.optimizers.SGD(1e-9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **steps(),
    )
    y = linear.logits(linear.X).argmax(axis=1)
    history = made.fit(linear.X, y, batch_size=7, verbose=0, validation_data=(linear.X, y)).history
    attacked = linear.reference_pgd(linear.X, y, models.ATTACK["ball"], 0.1, 2, "crossentropy")
    right = linear.logits(attacked).argmax(axis=1) == y
    assert right.mean() < 1.0
    np.testing.assert_allclose(history["accuracy"], [right.mean()], rtol=1e-5)
    np.testing.assert_allclose(history["val_accuracy"], [1.0])


def test_normalization_learns_from_the_training_passes_alone():
    normalization = keras.layers.BatchNormalization(momentum=0.0)
    model = keras.Sequential([keras.Input((5,)), normalization, keras.layers.Dense(3)])
    made = trainer(kr.adversarial.TRADES(), model=model)
    models.after_a_step(made)
    moved = ops.convert_to_numpy(normalization.moving_mean)
    # With a momentum of zero the mean of the last pass is left: that on adversarial inputs.
    assert np.abs(moved - linear.X.mean(axis=0)).max() > 1e-4
    assert np.abs(moved - linear.X.mean(axis=0)).max() < 0.2 + 1e-5


def test_it_goes_on_with_other_starts_and_is_saved(tmp_path):
    attack = kr.attacks.PGD(0.1, steps=1, seed=2)
    made = kr.adversarial.AdversarialTraining(
        linear.model(), attack, objective=kr.adversarial.MART(2.0), weighting=kr.weightings.KLDRO()
    )
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **steps())
    made.fit(linear.X, linear.Y, batch_size=3, verbose=0)
    assert ops.convert_to_numpy(made._batches) == 3.0
    path = tmp_path / "trainer.keras"
    made.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.attack.get_config() == attack.get_config()
    assert loaded.objective.beta == 2.0 and ops.convert_to_numpy(loaded._batches) == 3.0
    loaded.fit(linear.X, linear.Y, batch_size=3, verbose=0)


def test_what_is_refused():
    with pytest.raises(TypeError, match="attack"):
        kr.adversarial.AdversarialTraining(linear.model(), "pgd")
    with pytest.raises(TypeError, match="objective"):
        trainer("trades")
    with pytest.raises(ValueError, match="makes no clean"):
        trainer(weighting=kr.weightings.Energy(), weighting_reads="clean")
