"""The step is gradient descent on the weighted sum, whatever the weights are made of."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta.models import steps
from tests.reweight.tasks import models

LOSSES = {"a": "mse", "b": "mse"}


class Recording(kr.tasks.TaskBalancer):
    """Fixed weights; keeps what it was shown of so many kernels."""

    needs = ("gram", "magnitudes")

    def __init__(self, kernels=1):
        self.kernels = kernels

    def initial(self, num_tasks):
        return {
            "losses": np.zeros(num_tasks, "float32"),
            "gram": np.zeros((num_tasks, num_tasks), "float32"),
            "largest": np.zeros((num_tasks, self.kernels), "float32"),
            "mean": np.zeros((num_tasks, self.kernels), "float32"),
            "clock": np.zeros(2, "float32"),
        }

    def weights(self, statistics, state):
        clock = ops.cast(ops.stack([statistics.step, statistics.epoch]), "float32")
        seen = {key: getattr(statistics, key) for key in state if key != "clock"}
        return ops.convert_to_tensor([0.5, 2.0], "float32"), {**seen, "clock": clock}


def trained(balancer, *, epochs=1, compiled=False, shared=None, fit=None, **options):
    model = models.model()
    trainer = kr.tasks.LossBalancing(model, balancer, shared=shared)
    trainer.compile(keras.optimizers.SGD(models.RATE), LOSSES, **steps(compiled), **options)
    run = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": epochs, **(fit or {})}
    return trainer, trainer.fit(models.X, models.Y, **run)


def test_without_gradients_it_is_the_weighted_sum():
    trainer, history = trained(kr.tasks.FixedWeights([0.5, 2.0]), compiled=True)
    for found, expected in zip(
        models.values_of(trainer.model), models.after_a_step([0.5, 2.0]), strict=True
    ):
        assert_close(found, expected, "a weight after one step")
    losses, _ = models.losses_and_gradients()
    logs = {key: values[0] for key, values in history.history.items()}
    assert set(logs) == {"loss", "a_loss", "b_loss", "a_weight", "b_weight"}
    np.testing.assert_allclose([logs["a_loss"], logs["b_loss"]], losses, rtol=1e-5)
    np.testing.assert_allclose([logs["a_weight"], logs["b_weight"]], [0.5, 2.0])
    np.testing.assert_allclose(logs["loss"], losses @ [0.5, 2.0], rtol=1e-5)


@pytest.mark.parametrize("shared", [None, ["trunk"]])
def test_with_gradients_it_shows_them_and_weighs_them(shared):
    kernels = 3 if shared is None else 1
    trainer, _ = trained(Recording(kernels), shared=shared, compiled=shared is None)
    expected = models.after_a_step([0.5, 2.0], shared_only=shared is not None)
    for found, value in zip(models.values_of(trainer.model), expected, strict=True):
        assert_close(found, value, "a weight after one step")
    losses, gradients = models.losses_and_gradients()
    chosen = gradients if shared is None else [one[:1] for one in gradients]
    state = {key: ops.convert_to_numpy(value) for key, value in trainer._state.items()}
    np.testing.assert_allclose(state["losses"], losses, rtol=1e-5)
    np.testing.assert_allclose(state["gram"], models.gram(chosen), rtol=1e-4)
    sizes = [[np.abs(part) for part in one] for one in chosen]
    largest = [[part.max() for part in one] for one in sizes]
    np.testing.assert_allclose(state["largest"], largest, rtol=1e-5)
    mean = [[part.mean() for part in one] for one in sizes]
    np.testing.assert_allclose(state["mean"], mean, rtol=1e-5)


def test_the_balancer_knows_step_and_epoch_and_goes_on():
    trainer, _ = trained(Recording(), shared=["trunk"], epochs=3, fit={"batch_size": 4})
    clock = ops.convert_to_numpy(trainer._state["clock"])
    np.testing.assert_array_equal(clock, [5.0, 2.0])


def test_loss_weights_sample_weights_and_penalties():
    model = models.model()
    model.get_layer("trunk").kernel.regularizer = keras.regularizers.L2(0.3)
    trainer = kr.tasks.LossBalancing(model, kr.tasks.PCGrad())
    trainer.compile(
        keras.optimizers.SGD(models.RATE), LOSSES, loss_weights={"a": 1.0, "b": 0.0}, **steps()
    )
    weight = np.full(8, 2.0, "float32")
    trainer.fit(
        models.X, models.Y, sample_weight={"a": weight, "b": weight}, batch_size=8, verbose=0
    )
    _, gradients = models.losses_and_gradients()
    # Keras divides a weighted mean by the number of samples.
    expected = models.TRUNK - models.RATE * (2.0 * gradients[0][0] + 0.6 * models.TRUNK)
    assert_close(models.values_of(trainer.model)[0], expected, "the trunk")


def test_objectives_of_one_output():
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), dense])
    dense.kernel.assign([[3.0]])
    objectives = {
        "inside": lambda predict, x, y: ops.mean(ops.square(predict(x) - 2.0 * x)),
        "edge": lambda predict, x, y: ops.mean(ops.square(predict(ops.ones((1, 1))) - 1.0)),
    }
    trainer = kr.tasks.LossBalancing(
        model, kr.tasks.FixedWeights([1.0, 0.5]), objectives=objectives
    )
    trainer.compile(keras.optimizers.SGD(0.1), **steps())
    history = trainer.fit(np.ones((4, 1), "float32"), verbose=0).history
    # d/dw of (w - 2)^2 + 0.5 (w - 1)^2 at w = 3.
    np.testing.assert_allclose(ops.convert_to_numpy(dense.kernel), [[3.0 - 0.1 * 4.0]], rtol=1e-6)
    assert history["inside_loss"] == [1.0] and history["edge_loss"] == [4.0]
    assert history["edge_weight"] == [0.5]
    with pytest.raises(ValueError, match=r"trainer\.model"):
        trainer.get_config()


def test_it_is_saved_with_its_state(tmp_path):
    trainer, _ = trained(kr.tasks.PCGrad(seed=3), shared=["trunk"])
    path = tmp_path / "trainer.keras"
    trainer.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.balancer.seed == 3 and loaded.shared == ["trunk"]
    for found, expected in zip(loaded.get_weights(), trainer.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_is_refused():
    with pytest.raises(TypeError, match="balancer"):
        kr.tasks.LossBalancing(models.model(), "pcgrad")
    with pytest.raises(TypeError, match="objectives"):
        kr.tasks.LossBalancing(models.model(), kr.tasks.PCGrad(), objectives=["mse"])
    with pytest.raises(ValueError, match="shared"):
        kr.tasks.LossBalancing(models.model(), kr.tasks.PCGrad(), shared=["tail"])
    trainer = kr.tasks.LossBalancing(models.model(), kr.tasks.FixedWeights([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="at least two"):
        trainer.compile("sgd", "mse")
    with pytest.raises(ValueError, match="values"):
        trainer.compile("sgd", LOSSES)
