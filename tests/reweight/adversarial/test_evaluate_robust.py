"""Accuracy under attacks by hand, and models that hide their gradients."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.adversarial._masking import signs_among
from tests.reweight.attacks import linear
from tests.reweight.attacks.eager import untraced

BALL = kr.attacks.Ball(0.15, clip=None)
PGD = kr.attacks.PGD(BALL, step_size=0.05, steps=4, start="none")
Y = linear.logits(linear.X).argmax(axis=1)
Y_WITH_AN_ERROR = np.where(np.arange(7) == 2, (Y + 1) % 3, Y)


@pytest.fixture(autouse=True)
def _untraced():
    with untraced():
        yield


@keras.saving.register_keras_serializable(package="tests")
class Steps(keras.layers.Layer):
    """Rounds its inputs: almost the same predictions, and no gradient."""

    def call(self, inputs):
        return ops.round(10.0 * inputs) / 10.0


def masked():
    plain = linear.model()
    return keras.Sequential([keras.Input((5,)), Steps(), plain.layers[0]])


def reference():
    """Which samples are right, clean and attacked by `PGD`."""
    y = Y_WITH_AN_ERROR
    clean = linear.logits(linear.X).argmax(axis=1) == y
    moved = linear.reference_pgd(linear.X, y, BALL, 0.05, 4, "crossentropy")
    return {"clean": clean, "pgd": clean & (linear.logits(moved).argmax(axis=1) == y)}


def evaluate(model, attacks, y=Y, **options):
    options = {"check_masking": False, "verbose": False, **options}
    return kr.adversarial.evaluate_robust(model, (linear.X, y), attacks, **options)


def evaluate_suspected(model, attacks):
    """The report, whose warnings have been given."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        report = evaluate(model, attacks, check_masking=True)
    said = [str(one.message) for one in found if one.category is UserWarning]
    assert said == [f"evaluate_robust: {text}" for text in report.warnings]
    return report


def test_accuracies_are_those_of_the_attacked_inputs():
    other = kr.attacks.FGSM(kr.attacks.Ball(0.3, norm="l2", clip=None), loss="margin")
    report = evaluate(linear.model(), {"pgd": PGD, "l2": other}, Y_WITH_AN_ERROR, batch_size=3)
    expected = reference()
    np.testing.assert_array_equal(report.labels, Y_WITH_AN_ERROR)
    for name in ("clean", "pgd"):
        np.testing.assert_array_equal(report.correct[name], expected[name])
    ball = other.ball
    moved = linear.reference_pgd(linear.X, Y_WITH_AN_ERROR, ball, 0.3, 1, "margin")
    second = expected["clean"] & (linear.logits(moved).argmax(axis=1) == Y_WITH_AN_ERROR)
    np.testing.assert_array_equal(report.correct["l2"], second)
    np.testing.assert_array_equal(report.correct["all attacks"], expected["pgd"] & second)
    assert 0 < expected["pgd"].sum() < 6


def test_a_model_with_honest_gradients_is_not_suspected():
    attack = kr.attacks.PGD(BALL, steps=2)
    attacks = {"pgd": attack, "transfer": kr.attacks.TransferAttack(attack, linear.model())}
    report = evaluate(linear.model(), attacks, check_masking=True)
    assert report.warnings == ()


def test_masked_gradients_are_noticed():
    attack = kr.attacks.PGD(BALL, steps=2)
    model = masked()
    attacks = {"pgd": attack, "transfer": kr.attacks.TransferAttack(attack, linear.model())}
    report = evaluate_suspected(model, attacks)
    text = "\n".join(report.warnings)
    assert "the transfer attack 'transfer' leaves" in text
    assert "in a ball that holds every input" in text
    assert text.splitlines()[-1] in str(report)


def test_restarts_that_find_more_are_noticed():
    # Without a gradient, restarts are a search at random, and the more the better.
    weak = kr.attacks.PGD(kr.attacks.Ball(0.6, clip=None), steps=1, step_size=1e-6, loss="margin")
    report = evaluate_suspected(linear.model(), {"weak": weak})
    assert any("5 random restarts leave" in text for text in report.warnings)


def test_a_single_step_that_wins_is_noticed_in_the_same_ball_only():
    correct = {
        "one": np.arange(100) < 40,
        "many": np.arange(100) < 60,
        "far": np.arange(100) < 30,
    }
    attacks = {
        "one": kr.attacks.FGSM(BALL),
        "many": kr.attacks.APGD(BALL),
        "far": kr.attacks.FGSM(0.5),
    }
    (text,) = signs_among(attacks, correct)
    assert text.startswith("one step of 'one' leaves 40.0%") and "'many'" in text
    assert signs_among(attacks, {**correct, "many": correct["one"]}) == []


def test_attacks_in_a_sequence_get_names_and_batches_are_read_once(capsys):
    batches = ((linear.X[i : i + 4], np.eye(3)[Y[i : i + 4]]) for i in (0, 4))
    report = kr.adversarial.evaluate_robust(
        linear.model(), batches, [PGD, PGD, kr.attacks.FGSM(BALL)], check_masking=False
    )
    assert list(report.correct) == ["clean", "PGD 1", "PGD 2", "FGSM", "all attacks"]
    np.testing.assert_array_equal(report.correct["PGD 1"], report.correct["PGD 2"])
    np.testing.assert_array_equal(report.labels, Y)
    assert "/step" in capsys.readouterr().out


def test_what_is_refused():
    model = linear.model()
    with pytest.raises(TypeError, match="attacks"):
        evaluate(model, {"pgd": 0.1})
    with pytest.raises(ValueError, match="empty"):
        evaluate(model, [])
    with pytest.raises(ValueError, match="another row"):
        evaluate(model, {"clean": PGD})
    with pytest.raises(ValueError, match="targeted"):
        evaluate(model, kr.attacks.PGD(loss=kr.attacks.AttackLoss(targeted=True)))
    with pytest.raises(ValueError, match="labels"):
        kr.adversarial.evaluate_robust(model, (linear.X,), PGD, verbose=False)
    with pytest.raises(ValueError, match="classes"):
        regression = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
        evaluate(regression, PGD)
