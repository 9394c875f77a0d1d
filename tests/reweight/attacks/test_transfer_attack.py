"""Inputs made on one model for another."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.attacks import linear
from tests.reweight.meta.models import steps

ATTACK = kr.attacks.PGD(kr.attacks.Ball(0.2, clip=None), steps=2, start="none")


def other():
    model = linear.model()
    model.layers[0].kernel.assign(-linear.KERNEL.astype("float32"))
    return model


def test_it_finds_what_it_finds_on_the_source():
    source, attacked = linear.model(), other()
    found = kr.attacks.TransferAttack(ATTACK, source)(attacked, linear.X, linear.Y)
    np.testing.assert_array_equal(found, ATTACK(source, linear.X, linear.Y))
    assert not np.array_equal(found, ATTACK(attacked, linear.X, linear.Y))


def test_new_weights_of_the_source_are_seen():
    source, attacked = linear.model(), other()
    attack = kr.attacks.TransferAttack(ATTACK, source)
    before = attack(attacked, linear.X, linear.Y)
    source.layers[0].kernel.assign(-linear.KERNEL.astype("float32"))
    after = attack(attacked, linear.X, linear.Y)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, ATTACK(attacked, linear.X, linear.Y))


def test_it_trains_a_model_against_another():
    attack = kr.attacks.TransferAttack(ATTACK, other())
    trainer = kr.adversarial.AdversarialTraining(linear.model(), attack)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("sgd", loss, **steps())
    found = ATTACK(other(), linear.X, linear.Y)
    probabilities = linear.softmax(linear.logits(found))[np.arange(7), linear.Y]
    value = trainer.train_on_batch(linear.X, linear.Y)
    np.testing.assert_allclose(value, -np.log(probabilities).mean(), rtol=1e-5)


def test_what_is_refused():
    with pytest.raises(TypeError, match="attack"):
        kr.attacks.TransferAttack("pgd", other())
    with pytest.raises(TypeError, match="source_model"):
        kr.attacks.TransferAttack(ATTACK, "model")
