"""Attacks on what an embedding gives; padding stays."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.attacks import linear

TOKENS = np.array([[1, 2, 3, 0], [4, 1, 0, 0], [2, 2, 2, 2]])
Y = np.array([0, 1, 2])
TABLE = np.random.default_rng(2).normal(size=(6, 5)).astype("float32")


def model(mask_zero=True):
    embedding = keras.layers.Embedding(6, 5, mask_zero=mask_zero, name="words")
    pooling, dense = keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)
    made = keras.Sequential([keras.Input((4,), dtype="int32"), embedding, pooling, dense])
    embedding.embeddings.assign(TABLE)
    dense.kernel.assign(linear.KERNEL.astype("float32"))
    dense.bias.assign(linear.BIAS.astype("float32"))
    return made


def reference(tokens, y, epsilon):
    """One step of length `epsilon` in L2, of the mean over what is no padding."""
    moved = TABLE[tokens].astype("float64")
    for place, row in enumerate(tokens):
        real = row > 0
        slope = linear.gradient(moved[place][real].mean(axis=0)[None], y[place : place + 1])
        # All tokens of a sample have the same slope; the step has the length of the radius.
        moved[place][real] += epsilon * slope / np.linalg.norm(slope) / np.sqrt(real.sum())
    return moved


def test_a_step_is_that_of_the_formula_and_padding_stays():
    attack = kr.attacks.EmbeddingAttack(
        kr.attacks.FGSM(kr.attacks.Ball(0.7, norm="l2", clip=None)), "words"
    )
    made = model()
    found = attack(made, TOKENS, Y)
    np.testing.assert_allclose(found, reference(TOKENS, Y, 0.7), rtol=1e-5, atol=1e-6)
    scores = attack.predictions(made, ops.convert_to_tensor(TOKENS), kr.attacks.Attacked(found))
    mean = np.array([row[real > 0].mean(axis=0) for row, real in zip(found, TOKENS, strict=True)])
    np.testing.assert_allclose(ops.convert_to_numpy(scores), linear.logits(mean), rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_leaves_padding_where_it_is(norm):
    ball = kr.attacks.Ball(0.5, norm=norm, clip=None)
    attack = kr.attacks.EmbeddingAttack(kr.attacks.PGD(ball, steps=2), "words")
    found = attack(model(), TOKENS, Y) - TABLE[TOKENS]
    np.testing.assert_array_equal(found[TOKENS == 0], 0.0)
    assert (np.abs(found[TOKENS > 0]).max(axis=-1) > 0.0).all()
    unmasked = attack(model(mask_zero=False), TOKENS, Y) - TABLE[TOKENS]
    assert np.abs(unmasked[TOKENS == 0]).min() > 0.0


def test_it_is_evaluated_and_leaves_the_model_alone():
    made = model()
    before = kr.weight_digest(made)
    attacks = {
        name: kr.attacks.EmbeddingAttack(
            kr.attacks.PGD(kr.attacks.Ball(epsilon, clip=None), steps=3), made.layers[0]
        )
        for name, epsilon in (("nothing", 1e-6), ("everything", 20.0))
    }
    y = made.predict(TOKENS, verbose=0).argmax(axis=1)
    report = kr.adversarial.evaluate_robust(
        made, (TOKENS, y), attacks, check_masking=False, verbose=False
    )
    assert report.accuracy("clean") == report.accuracy("nothing") == 1.0
    assert report.accuracy("everything") == 0.0
    assert kr.weight_digest(made) == before


def test_what_is_refused():
    with pytest.raises(TypeError, match="ball"):
        kr.attacks.EmbeddingAttack(kr.attacks.WorstOf([kr.attacks.PGD()]), "words")
    with pytest.raises(ValueError, match="nowhere"):
        kr.attacks.EmbeddingAttack(kr.attacks.PGD(), "nowhere")(model(), TOKENS, Y)
    attack = kr.attacks.EmbeddingAttack(kr.attacks.PGD(), "words")
    with pytest.raises(TypeError, match="needs the layers"):
        attack.search(None, TOKENS, Y)
