"""Callbacks that weigh samples work inside adversarial training, with their state in the step."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.adversarial import models
from tests.reweight.attacks import linear
from tests.reweight.meta.models import steps

GROUPS = np.array([0, 0, 1, 0, 1, 0, 0])
GIVEN = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0, 3.0], "float32")


def adversarial_losses():
    return -np.log(models.own(linear.softmax(linear.logits(models.attacked()))))


def stepped(callback, y=linear.Y, sample_weight=None, compiled=False, **options):
    """Kernel and bias after a step on the whole batch."""
    trainer = kr.adversarial.AdversarialTraining(
        linear.model(), kr.attacks.PGD(**models.ATTACK), **options
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(
        keras.optimizers.SGD(models.RATE), loss, metrics=["accuracy"], **steps(compiled)
    )
    kr.data.enable_aux_targets(trainer)
    fitting = {"batch_size": 7, "verbose": 0, "callbacks": [callback]}
    history = trainer.fit(linear.X, y, sample_weight=sample_weight, **fitting).history
    right = linear.logits(models.attacked()).argmax(axis=1) == linear.Y
    np.testing.assert_allclose(history["accuracy"], [right.mean()], rtol=1e-5)
    return [ops.convert_to_numpy(v) for v in trainer.model.trainable_variables]


def check(found, weights, terms=models.madry_terms):
    for value, wanted in zip(found, models.stepped(terms, weights), strict=True):
        assert_close(value, wanted, "a step", relative=1e-4)


def test_the_denominator_of_the_instance_weights_is_averaged_over_batches():
    temperature, rate, before, limit = 0.7, 0.3, 1.4, 1.2
    callback = kr.callbacks.KLDROReweight(temperature, rate=rate, max_weight=limit)
    callback.set_state({"step": np.array(3), "log_u": np.array(before, "float32")})
    found = stepped(callback, compiled=True)
    scores = adversarial_losses() / temperature
    now = np.log(np.mean(np.exp(scores)))
    log_u = np.logaddexp(np.log(1.0 - rate) + before, np.log(rate) + now)
    weights = np.exp(scores - log_u)
    assert weights.max() > limit > weights.min()
    check(found, np.minimum(weights, limit))
    assert callback.get_state()["log_u"] == pytest.approx(log_u, rel=1e-5)


def test_weights_of_instances_and_of_groups_multiply():
    losses = adversarial_losses()
    instance = np.exp(losses / 0.5) / np.exp(losses / 0.5).sum() * 7.0
    groups = np.array([GIVEN[GROUPS == k] @ losses[GROUPS == k] for k in range(2)])
    mass = np.array([GIVEN[GROUPS == k].sum() for k in range(2)])
    share = np.exp(0.4 * groups / mass)
    share = share / share.sum()
    callback = kr.callbacks.GroupDRO(2, step_size=0.4)
    found = stepped(
        callback,
        kr.data.pack_targets(linear.Y, group=GROUPS),
        sample_weight=GIVEN,
        weighting=kr.weightings.KLDRO(0.5),
    )
    check(found, instance * GIVEN * 7.0 * (share / mass)[GROUPS])
    np.testing.assert_allclose(callback.group_weights, share, rtol=1e-5)


def test_weights_of_groups_act_on_every_term_beside_packed_ones():
    callback = kr.callbacks.GroupReweight(2, [50, 10])
    found = stepped(
        callback,
        kr.data.pack_targets(linear.Y, group=GROUPS, weight=GIVEN),
        objective=kr.adversarial.TRADES(2.0, weight_clean=True),
    )
    # Of the training samples, whose mean weight is one.
    group = np.array([60 / (2 * 50), 60 / (2 * 10)])[GROUPS]
    check(found, GIVEN * group, models.trades_terms(2.0, True))


def test_a_loss_with_memory_sees_the_batch_before_its_losses_are_computed():
    loss = kr.losses.SeesawLoss(num_classes=3)
    trainer = kr.adversarial.AdversarialTraining(linear.model(), kr.attacks.PGD(**models.ATTACK))
    trainer.compile(keras.optimizers.SGD(0.0), loss, **steps())
    keep = kr.callbacks.LossState()
    history = trainer.fit(linear.X, linear.Y, batch_size=7, verbose=0, callbacks=[keep]).history
    counted = kr.losses.SeesawLoss(np.bincount(linear.Y).tolist())
    scores = linear.logits(models.attacked()).astype("float32")
    expected = float(ops.convert_to_numpy(counted(linear.Y, scores)))
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
