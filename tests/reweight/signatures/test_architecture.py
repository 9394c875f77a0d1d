import keras
import pytest

from keras_reweight.signatures.architecture import Architecture
from tests.reweight.signatures import models


@pytest.mark.parametrize("kind", models.KINDS)
def test_a_second_build_of_the_same_model_fits(kind):
    first, second = (Architecture.of(models.build(kind, seed)) for seed in (0, 1))
    assert first.difference(second) is None


def test_default_names_of_a_second_build_fit():
    def build():
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])

    first, second = build(), build()
    assert first.weights[0].path != second.weights[0].path
    assert Architecture.of(first).difference(Architecture.of(second)) is None


def test_the_name_of_the_model_is_no_part_of_the_path():
    assert [spec.path for spec in Architecture.of(models.dense())][:2] == [
        "first/kernel",
        "first/bias",
    ]


@pytest.mark.parametrize("kind", ("functional", "sequential", "nested"))
def test_a_clone_and_a_reloaded_model_fit(kind, tmp_path):
    model = models.build(kind)
    model.save(tmp_path / "model.keras")
    for other in (
        keras.models.clone_model(model),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        assert Architecture.of(model).difference(Architecture.of(other)) is None


def test_freezing_layers_changes_nothing():
    model = models.functional()
    before = Architecture.of(model)
    model.get_layer("early").trainable = False
    assert Architecture.of(model) == before


def test_difference_names_the_first_weight_that_does_not_fit():
    first, second = Architecture.of(models.dense()), Architecture.of(models.dense(units=6))
    assert first.difference(second) == (
        "weight 2 is 'second/kernel' of shape (5, 4) and dtype float32 here, but 'second/kernel' "
        "of shape (5, 6) and dtype float32 there"
    )
    with pytest.raises(ValueError, match="The patch is of another architecture: weight 2"):
        first.check(second, "The patch")


def test_other_dtype_other_name_other_length():
    model = models.dense()
    half = Architecture.of(models.dense(dtype="float16"))
    assert "dtype float16 there" in Architecture.of(model).difference(half)
    renamed = keras.Sequential(
        [keras.Input((3,)), *(keras.layers.Dense(n, name=f"other{n}") for n in (5, 4, 2))]
    )
    assert "other5/kernel" in Architecture.of(model).difference(Architecture.of(renamed))
    shorter = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5, name="first")])
    assert Architecture.of(model).difference(Architecture.of(shorter)) == (
        "6 weights here, but 2 there"
    )
